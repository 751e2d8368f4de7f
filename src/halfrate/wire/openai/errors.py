"""Refusals as this dialect words them, from how the other one does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODES = {
    "NOT_FOUND": "not_found",
    "ALREADY_EXISTS": "already_exists",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "UNIMPLEMENTED": "unsupported",
    "UNAVAILABLE": "server_overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "DATA_LOSS": "data_loss",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a refusal says: HTTP's number, the other dialect's name for it, a sentence, the field at fault."""

    code: int
    status: str
    message: str
    field: str | None = None


def read_said(body: bytes) -> Said:
    """Return what an error of the Gemini dialect says."""
    error = msgspec.json.decode(body)["error"]
    violations = [each for detail in error.get("details", ()) for each in detail.get("fieldViolations", ())]
    field = violations[0].get("field") if violations else None
    # There it is forbidden to know whether a File exists.
    hidden = error["status"] == "PERMISSION_DENIED"
    code, status = (404, "NOT_FOUND") if hidden else (error["code"], error["status"])
    return Said(code, status, error["message"], field)


def error_body(said: Said) -> bytes:
    """Return the body of an error."""
    return msgspec.json.encode(error_of(said))


def listed_error_body(said: Said) -> bytes:
    """Return the body as Gemini's own layer for this dialect has it: a list of one error of theirs."""
    return msgspec.json.encode(
        [{"error": {"code": said.code, "message": said.message, "status": said.status}}]
    )


def error_of(said: Said) -> dict[str, Any]:
    """Return an error, as the body of a call and the last event of a stream show it."""
    kind = "server_error" if said.code >= 500 else _TYPES.get(said.code, "invalid_request_error")
    return {
        "error": {
            "message": said.message,
            "type": kind,
            "param": said.field,
            "code": _CODES.get(said.status),
        }
    }
