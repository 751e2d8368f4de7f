"""What another server's error says, in whichever of the known shapes it comes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from halfrate.domain.outcome import Cause

MESSAGE_CHARS_MAX = 500
_TEXT_BYTES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Fault:
    """A server's own sentence, and the names it gives the error, in lower case; each may be empty."""

    message: str
    code: str = ""
    kind: str = ""


def read_fault(body: bytes) -> Fault:
    """Return what the body of an error says. Never raises: it may be anything."""
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return Fault(_short(_plain(body[:_TEXT_BYTES_MAX].decode(errors="replace"))))
    return fault_of(said)


def fault_of(said: Any) -> Fault:
    """Return what a decoded error says."""
    if isinstance(said, list) and said:
        said = said[0]
    if not isinstance(said, dict):
        return Fault(_short(str(said)))
    error = said.get("error", said)
    if not isinstance(error, dict):
        return Fault(_short(str(error)), kind=_name(said.get("error_type")))
    message = error.get("message", error.get("detail", ""))
    return Fault(
        _short(message if isinstance(message, str) else msgspec.json.encode(message).decode()),
        _name(error.get("code")),
        _name(error.get("type", error.get("status"))),
    )


def cause_of(status: int, fault: Fault) -> Cause:
    """Return why a Request failed that was answered with this."""
    if _is_too_long(status, fault):
        return Cause.TOO_LONG
    if status in {429, 503, 529}:
        return Cause.OVERLOADED
    if status in {408, 504}:
        return Cause.TIMED_OUT
    if status == 501:
        return Cause.UNSUPPORTED
    return Cause.UPSTREAM if status >= 500 else Cause.INVALID


def out_of_quota(status: int, fault: Fault) -> bool:
    """Whether the account has run out: no waiting helps."""
    return status == 402 or "insufficient_quota" in {fault.code, fault.kind}


def names_no_model(status: int, fault: Fault) -> bool:
    """Whether the server says that it does not have the model."""
    return status == 404 or fault.code == "model_not_found"


_BOUND = re.compile(
    r"max_(completion_|new_)?tokens\b.*(too large|must be|at most)|in the completion|requested .*\btokens\b",
    re.IGNORECASE | re.DOTALL,
)


def bound_too_large(status: int, fault: Fault) -> bool:
    """Whether the prompt may fit and only the bound on the answer does not."""
    return status in {400, 422} and _BOUND.search(fault.message) is not None


_JUDGED = re.compile(r"moderat|flagged|content|policy|safety", re.IGNORECASE)


def locked_out(status: int, fault: Fault) -> bool:
    """Whether the caller is refused, and not what was asked: some services answer 403 to that too."""
    return status == 401 or (status == 403 and _JUDGED.search(fault.message) is None)


_TOO_LONG_NAMES = {"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"}
_TOO_LONG = re.compile(
    r"context[ _-]?(length|size|window)|'?s context\b|maximum (model|sequence|input) length|max_model_len"
    r"|inputs?`? (tokens \+|must have less than)|(prompt|input) is too long|longer than the maximum",
    re.IGNORECASE,
)


def _is_too_long(status: int, fault: Fault) -> bool:
    if {fault.code, fault.kind} & _TOO_LONG_NAMES or status == 413:
        return True
    # llama-server says so with 400 now, and did with 500.
    return status in {400, 422, 500} and _TOO_LONG.search(fault.message) is not None


_TAGS = re.compile(r"<(style|script|title).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def _plain(text: str) -> str:
    """Return a page as a sentence: proxies answer with pages."""
    return _TAGS.sub(" ", text) if "<" in text else text


def _short(text: str) -> str:
    """Return text on one line, not too long, without what does not belong in a log."""
    words = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return words if len(words) <= MESSAGE_CHARS_MAX else words[:MESSAGE_CHARS_MAX] + "..."


def _name(value: object) -> str:
    return str(value).lower() if isinstance(value, str | int) else ""
