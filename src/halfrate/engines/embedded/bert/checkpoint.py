"""A BERT encoder as it lies on disk: its shape, its weights by name, and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfrate.engines.embedded import gguf
from halfrate.engines.embedded.bert import vocabulary, weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ARCHITECTURE = "bert"
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


class Pooling(StrEnum):
    """How the vectors of a text's tokens become one."""

    MEAN = "mean"
    FIRST = "first"


class BadCheckpoint(Exception):
    """The files are no encoder that can be run here; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An encoder. ``tensor`` reads a weight by its name in the format of Hugging Face, in 32 bits.

    ``tokens_max`` is the longest text it was made for, in tokens, with those that mark begin and end.
    """

    name: str
    width: int
    layers: int
    heads: int
    epsilon: float
    tokens_max: int
    pooling: Pooling
    tokenizer: Tokenizer
    tensor: Callable[[str], weights.Array]


def read(path: Path) -> Checkpoint:
    """Read a GGUF file, or a folder in the format of Hugging Face. Raise `BadCheckpoint` or `OSError`."""
    try:
        return _folder(path) if path.is_dir() else _gguf_file(path)
    except (gguf.NotGguf, weights.BadWeights, vocabulary.BadVocabulary) as error:
        raise BadCheckpoint(str(error)) from error
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise BadCheckpoint(f"its description is incomplete ({error})") from error


# A folder ---------------------------------------------------------------------------------------------


def _folder(path: Path) -> Checkpoint:
    config = _json(path / CONFIG)
    _check_kind(config)
    tensors = weights.of_safetensors(path / WEIGHTS)
    return Checkpoint(
        name=path.resolve().name,
        width=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        epsilon=float(config["layer_norm_eps"]),
        tokens_max=min(
            config["max_position_embeddings"],
            _json(path / "sentence_bert_config.json").get(
                "max_seq_length", config["max_position_embeddings"]
            ),
        ),
        pooling=_pooling_of(_json(path / "1_Pooling" / CONFIG)),
        tokenizer=vocabulary.of_file(path / TOKENIZER),
        tensor=_checked(_without_prefix(tensors)),
    )


def _check_kind(config: Mapping[str, Any]) -> None:
    if config.get("model_type") != ARCHITECTURE:
        raise BadCheckpoint(
            f"its model_type is {config.get('model_type')!r}, and {ARCHITECTURE!r} can be run"
        )
    if config.get("hidden_act", "gelu") != "gelu":
        raise BadCheckpoint(f"its hidden_act is {config['hidden_act']!r}, and 'gelu' can be run")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise BadCheckpoint("its positions are not absolute")


def _pooling_of(config: Mapping[str, Any]) -> Pooling:
    """What sentence-transformers' file says; the mean where there is no such file."""
    chosen = {name for name, on in config.items() if name.startswith("pooling_mode_") and on is True}
    known = {"pooling_mode_mean_tokens": Pooling.MEAN, "pooling_mode_cls_token": Pooling.FIRST}
    if not chosen:
        return Pooling.MEAN
    if len(chosen) > 1 or not chosen <= known.keys():
        raise BadCheckpoint(
            f"it pools by {', '.join(sorted(chosen))}, and one of {', '.join(known)} can be run"
        )
    return known[chosen.pop()]


def _without_prefix(tensors: weights.Tensors) -> weights.Tensors:
    """Some files name the encoder's weights from the root of a larger model."""
    return {name.removeprefix("bert."): read for name, read in tensors.items()}


def _json(path: Path) -> dict[str, Any]:
    """An object in a file; empty where there is no file."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(value, dict):
        raise BadCheckpoint(f"{path.name} is not an object")
    return value


# A GGUF file ------------------------------------------------------------------------------------------

_GGUF_POOLING = {1: Pooling.MEAN, 2: Pooling.FIRST}
_GGUF_NAMES = {
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


def _gguf_file(path: Path) -> Checkpoint:
    contents = gguf.read(path)
    header = contents.header
    if header.get("general.architecture") != ARCHITECTURE:
        raise BadCheckpoint(
            f"its architecture is {header.get('general.architecture')!r}, and {ARCHITECTURE!r} can be run"
        )

    def number(key: str) -> int:
        return int(header[f"{ARCHITECTURE}.{key}"])

    layers = number("block_count")
    pooling = int(header.get(f"{ARCHITECTURE}.pooling_type", 1))
    if pooling not in _GGUF_POOLING:
        raise BadCheckpoint(f"its pooling_type is {pooling}, and 1 (mean) or 2 (first token) can be run")
    return Checkpoint(
        name=path.stem,
        width=number("embedding_length"),
        layers=layers,
        heads=number("attention.head_count"),
        epsilon=float(header[f"{ARCHITECTURE}.attention.layer_norm_epsilon"]),
        tokens_max=number("context_length"),
        pooling=_GGUF_POOLING[pooling],
        tokenizer=vocabulary.of_gguf(contents),
        tensor=_checked(_renamed(weights.of_gguf(path, contents), layers)),
    )


def _renamed(tensors: weights.Tensors, layers: int) -> weights.Tensors:
    """GGUF's weights under the names that `graph` asks for."""
    renamed = {}
    for name, gguf_name in _GGUF_NAMES.items():
        for kind in ("weight", "bias"):
            if name.startswith("embeddings."):
                renamed[f"{name}.{kind}"] = f"{gguf_name}.{kind}"
            else:
                for layer in range(layers):
                    renamed[f"encoder.layer.{layer}.{name}.{kind}"] = f"blk.{layer}.{gguf_name}.{kind}"
    return {name: tensors[there] for name, there in renamed.items() if there in tensors}


def _checked(tensors: weights.Tensors) -> Callable[[str], weights.Array]:
    def tensor(name: str) -> weights.Array:
        if name not in tensors:
            raise BadCheckpoint(f"it has no weight {name}")
        try:
            return tensors[name]()
        except weights.BadWeights as error:
            raise BadCheckpoint(str(error)) from error

    return tensor
