"""What went wrong, as an answer: JSON always, and never a stack trace."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.types import ExceptionHandler

from halfrate.domain.errors import CorruptData, Refusal
from halfrate.server.answers import Answer
from halfrate.store import disk
from halfrate.wire.gemini import errors

logger = logging.getLogger(__name__)

_STATUS_NAMES = {404: "NOT_FOUND", 405: "UNIMPLEMENTED", 416: "OUT_OF_RANGE"}


def answer_for(error: Exception, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer that tells a client of ``error``. What is not the client's doing is logged."""
    match error:
        case Refusal():
            status, body = errors.refusal(error)
            return Answer(body, status=status, headers=headers)
        case ClientDisconnect():
            return refused(499, "CANCELLED", "The client closed the connection.", headers=headers)
        case HTTPException(status_code=status, detail=detail):
            name = _STATUS_NAMES.get(status, "INVALID_ARGUMENT")
            return refused(status, name, detail, headers=headers or error.headers)
        case OSError() if disk.may_pass(error):
            logger.error("A call failed: %s", disk.explain(error))
            return refused(503, "UNAVAILABLE", disk.explain(error), headers=headers)
        case CorruptData():
            logger.error("A call failed: %s", error)
            return refused(500, "DATA_LOSS", str(error), headers=headers)
        case _:
            logger.error("A call failed", exc_info=error)
            return refused(500, "INTERNAL", "An internal error has occurred.", headers=headers)


def refused(status: int, name: str, message: str, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error with this HTTP status."""
    return Answer(errors.error_body(status, name, message), status=status, headers=headers)


async def _handle(call: Call, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code in (404, 405):
        error.detail = f"{call.method} {call.url.path} is not a method of this API."
    return answer_for(error)


HANDLERS: dict[type[Exception], ExceptionHandler] = {
    Refusal: _handle,
    ClientDisconnect: _handle,
    HTTPException: _handle,
}
"""What Starlette calls for these. Everything else is caught by `Guard`."""
