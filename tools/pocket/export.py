"""Write a trained checkpoint as the GGUF file that OpenVINO GenAI and llama.cpp read."""

import argparse
import json
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer
from torch import Tensor

from tools.pocket import MODEL_NAME, SHIPPED_PATH
from tools.pocket.model import ModelShape, PocketModel
from tools.pocket.tokenizer import (
    CHAT_TEMPLATE,
    END_OF_TURN_ID,
    PAD_ID,
    PRE_TOKENIZER_NAME,
    SPECIAL_TOKENS,
    load_tokenizer,
)

FILE_TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}

_LAYER_NAMES = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}


def export_gguf(model: PocketModel, tokenizer: Tokenizer, path: Path, *, file_type: str) -> None:
    """Write weights, vocabulary and chat template to `path`; `file_type` is a key of FILE_TYPES.

    Matrices take the file type's precision; the norms stay f32, as every reader expects.
    """
    matrix_type, declared_type = FILE_TYPES[file_type]
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_name(MODEL_NAME)
    writer.add_license("Apache-2.0")
    writer.add_file_type(declared_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _describe_shape(writer, model.shape)
    _describe_tokenizer(writer, tokenizer)
    for name, weight in _named_tensors(model):
        array = weight.detach().float().numpy()
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            packed = gguf.quants.quantize(array, matrix_type)
            writer.add_tensor(name, packed, raw_dtype=matrix_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe_shape(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    writer.add_context_length(shape.positions_max)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary_size)


def _describe_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    tokens = [token for token, _ in by_id]
    types = [gguf.TokenType.CONTROL if token in SPECIAL_TOKENS else gguf.TokenType.NORMAL for token in tokens]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER_NAME)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(PAD_ID)
    writer.add_eos_token_id(END_OF_TURN_ID)
    writer.add_pad_token_id(PAD_ID)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _named_tensors(model: PocketModel) -> list[tuple[str, Tensor]]:
    """Every parameter under its GGUF name. The output layer is tied, so it is written once."""
    named = {"token_embd.weight": model.embedding.weight, "output_norm.weight": model.norm.weight}
    weights = dict(model.named_parameters())
    for index in range(model.shape.layers):
        for ours, theirs in _LAYER_NAMES.items():
            named[f"blk.{index}.{theirs}.weight"] = weights[f"layers.{index}.{ours}.weight"]
    assert len(named) == len(weights), "a parameter would be missing from the file"
    return list(named.items())


def load_checkpoint(path: Path) -> PocketModel:
    """Read the model of a checkpoint that `tools.pocket.train` wrote."""
    saved = torch.load(path, weights_only=True)
    model = PocketModel(ModelShape(**saved["shape"]))
    model.load_state_dict(saved["model"])
    return model.eval()


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/pocket"))
    parser.add_argument("--file-type", choices=FILE_TYPES, default="q8_0")
    parser.add_argument("--output", type=Path, default=SHIPPED_PATH)
    arguments = parser.parse_args()
    model = load_checkpoint(arguments.folder / "checkpoint.pt")
    tokenizer = load_tokenizer(arguments.folder / "tokenizer.json")
    export_gguf(model, tokenizer, arguments.output, file_type=arguments.file_type)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
