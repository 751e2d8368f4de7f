"""How `pocket-1`, the demonstration model, is made: data, tokenizer, model, training, export, measure."""
