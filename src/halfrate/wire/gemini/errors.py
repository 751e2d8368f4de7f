"""Refusals and failures as the API's error objects, in its two code spaces: HTTP's and gRPC's."""

from __future__ import annotations

from typing import Any

import msgspec

from halfrate.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    Refusal,
    ResourceExhausted,
    TooSlow,
    Unavailable,
    Unimplemented,
)
from halfrate.domain.outcome import Cause, Failed

# Around a call: HTTP's numbers ------------------------------------------------------------------------

_STATUS_OF_REFUSAL: dict[type[Refusal], tuple[int, str]] = {
    InvalidArgument: (400, "INVALID_ARGUMENT"),
    FailedPrecondition: (400, "FAILED_PRECONDITION"),
    Forbidden: (403, "PERMISSION_DENIED"),
    NotFound: (404, "NOT_FOUND"),
    AlreadyExists: (409, "ALREADY_EXISTS"),
    ResourceExhausted: (429, "RESOURCE_EXHAUSTED"),
    TooSlow: (408, "DEADLINE_EXCEEDED"),
    Unimplemented: (501, "UNIMPLEMENTED"),
    Unavailable: (503, "UNAVAILABLE"),
}

_STATUS_OF_CAUSE: dict[Cause, tuple[int, str]] = {
    Cause.INVALID: (400, "INVALID_ARGUMENT"),
    Cause.UNSUPPORTED: (400, "INVALID_ARGUMENT"),  # a client that gets a 5xx may try again
    Cause.FORBIDDEN: (403, "PERMISSION_DENIED"),
    Cause.TOO_LONG: (400, "INVALID_ARGUMENT"),
    Cause.OVERLOADED: (503, "UNAVAILABLE"),
    Cause.TIMED_OUT: (504, "DEADLINE_EXCEEDED"),
    Cause.ENGINE_DIED: (503, "UNAVAILABLE"),
    Cause.UPSTREAM: (503, "UNAVAILABLE"),
    Cause.INTERNAL: (500, "INTERNAL"),
    Cause.CANCELLED: (499, "CANCELLED"),
    Cause.EXPIRED: (504, "DEADLINE_EXCEEDED"),
}


def refusal(error: Refusal) -> tuple[int, bytes]:
    """Return the HTTP status and the body that tell a client its call is refused."""
    code, status = _STATUS_OF_REFUSAL.get(type(error), (500, "INTERNAL"))
    details = _bad_request(error) if isinstance(error, InvalidArgument) else []
    return code, error_body(code, status, str(error), details)


_REFUSAL_OF_STATUS = {status: kind for kind, (_, status) in _STATUS_OF_REFUSAL.items()} | {
    "UNAUTHENTICATED": Forbidden
}


def read_refusal(code: int, body: bytes) -> Refusal:
    """Return what an answer with an error status says, also when its body is not the expected JSON."""
    try:
        error = msgspec.json.decode(body)["error"]
        status, message = str(error["status"]), str(error["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = body[:200].decode(errors="replace").strip()
        return Refusal(f"The server answered {code}" + (f": {text}" if text else "."))
    return _REFUSAL_OF_STATUS.get(status, Refusal)(message)


def failure(failed: Failed) -> tuple[int, bytes]:
    """Return the HTTP status and the body for an interactive Request that failed."""
    code, status = _STATUS_OF_CAUSE[failed.cause]
    return code, error_body(code, status, failed.detail)


def error_body(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> bytes:
    """Return the JSON of an error."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = details
    return msgspec.json.encode({"error": error})


def _bad_request(error: InvalidArgument) -> list[dict[str, Any]]:
    if not error.violations:
        return []
    violations = [
        {"field": field, "description": description} if field else {"description": description}
        for field, description in error.violations
    ]
    return [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]


# Inside Operations and Results: gRPC's numbers --------------------------------------------------------


class Status(msgspec.Struct):
    """An error inside an Operation or a Result."""

    code: int
    message: str


_GRPC_CODES: dict[Cause, int] = {
    Cause.INVALID: 3,  # INVALID_ARGUMENT
    Cause.UNSUPPORTED: 12,  # UNIMPLEMENTED
    Cause.FORBIDDEN: 7,  # PERMISSION_DENIED
    Cause.TOO_LONG: 3,
    Cause.OVERLOADED: 14,  # UNAVAILABLE
    Cause.TIMED_OUT: 4,  # DEADLINE_EXCEEDED
    Cause.ENGINE_DIED: 14,
    Cause.UPSTREAM: 14,
    Cause.INTERNAL: 13,  # INTERNAL
    Cause.CANCELLED: 1,  # CANCELLED
    Cause.EXPIRED: 4,
}


def status_of(failed: Failed) -> Status:
    """Return a failed Request's error, as its Result shows it."""
    return Status(_GRPC_CODES[failed.cause], failed.detail)
