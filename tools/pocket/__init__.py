"""How `pocket-1`, the demonstration model, is made: data, tokenizer, model, training, export, measure."""

from pathlib import Path

MODEL_NAME = "pocket-1"
SHIPPED_PATH = Path(__file__).parents[2] / "src" / "halfrate" / "pocket" / f"{MODEL_NAME}.gguf"
