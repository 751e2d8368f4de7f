"""Lines of an input file, and lines of the output that answers it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.kind import Kind
from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.wire.gemini.content import bare_model
from halfrate.wire.gemini.errors import failure
from halfrate.wire.gemini.lenient import is_utf8
from halfrate.wire.gemini.syntax import too_deep
from halfrate.wire.openai.chat import read_chat, understand
from halfrate.wire.openai.completions import completion
from halfrate.wire.openai.embeddings import embeddings, read_embeddings
from halfrate.wire.openai.errors import error_of, read_said
from halfrate.wire.openai.reading import ABSENT, Sent, at, fault, given

ENDPOINTS = {Kind.GENERATION: "/v1/chat/completions", Kind.EMBEDDING: "/v1/embeddings"}
"""What can be asked in a batch."""

# Input ------------------------------------------------------------------------------------------------


class BatchLine(Sent):
    """A line of a batch."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


class _Marks(msgspec.Struct):
    """What tells a line of this dialect from others."""

    custom_id: Raw = ABSENT
    body: Raw = ABSENT


_LINE = msgspec.json.Decoder(BatchLine)
_MARKS = msgspec.json.Decoder(_Marks)


def parse_line(raw: bytes) -> Line | Rejection | None:
    """Return what a line says, or why it cannot be read; None if it is no line of this dialect.

    What is wrong with the body fails that Request alone, as a call with it would fail.
    """
    if b'"custom_id"' not in raw or not is_utf8(raw) or too_deep(raw):
        return None
    try:
        line = _LINE.decode(raw)
    except (ValueError, RecursionError) as error:
        return _rejected(raw, error) if _is_of_this_dialect(raw) else None
    if line.method != "POST":
        return _near(raw, "method", f"method is {line.method[:40]!r}; it must be 'POST'")
    kind = Kind.EMBEDDING if line.url == ENDPOINTS[Kind.EMBEDDING] else Kind.GENERATION
    try:
        model, request = _asked(line)
    except InvalidArgument as refusal:
        return Line(line.custom_id, None, None, Failed(Cause.INVALID, str(refusal)), kind)
    return Line.naming(bare_model(model), line.custom_id, None, request, kind)


def _rejected(raw: bytes, error: Exception) -> Rejection:
    refusal = fault(str(error))
    return _near(raw, refusal.violations[0][0], str(refusal).rstrip("."))


def _near(raw: bytes, field: str, what: str) -> Rejection:
    """Reject a line for a field, which may be missing."""
    column = len(raw[: max(0, raw.find(f'"{field}"'.encode()))].decode()) + 1
    return Rejection(f"invalid JSON, near column {column}: {what}")


def _is_of_this_dialect(raw: bytes) -> bool:
    try:
        marks = _MARKS.decode(raw)
    except (ValueError, RecursionError):
        return False
    return given(marks.custom_id) and given(marks.body)


def _asked(line: BatchLine) -> tuple[str, AnyRequest]:
    """Return the model a line names, and its Request. Raise `InvalidArgument` if that cannot be answered."""
    if line.url == ENDPOINTS[Kind.EMBEDDING]:
        return _to_embed(line.body)
    if line.url != ENDPOINTS[Kind.GENERATION]:
        raise at("url", f"url is {line.url!r}; in a batch it can be {' or '.join(ENDPOINTS.values())}.")
    asked = read_chat(line.body)
    if asked.stream:
        raise at("stream", "stream is not possible in a batch. Leave it out.")
    return asked.model, understand(asked)


def _to_embed(body: Raw) -> tuple[str, AnyRequest]:
    asked = read_embeddings(body)
    if len(asked.embeddings) > 1:
        raise at("input", "A line of a batch has one text as its input. Write a line for each.")
    if asked.as_base64:
        raise at("encoding_format", "In a batch, vectors are lists of numbers. Leave encoding_format out.")
    return asked.model, asked.embeddings[0]


# Output -----------------------------------------------------------------------------------------------

_NEVER_ASKED = {Cause.CANCELLED: "batch_cancelled", Cause.EXPIRED: "batch_expired"}


def output_line(key: str | None, outcome: Outcome, *, id: str, model: str, created: float) -> bytes:
    """Return a line of the output, with its newline. ``id`` is the Result's own."""
    line: dict[str, Any] = {"id": f"batch_req_{id}", "custom_id": key, "response": None, "error": None}
    if isinstance(outcome, Failed) and outcome.cause in _NEVER_ASKED:
        line["error"] = {"code": _NEVER_ASKED[outcome.cause], "message": outcome.detail}
    else:
        line["response"] = _response(outcome, id, model, created)
    return msgspec.json.encode(line) + b"\n"


def _response(outcome: Outcome, id: str, model: str, created: float) -> dict[str, Any]:
    if isinstance(outcome, Answered):
        body = completion(outcome, id=id, model=model, created=created)
        return {"status_code": 200, "request_id": id, "body": body}
    if isinstance(outcome, Embedded):
        return {"status_code": 200, "request_id": id, "body": embeddings([outcome], model=model)}
    status, said = failure(outcome)
    return {"status_code": status, "request_id": id, "body": error_of(read_said(said))}
