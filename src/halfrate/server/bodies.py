"""Bodies of calls, read within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call

from halfrate.domain.errors import InvalidArgument

SILENCE_SECONDS = 60.0
"""A client that sends nothing for this long in the middle of a body is gone, whatever its socket says."""


async def arriving(call: Call) -> AsyncIterator[bytes]:
    """Yield the body of a call as it comes. Raise `ClientDisconnect` when the client has gone silent.

    Without that bound a connection that died without a word would hold its upload for ever.
    """
    pieces = call.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ClientDisconnect from None
        yield piece


async def read_body(call: Call, *, bytes_max: int) -> bytes:
    """Return the whole body of a call. Raise `InvalidArgument` as soon as it is longer than allowed."""
    announced = call.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for piece in arriving(call):
        body += piece
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(body)


def _too_large(bytes_max: int) -> InvalidArgument:
    return InvalidArgument(
        f"Request payload size exceeds the limit: {bytes_max} bytes. "
        "Upload the requests as a file, and make the batch from that."
    )
