"""Weights in files, read as 32-bit numbers when they are asked for."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from halfrate.engines.embedded import gguf

Array = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
Tensors = Mapping[str, Callable[[], Array]]

_HEADER_BYTES_MAX = 100_000_000
_SAFETENSORS_KINDS = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
_GGUF_KINDS = {0: "<f4", 1: "<f2"}
_GGUF_BF16, _GGUF_Q8_0 = 30, 8
_Q8_0_VALUES = 32  # of a block, after its scale


class BadWeights(Exception):
    """The file holds no weights that can be read here."""


def of_safetensors(path: Path) -> Tensors:
    """The weights in a safetensors file. Raise `BadWeights` or `OSError`, here or when one is read."""
    with path.open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else _HEADER_BYTES_MAX
        if size >= _HEADER_BYTES_MAX:
            raise BadWeights(f"{path.name} is no safetensors file")
        try:
            header = json.loads(file.read(size))
        except ValueError as error:
            raise BadWeights(f"{path.name} is no safetensors file ({error})") from None
    return {
        name: partial(_read_safetensor, path, place, begin=8 + size)
        for name, place in header.items()
        if name != "__metadata__"
    }


def of_gguf(path: Path, contents: gguf.Contents) -> Tensors:
    """The weights in a GGUF file. Raise `BadWeights` or `OSError` when one is read."""
    return {name: partial(_read_gguf_tensor, path, name, tensor) for name, tensor in contents.tensors.items()}


def _read_safetensor(path: Path, place: Mapping[str, Any], *, begin: int) -> Array:
    kind, offset = place["dtype"], begin + place["data_offsets"][0]
    if kind == "BF16":
        return _of_bf16(_mapped(path, offset, place["shape"], "<u2"))
    if kind not in _SAFETENSORS_KINDS:
        raise BadWeights(f"a weight is of type {kind}; {', '.join(_SAFETENSORS_KINDS)} and BF16 can be read")
    return _in_32_bits(_mapped(path, offset, place["shape"], _SAFETENSORS_KINDS[kind]))


def _read_gguf_tensor(path: Path, name: str, tensor: gguf.Tensor) -> Array:
    if tensor.kind == _GGUF_BF16:
        return _of_bf16(_mapped(path, tensor.offset, tensor.shape, "<u2"))
    if tensor.kind == _GGUF_Q8_0:
        return _of_q8_0(path, tensor)
    if tensor.kind not in _GGUF_KINDS:
        raise BadWeights(
            f"the weight {name} is quantised as type {tensor.kind}, "
            "and files in F32, F16, BF16 and Q8_0 can be read"
        )
    return _in_32_bits(_mapped(path, tensor.offset, tensor.shape, _GGUF_KINDS[tensor.kind]))


def _of_q8_0(path: Path, tensor: gguf.Tensor) -> Array:
    """Blocks of a 16-bit scale and 32 signed bytes."""
    *rows, columns = tensor.shape
    block = numpy.dtype([("scale", "<f2"), ("values", "i1", (_Q8_0_VALUES,))])
    blocks = _mapped(path, tensor.offset, [*rows, columns // _Q8_0_VALUES], block)
    values = blocks["scale"].astype(numpy.float32)[..., None] * blocks["values"]
    return _in_32_bits(values.reshape(tensor.shape))


def _of_bf16(halves: numpy.ndarray[Any, Any]) -> Array:
    return (halves.astype(numpy.uint32) << 16).view(numpy.float32)


def _mapped(path: Path, offset: int, shape: Any, kind: Any) -> numpy.ndarray[Any, Any]:
    try:
        return numpy.memmap(path, kind, "r", offset, tuple(shape))
    except ValueError as error:
        raise BadWeights(f"{path.name} is cut short ({error})") from error


def _in_32_bits(values: numpy.ndarray[Any, Any]) -> Array:
    return numpy.ascontiguousarray(values, numpy.float32)
