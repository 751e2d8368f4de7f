"""Just enough of the GGUF format: read what a file says of itself, and write models that were made here."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"GGUF"
_U32, _F32, _BOOL, _STRING, _ARRAY, _I32 = 4, 6, 7, 8, 9, 5
_NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # metadata type -> its struct letter
_TENSOR_F32, _TENSOR_F16 = 0, 1
_ALIGNMENT = 32
_STRING_BYTES_MAX = 16 * 1024 * 1024
_KEYS_MAX = 10_000
_DIMENSIONS_MAX = 8
_ARRAY_MAX = 10_000_000
END = "<|end|>"  # of a text, to the toy model

Value = int | float | bool | str
Values = list[Value]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor's numbers are in its file. The last number of ``shape`` counts neighbours in memory."""

    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a GGUF file says of itself."""

    header: dict[str, Value]
    arrays: dict[str, Values]
    tensors: dict[str, Tensor]


class NotGguf(Exception):
    """The file is no GGUF model, or a damaged one."""


def read_header(path: Path) -> dict[str, Value]:
    """The scalar metadata of a GGUF file. Raise as `read` does."""
    return read(path, arrays=False).header


def architecture(path: Path) -> Value | None:
    """The kind of model, None if the file does not begin with it as all writers do. Raise as `read` does."""
    with path.open("rb") as file:
        try:
            _read_counts(file)
            name, kind = _read_string(file), int(_read_number(file, _U32))
            return _read_value(file, kind) if name == "general.architecture" else None
        except (struct.error, UnicodeDecodeError) as error:
            raise NotGguf(f"damaged: {error}") from error


def read(path: Path, *, arrays: bool = True) -> Contents:
    """What a GGUF file says of itself; without ``arrays`` those are passed over.

    Raise `NotGguf`, or `OSError`. A file that ends before its last tensor begins is refused too: native
    code would read past its end.
    """
    with path.open("rb") as file:
        try:
            contents = _read_contents(file, arrays=arrays)
        except (struct.error, UnicodeDecodeError) as error:
            raise NotGguf(f"damaged: {error}") from error
    last = max((tensor.offset for tensor in contents.tensors.values()), default=-1)
    if last >= path.stat().st_size:
        raise NotGguf("it is cut short")
    return contents


def _read_contents(file: BinaryIO, *, arrays: bool) -> Contents:
    tensors, keys = _read_counts(file)
    contents = Contents({}, {}, {})
    for _ in range(keys):
        name = _read_string(file)
        kind = int(_read_number(file, _U32))
        if kind != _ARRAY:
            contents.header[name] = _read_value(file, kind)
        elif arrays:
            contents.arrays[name] = _read_array(file)
        else:
            _skip_array(file)
    _read_tensors(file, tensors, contents)
    return contents


def _read_counts(file: BinaryIO) -> tuple[int, int]:
    """How many tensors and metadata keys there are."""
    if file.read(4) != MAGIC:
        raise NotGguf("it does not begin with GGUF")
    _version, tensors, keys = struct.unpack("<IQQ", file.read(20))
    if keys > _KEYS_MAX:
        raise NotGguf(f"it claims {keys} metadata keys")
    return tensors, keys


def _read_tensors(file: BinaryIO, count: int, contents: Contents) -> None:
    described = [_read_tensor(file) for _ in range(count)]
    begin = _aligned(file.tell(), int(contents.header.get("general.alignment", _ALIGNMENT)))
    for name, tensor in described:
        contents.tensors[name] = Tensor(tensor.shape, tensor.kind, begin + tensor.offset)


def _read_tensor(file: BinaryIO) -> tuple[str, Tensor]:
    name = _read_string(file)
    (dimensions,) = struct.unpack("<I", file.read(4))
    if dimensions > _DIMENSIONS_MAX:
        raise NotGguf(f"it claims a tensor of {dimensions} dimensions")
    layout = struct.Struct(f"<{dimensions}QIQ")
    *shape, kind, offset = layout.unpack(file.read(layout.size))
    return name, Tensor(tuple(reversed(shape)), kind, offset)


def _read_value(file: BinaryIO, kind: int) -> Value:
    return _read_string(file) if kind == _STRING else _read_number(file, kind)


def _read_number(file: BinaryIO, kind: int) -> int | float | bool:
    try:
        layout = struct.Struct("<" + _NUMBERS[kind])
    except KeyError:
        raise NotGguf(f"unknown metadata type {kind}") from None
    (value,) = layout.unpack(file.read(layout.size))
    assert isinstance(value, int | float)
    return value


def _read_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _STRING_BYTES_MAX:
        raise NotGguf(f"it claims a string of {length} bytes")
    return file.read(length).decode()


def _read_array(file: BinaryIO) -> Values:
    kind, length = struct.unpack("<IQ", file.read(12))
    if length > _ARRAY_MAX:
        raise NotGguf(f"it claims an array of {length} values")
    if kind == _STRING:
        return [_read_string(file) for _ in range(length)]
    if kind not in _NUMBERS:
        raise NotGguf(f"an array of unknown type {kind}")
    layout = struct.Struct(f"<{length}{_NUMBERS[kind]}")
    return list(layout.unpack(file.read(layout.size)))


def _skip_array(file: BinaryIO) -> None:
    kind, length = struct.unpack("<IQ", file.read(12))
    if kind == _STRING:
        for _ in range(length):
            (size,) = struct.unpack("<Q", file.read(8))
            file.seek(size, 1)
    elif kind in _NUMBERS:
        file.seek(struct.calcsize("<" + _NUMBERS[kind]) * length, 1)
    else:
        raise NotGguf(f"an array of unknown type {kind}")


def write_toy(
    path: Path,
    *,
    words: Sequence[str] = (),
    marks: Sequence[str] = (),
    follows: Mapping[str, str] | None = None,
    template: str | None = None,
) -> None:
    """Write a Llama of one layer whose every weight is 0: it loads and steps, and knows nothing.

    Its tokenizer has one token per byte and an end of text, so any grammar can be compiled against it, and
    one for each of the ``words``, which it may write, and of the ``marks``, which are read in prompts too.
    With ``follows`` it knows which token follows which.
    """
    tokens = [*byte_tokens(), "aa", *words, *marks, END]
    width = _aligned(len(tokens)) if follows else 32
    heads = width // 32
    metadata: dict[str, object] = {
        "general.architecture": "llama",
        "general.file_type": 0,
        "llama.context_length": 4096,
        "llama.embedding_length": width,
        "llama.block_count": 1,
        "llama.feed_forward_length": width,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (257 + len(words)) + [4] * len(marks) + [3],
        "tokenizer.ggml.merges": ["a a"],
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
        "tokenizer.ggml.bos_token_id": len(tokens) - 1,
        "tokenizer.ggml.padding_token_id": len(tokens) - 1,
        "tokenizer.ggml.add_bos_token": False,
    }
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    square, vocabulary = (width, width), (width, len(tokens))
    shapes: dict[str, Sequence[int]] = {"token_embd.weight": vocabulary, "output.weight": vocabulary}
    shapes |= {f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{name}.weight": square for name in ("gate", "up", "down")}
    shapes |= {f"{name}_norm.weight": (width,) for name in ("blk.0.attn", "blk.0.ffn", "output")}
    values = _successors(tokens, follows, width) if follows else {}
    write(path, metadata, shapes, lambda name: values.get(name, b""))


def write(
    path: Path,
    metadata: Mapping[str, object],
    shapes: Mapping[str, Sequence[int]],
    value: Callable[[str], bytes],
) -> None:
    """Write a model: what it says of itself, and tensors of these shapes, neighbours in memory first.

    ``value`` is asked for the bytes of each tensor, in turn: vectors in 32 bits, matrices in 16, as their
    reader wants them. What it leaves out at the end is zero.
    """
    with path.open("wb") as file:
        file.write(_described(metadata, shapes))
        for name, shape in shapes.items():
            file.write(value(name).ljust(_tensor_bytes(shape), b"\0"))


def _successors(tokens: Sequence[str], follows: Mapping[str, str], width: int) -> dict[str, bytes]:
    """Weights by which a token is a direction of its own, and that of its successor is the likeliest."""
    ids = {token: id for id, token in enumerate(tokens)}
    embedding = [[float(column == row) for column in range(width)] for row in range(len(tokens))]
    output = [[0.0] * width for _ in tokens]
    for token, successor in follows.items():
        output[ids[successor]][ids[token]] = 1.0
    return {
        "token_embd.weight": _halves(embedding),
        "output.weight": _halves(output),
        "output_norm.weight": struct.pack(f"<{width}f", *[1.0] * width),
    }


def _halves(rows: Sequence[Sequence[float]]) -> bytes:
    return b"".join(struct.pack(f"<{len(row)}e", *row) for row in rows)


def byte_tokens() -> list[str]:
    """Return the 256 bytes as GPT-2 spells them: printable ones as themselves, others as letters from 256."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def _described(metadata: Mapping[str, object], shapes: Mapping[str, Sequence[int]]) -> bytes:
    """Return what comes before the tensors."""
    out = bytearray(MAGIC + struct.pack("<IQQ", 3, len(shapes), len(metadata)))
    for name, value in metadata.items():
        out += _pack_string(name) + struct.pack("<I", _type_of(value)) + _pack_value(value)
    offset = 0
    for name, shape in shapes.items():
        kind = _TENSOR_F16 if len(shape) > 1 else _TENSOR_F32
        out += _pack_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += _tensor_bytes(shape)
    return bytes(out).ljust(_aligned(len(out)), b"\0")


def _tensor_bytes(shape: Sequence[int]) -> int:
    return _aligned((2 if len(shape) > 1 else 4) * math.prod(shape))


def _type_of(value: object) -> int:
    for kind, type_ in ((_BOOL, bool), (_U32, int), (_F32, float), (_STRING, str)):
        if isinstance(value, type_):
            return kind
    return _ARRAY


def _pack_value(value: object) -> bytes:
    if isinstance(value, list):
        of = _STRING if isinstance(value[0], str) else _I32
        packed = map(_pack_string, value) if of == _STRING else (struct.pack("<i", each) for each in value)
        return struct.pack("<IQ", of, len(value)) + b"".join(packed)
    if isinstance(value, str):
        return _pack_string(value)
    return struct.pack("<" + _NUMBERS[_type_of(value)], value)


def _pack_string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _aligned(size: int, alignment: int = _ALIGNMENT) -> int:
    return -(-size // alignment) * alignment
