"""The error body of a call, turned back into the Refusal it was made from."""

from __future__ import annotations

import json

from halfrate.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    Refusal,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)

_BY_STATUS: dict[str, type[Refusal]] = {
    "INVALID_ARGUMENT": InvalidArgument,
    "NOT_FOUND": NotFound,
    "PERMISSION_DENIED": Forbidden,
    "UNAUTHENTICATED": Forbidden,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "UNIMPLEMENTED": Unimplemented,
    "UNAVAILABLE": Unavailable,
}


def refusal(http_status: int, body: bytes) -> Refusal:
    """Return what an answer with an error status says, also when its body is not the expected JSON."""
    try:
        error = json.loads(body)["error"]
        status, message = str(error["status"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        text = body[:200].decode(errors="replace").strip()
        return Refusal(f"The server answered {http_status}" + (f": {text}" if text else "."))
    return _BY_STATUS.get(status, Refusal)(message)
