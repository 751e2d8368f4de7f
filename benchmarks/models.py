"""Models of random weights, of any size, for benchmarks: GGUF files that OpenVINO and llama.cpp read.

They know nothing, but they compute what a trained model of their shape computes. Their tokenizer has a
token for every byte and never joins two: a text of ASCII has as many tokens as characters. What they write
comes from a vocabulary of words that no prompt contains.

Their answers can be compared between two runs. A model whose weights are all random often has two next
tokens that are nearly as likely, and then the order of additions decides. This one has a favourite successor
for every token, and what else is in the prompt sometimes outweighs it: most tokens win by far, and yet a
cache that holds the wrong thing shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from halfrate.engines.embedded import gguf

FOLDER = Path(".cache/benchmarks")

END = "<end>"
TURNS = {"system": "<turn_system>", "user": "<turn_user>", "assistant": "<turn_model>"}
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}<turn_system>"
    "{% elif message['role'] == 'user' %}<turn_user>"
    "{% else %}<turn_model>{% endif %}"
    "{{ message['content'] }}<end>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<turn_model>{% endif %}"
)

_VERSION = 1  # of what is written for a Shape: the name of the file tells
_NEVER_JOINED = "\u0100", "\u0101"  # how two control characters are spelled; readers want one pair at least


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the architecture, which is Qwen3's. ``words`` are the tokens it can write."""

    layers: int
    heads: int
    kv_heads: int
    hidden: int
    words: int = 4_096
    head_size: int = 64
    context_tokens: int = 8_192

    @property
    def width(self) -> int:
        """How many numbers a token is."""
        return self.heads * self.head_size

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(int(numpy.prod(shape)) for shape in _shapes(self).values())


SMALL = Shape(layers=8, heads=8, kv_heads=2, hidden=1_536)  # 0.03 B
MIDDLE = Shape(layers=16, heads=12, kv_heads=4, hidden=2_304)  # 0.13 B


def path_of(shape: Shape, *, folder: Path = FOLDER) -> Path:
    """Return the file of a model of this shape, made now if it is not there."""
    name = hashlib.blake2b(f"{_VERSION} {shape}".encode(), digest_size=6).hexdigest()
    path = folder / f"random-{shape.parameters // 1_000_000}m-{name}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(path.with_suffix(".part"), shape)
        path.with_suffix(".part").rename(path)
    return path


def write(path: Path, shape: Shape, *, seed: int = 1) -> None:
    """Write a model. Equal shapes and seeds make equal files."""
    weights = _Weights(shape, seed)
    gguf.write(path, _metadata(shape), _shapes(shape), weights.tensor)


def _tokens(shape: Shape) -> list[str]:
    words = [f"\u0120W{number:04d}" for number in range(shape.words)]
    return [*gguf.byte_tokens(), "".join(_NEVER_JOINED), END, *TURNS.values(), *words]


def _metadata(shape: Shape) -> Mapping[str, object]:
    tokens = _tokens(shape)
    marks = len(tokens) - shape.words - 257
    end = tokens.index(END)
    return {
        "general.architecture": "qwen3",
        "general.name": "random",
        "general.file_type": 1,
        "general.quantization_version": 2,
        "qwen3.context_length": shape.context_tokens,
        "qwen3.embedding_length": shape.width,
        "qwen3.block_count": shape.layers,
        "qwen3.feed_forward_length": shape.hidden,
        "qwen3.attention.head_count": shape.heads,
        "qwen3.attention.head_count_kv": shape.kv_heads,
        "qwen3.attention.key_length": shape.head_size,
        "qwen3.attention.value_length": shape.head_size,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.rope.freq_base": 10_000.0,
        "qwen3.vocab_size": len(tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 257 + [3] * marks + [1] * shape.words,
        "tokenizer.ggml.merges": [" ".join(_NEVER_JOINED)],
        "tokenizer.ggml.bos_token_id": end,
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.padding_token_id": end,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def _shapes(shape: Shape) -> dict[str, Sequence[int]]:
    """Return the shape of every tensor, neighbours in memory first."""
    width, hidden, head = shape.width, shape.hidden, shape.head_size
    vocabulary = 257 + 1 + len(TURNS) + shape.words
    shapes: dict[str, Sequence[int]] = {"token_embd.weight": (width, vocabulary)}
    for layer in range(shape.layers):
        block = {
            "attn_norm": (width,),
            "attn_q": (width, width),
            "attn_k": (width, shape.kv_heads * head),
            "attn_v": (width, shape.kv_heads * head),
            "attn_output": (width, width),
            "attn_q_norm": (head,),
            "attn_k_norm": (head,),
            "ffn_norm": (width,),
            "ffn_gate": (width, hidden),
            "ffn_up": (width, hidden),
            "ffn_down": (hidden, width),
        }
        shapes |= {f"blk.{layer}.{name}.weight": of for name, of in block.items()}
    return shapes | {"output_norm.weight": (width,), "output.weight": (width, vocabulary)}


class _Weights:
    """The numbers in the tensors."""

    FAVOUR = 0.36
    """How strongly a token's favourite successor is favoured over the chance of all others."""

    CONTEXT = 1.2
    """How much the layers add to a token's own embedding."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._shapes = _shapes(shape)
        self._chance = numpy.random.default_rng(seed)
        self._embedding = self._normal("token_embd.weight", 1.0)

    def tensor(self, name: str) -> bytes:
        """Return a tensor's bytes."""
        if name.endswith("norm.weight"):
            return numpy.ones(self._shapes[name], numpy.float32).tobytes()
        return self._matrix(name).astype(numpy.float16).tobytes()

    def _matrix(self, name: str) -> numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]:
        if name == "token_embd.weight":
            return self._embedding
        if name == "output.weight":
            return self._output()
        inputs = self._shapes[name][0]
        added = name.endswith(("attn_output.weight", "ffn_down.weight"))
        scale = self.CONTEXT / self._shape.layers**0.5 if added else 1.0
        return self._normal(name, scale / inputs**0.5)

    def _output(self) -> numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]:
        """Only words can be written: all other tokens get 0, which some word always exceeds."""
        shape, width = self._shape, self._shape.width
        output = self._normal("output.weight", 1 / width**0.5)
        first_word = len(output) - shape.words
        output[:first_word] = 0
        before = self._chance.permutation(len(output))[: shape.words]
        output[first_word:] += self.FAVOUR / width**0.5 * self._embedding[before]
        return output

    def _normal(self, name: str, scale: float) -> numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]:
        shape = tuple(reversed(self._shapes[name]))
        return self._chance.standard_normal(shape, numpy.float32) * numpy.float32(scale)
