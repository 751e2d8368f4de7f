"""Results as bytes: a version byte, then compact msgpack."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage

# To add a field, append it with a default and old records still decode; any other change is a new version.
_VERSION = b"\x01"

T = TypeVar("T")


def encode_result(result: Result) -> bytes:
    """Return the bytes that `decode_result` turns back into an equal Result."""
    match result.outcome:
        case Answered(text, finish, Usage(input_tokens, output_tokens, cached_tokens)):
            outcome: _Answered | _Failed = _Answered(text, finish, input_tokens, output_tokens, cached_tokens)
        case Failed(cause, detail):
            outcome = _Failed(cause, detail)
    return _encode(_Result(_pack_asker(result.asker), outcome))


def decode_result(payload: bytes) -> Result:
    """Return the Result that was encoded. Raise `CorruptData` if the bytes are not one."""
    packed = _decode(_RESULT, payload)
    match packed.outcome:
        case _Answered() as a:
            usage = Usage(a.input_tokens, a.output_tokens, a.cached_tokens)
            return Result(_unpack_asker(packed.asker), Answered(a.text, a.finish, usage))
        case _Failed() as f:
            return Result(_unpack_asker(packed.asker), Failed(f.cause, f.detail))


def decode_ordinal(payload: bytes) -> int:
    """Return the ordinal of an encoded Result without decoding the rest of it."""
    return _decode(_RESULT_ORDINAL, payload).asker.ordinal


class _Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Fields by position, without their names."""


class _Answered(_Packed, frozen=True, tag="a"):
    text: str
    finish: Finish
    input_tokens: int
    output_tokens: int
    cached_tokens: int


class _Failed(_Packed, frozen=True, tag="f"):
    cause: Cause
    detail: str


class _Asker(_Packed, frozen=True):
    ordinal: int
    key: str | None
    metadata: bytes | None


class _Result(_Packed, frozen=True):
    asker: _Asker
    outcome: _Answered | _Failed


class _AskerOrdinal(_Packed, frozen=True):
    ordinal: int


class _ResultOrdinal(_Packed, frozen=True):
    asker: _AskerOrdinal


_ENCODER = msgspec.msgpack.Encoder()
_RESULT = msgspec.msgpack.Decoder(_Result)
_RESULT_ORDINAL = msgspec.msgpack.Decoder(_ResultOrdinal)


def _pack_asker(asker: Asker) -> _Asker:
    return _Asker(asker.ordinal, asker.key, asker.metadata)


def _unpack_asker(packed: _Asker) -> Asker:
    return Asker(packed.ordinal, packed.key, packed.metadata)


def _encode(packed: _Packed) -> bytes:
    return _VERSION + _ENCODER.encode(packed)


def _decode(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    if payload[:1] != _VERSION:
        raise CorruptData(
            f"A stored record has format {payload[:1].hex() or 'none'}, and this halfrate reads "
            f"{_VERSION.hex()}: another version wrote it. Finish the Job with that version."
        )
    try:
        return decoder.decode(memoryview(payload)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"A stored record cannot be read ({error}). Run the Job again.") from error
