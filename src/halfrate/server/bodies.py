"""Bodies of calls, read within bounds."""

from __future__ import annotations

from starlette.requests import Request as Call

from halfrate.domain.errors import InvalidArgument


async def read_body(call: Call, *, bytes_max: int) -> bytes:
    """Return the whole body of a call. Raise `InvalidArgument` as soon as it is longer than allowed."""
    announced = call.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for piece in call.stream():
        body += piece
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> InvalidArgument:
    return InvalidArgument(
        f"Request payload size exceeds the limit: {bytes_max} bytes. "
        "Upload the requests as a file, and make the batch from that."
    )
