"""Lines of an input file, and lines of the output file that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded
from halfrate.domain.kind import Kind, stranger
from halfrate.domain.line import Line, Plain, Rejection
from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.wire.gemini.content import GenerateContentRequest, bare_model, understand
from halfrate.wire.gemini.embeddings import (
    EmbedContentRequest,
    EmbedContentResponse,
    embed_response,
    understand_embedding,
)
from halfrate.wire.gemini.errors import Status, status_of
from halfrate.wire.gemini.lenient import ABSENT, Message, Reader, Unreadable
from halfrate.wire.gemini.plain import plain_lines
from halfrate.wire.gemini.responses import GenerateContentResponse, generate_response
from halfrate.wire.gemini.syntax import Flaw, find_flaw

# Input ------------------------------------------------------------------------------------------------


class KeyedLine(Message):
    """The documented form of a line."""

    key: str | None = None
    request: GenerateContentRequest | None = None
    metadata: Raw = ABSENT


class BareLine(GenerateContentRequest):
    """A request that stands on a line by itself."""

    key: str | None = None
    metadata: Raw = ABSENT


class KeyedEmbedding(Message):
    """The same for a text to embed."""

    key: str | None = None
    request: EmbedContentRequest | None = None
    metadata: Raw = ABSENT


class BareEmbedding(EmbedContentRequest):
    """A text to embed, on a line by itself."""

    key: str | None = None
    metadata: Raw = ABSENT


_Forms = tuple[Reader[Any], Reader[Any]]
_GENERATION: _Forms = Reader(KeyedLine), Reader(BareLine)
_EMBEDDING: _Forms = Reader(KeyedEmbedding), Reader(BareEmbedding)
_BOM = b"\xef\xbb\xbf"


def parse_line(raw: bytes) -> Line | Rejection:
    """Return what one line says, or why it cannot be read. Never raises; blank lines are rejected."""
    if raw.startswith(_BOM):
        raw = raw[len(_BOM) :]
    likelier, other = _GENERATION, _EMBEDDING
    if b'"content"' in raw and b'"contents"' not in raw:
        likelier, other = other, likelier
    sent = _read_as(likelier, raw)
    # A name may be spelled with escapes, or be a mere word elsewhere.
    if isinstance(sent, Unreadable) and sent.is_json and (b'"content"' in raw or b"\\u" in raw):
        again = _read_as(other, raw)
        sent = sent if isinstance(again, Unreadable) else again
    match sent:
        case KeyedLine():
            return _line(sent, sent.request or GenerateContentRequest())
        case BareLine():
            return _line(sent, sent)
        case KeyedEmbedding():
            return _line(sent, sent.request or EmbedContentRequest())
        case BareEmbedding():
            return _line(sent, sent)
        case Unreadable():
            return Rejection(sent.as_line())


_Sent = KeyedLine | BareLine | KeyedEmbedding | BareEmbedding


def _read_as(forms: _Forms, raw: bytes) -> _Sent | Unreadable:
    """Read a line in the likelier of two forms, keyed and bare, or else in the other one."""
    keyed, bare = forms
    likelier, other = (keyed, bare) if b'"request"' in raw else (bare, keyed)
    sent: _Sent | Unreadable = likelier.read(raw)
    if isinstance(sent, Unreadable) and sent.is_json and (likelier is keyed or b"\\u" in raw):
        again: _Sent | Unreadable = other.read(raw)
        return sent if isinstance(again, Unreadable) else again
    return sent


def parse_lines(raws: Sequence[bytes]) -> list[Line | Rejection]:
    """Return what `parse_line` returns for each, in a fraction of the time where most of them are plain.

    Give it some thousand lines at a time: a bad one among them has all of them read one by one.
    """
    return [one.line() if isinstance(one, Plain) else one for one in read_lines(raws)]


def read_lines(raws: Sequence[bytes]) -> list[Plain | Line | Rejection]:
    """Do as `parse_lines`, and leave the plain ones as they are."""
    plain = plain_lines(raws)
    if plain is None:
        return [parse_line(raw) for raw in raws]
    if all(plain):
        return cast("list[Plain | Line | Rejection]", plain)
    return [one or parse_line(raw) for one, raw in zip(plain, raws, strict=True)]


def asked_of(line: Line, model: str | None, kind: Kind = Kind.GENERATION) -> AnyRequest | Failed:
    """Return the Request of a line in a Job of this ``kind``, or why it cannot be answered there.

    With a ``model``, the line may name none but that.
    """
    if line.kind is not kind:
        return Failed(Cause.INVALID, f"This is not for this batch: {stranger(line.kind)}.")
    if model is None or line.model is None or line.model == bare_model(model):
        return line.request
    return Failed(
        Cause.INVALID,
        f"request.model is {line.model!r}, but the job runs on {bare_model(model)!r}. "
        "Leave request.model out, or send the line in a job of its own model.",
    )


def _line(sent: _Sent, asked: GenerateContentRequest | EmbedContentRequest) -> Line | Rejection:
    metadata = None if sent.metadata is ABSENT else check_metadata(sent.metadata)
    if isinstance(metadata, Rejection):
        return metadata
    model = bare_model(asked.model or "")
    if isinstance(asked, EmbedContentRequest):
        return Line.naming(model, sent.key, metadata, understand_embedding(asked), Kind.EMBEDDING)
    return Line.naming(model, sent.key, metadata, understand(asked), Kind.GENERATION)


def check_metadata(raw: Raw) -> bytes | Rejection | None:
    """Return metadata's own JSON text, None for null. It must be an object."""
    try:
        metadata = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        flaw = find_flaw(bytes(raw).decode(errors="replace")) or Flaw(0, "it cannot be read")
        return Rejection(f"invalid JSON in metadata, near its column {flaw.offset + 1}: {flaw.what}")
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        return Rejection("invalid JSON in metadata: it must be an object")
    # Without its spaces: a carriage return among them would end the line of the Result for some readers.
    return msgspec.json.format(bytes(raw), indent=-1)


# Output -----------------------------------------------------------------------------------------------


class ResultLine(msgspec.Struct, omit_defaults=True):
    """A Result: ``key`` in files, ``metadata`` inline; a response or an error."""

    key: str | None = None
    metadata: Raw = ABSENT
    response: GenerateContentResponse | EmbedContentResponse | None = None
    error: Status | None = None


_encode = msgspec.json.Encoder().encode


def result_line(
    key: str | None,
    outcome: Outcome,
    *,
    metadata: bytes | None = None,
    model_version: str,
    response_id: str,
    of_other_model: bool = False,
) -> bytes:
    """Return a line of the output, without its newline: of a file, or an entry of ``inlinedResponses``.

    ``key`` and ``metadata``, which is JSON text, are echoed where they were given. ``of_other_model`` says
    that the model is not the batch's own.
    """
    echoed = ABSENT if metadata is None else Raw(metadata)
    if isinstance(outcome, Answered):
        response = generate_response(outcome, model_version=model_version, response_id=response_id)
        return _encode(ResultLine(key, echoed, response))
    if isinstance(outcome, Embedded):
        told = model_version if of_other_model else None
        return _encode(ResultLine(key, echoed, embed_response(outcome, model_version=told)))
    return _encode(ResultLine(key, echoed, error=status_of(outcome)))
