"""Results as bytes: a version byte, then compact msgpack."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from halfrate.domain.embedding import Embedded
from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Candidate, Cause, Failed, Finish, Outcome, TokenLogprob
from halfrate.domain.page import PageStatus, ReadUrl
from halfrate.domain.request import FunctionCall
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage

# To add a field, append it with a default and old records still decode; any other change is a new version.
_VERSION = b"\x01"

T = TypeVar("T")


def encode_result(result: Result) -> bytes:
    """Return the bytes that `decode_result` turns back into an equal Result."""
    # Millions of times in a Job: `match` with class patterns would take half the time of all this.
    asker, outcome = result.asker, result.outcome
    packed: _AnyOutcome
    if isinstance(outcome, Answered):
        packed = _pack_answered(outcome)
    elif isinstance(outcome, Embedded):
        packed = _Embedded(outcome.packed, outcome.usage.input_tokens)
    else:
        packed = _Failed(outcome.cause, outcome.detail)
    return _encode(_Result(_Asker(asker.ordinal, asker.key, asker.metadata), packed, result.engine))


def decode_result(payload: bytes) -> Result:
    """Return the Result that was encoded. Raise `CorruptData` if the bytes are not one."""
    result = _decode(_RESULT, payload)
    packed, asker = result.outcome, result.asker
    outcome: Outcome
    if isinstance(packed, _Answered | _Candidates):
        outcome = _unpack_answered(packed)
    elif isinstance(packed, _Embedded):
        outcome = Embedded(packed.packed, Usage(packed.input_tokens))
    else:
        outcome = Failed(packed.cause, packed.detail)
    return Result(Asker(asker.ordinal, asker.key, asker.metadata), outcome, result.engine)


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


class _Logprob(_Packed, frozen=True):
    token: str
    token_id: int
    logprob: float
    top: tuple[tuple[str, int, float], ...] = ()


class _Candidate(_Packed, frozen=True):
    text: str
    finish: Finish
    thought: str
    thought_tokens: int
    calls: tuple[tuple[str, str, str | None], ...]
    logprobs: tuple[_Logprob, ...]


class _Candidates(_Packed, frozen=True, tag="c"):
    """Anything but one plain text."""

    candidates: tuple[_Candidate, ...]
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    read: tuple[tuple[str, PageStatus, str], ...] = ()
    tool_tokens: int = 0


class _Embedded(_Packed, frozen=True, tag="e"):
    packed: bytes
    input_tokens: int


class _Failed(_Packed, frozen=True, tag="f"):
    cause: Cause
    detail: str


_AnyOutcome = _Answered | _Candidates | _Embedded | _Failed


class _Asker(_Packed, frozen=True):
    ordinal: int
    key: str | None
    metadata: bytes | None


class _Result(_Packed, frozen=True):
    asker: _Asker
    outcome: _AnyOutcome
    engine: str | None = None


class _AskerOrdinal(_Packed, frozen=True):
    ordinal: int


class _ResultOrdinal(_Packed, frozen=True):
    asker: _AskerOrdinal


_ENCODER = msgspec.msgpack.Encoder()
_RESULT = msgspec.msgpack.Decoder(_Result)
_RESULT_ORDINAL = msgspec.msgpack.Decoder(_ResultOrdinal)


def _pack_answered(answered: Answered) -> _Answered | _Candidates:
    usage = answered.usage
    tokens = usage.input_tokens, usage.output_tokens, usage.cached_tokens
    if len(answered.candidates) == 1 and not answered.read:
        one = answered.candidates[0]
        if not (one.thought_tokens or one.calls or one.logprobs or one.thought):
            return _Answered(one.text, one.finish, *tokens)
    read = tuple([(each.url, each.status, each.detail) for each in answered.read])
    return _Candidates(tuple(map(_pack_candidate, answered.candidates)), *tokens, read, answered.tool_tokens)


def _unpack_answered(packed: _Answered | _Candidates) -> Answered:
    usage = Usage(packed.input_tokens, packed.output_tokens, packed.cached_tokens)
    if isinstance(packed, _Answered):
        return Answered.of(packed.text, packed.finish, usage)
    read = tuple([ReadUrl(*each) for each in packed.read])
    return Answered(tuple(map(_unpack_candidate, packed.candidates)), usage, read, packed.tool_tokens)


def _pack_candidate(candidate: Candidate) -> _Candidate:
    return _Candidate(
        candidate.text,
        candidate.finish,
        candidate.thought,
        candidate.thought_tokens,
        tuple((call.name, call.arguments, call.id) for call in candidate.calls),
        tuple(
            _Logprob(
                step.token,
                step.token_id,
                step.logprob,
                tuple((likely.token, likely.token_id, likely.logprob) for likely in step.top),
            )
            for step in candidate.logprobs
        ),
    )


def _unpack_candidate(packed: _Candidate) -> Candidate:
    return Candidate(
        packed.text,
        packed.finish,
        packed.thought,
        packed.thought_tokens,
        tuple(FunctionCall(*call) for call in packed.calls),
        tuple(
            TokenLogprob(
                step.token, step.token_id, step.logprob, tuple(TokenLogprob(*likely) for likely in step.top)
            )
            for step in packed.logprobs
        ),
    )


def _encode(packed: _Packed) -> bytes:
    return _VERSION + _ENCODER.encode(packed)


def _decode(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    if payload[0:1] == _VERSION:
        try:
            return decoder.decode(payload[1:])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptData(f"A stored record cannot be read ({error}). Run the Job again.") from error
    raise CorruptData(
        f"A stored record has format {payload[:1].hex() or 'none'}, and this halfrate reads "
        f"{_VERSION.hex()}: another version wrote it. Finish the Job with that version."
    )
