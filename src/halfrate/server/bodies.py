"""Bodies of calls, read within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from tempfile import SpooledTemporaryFile
from typing import IO

from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call

from halfrate.domain.errors import InvalidArgument

_LARGE_BYTES = 1 << 20

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


class Bodies:
    """Reads whole bodies of calls, of at most ``bytes_max`` bytes.

    Only one large body is held in memory at a time. The others wait in temporary files, so that many
    slow clients together hold no more than one quick one.
    """

    def __init__(self, *, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._large = asyncio.Lock()

    @asynccontextmanager
    async def whole(self, call: Call) -> AsyncIterator[bytes]:
        """Hold the body of a call. Raise `InvalidArgument` as soon as it is longer than allowed."""
        with SpooledTemporaryFile(max_size=_LARGE_BYTES) as spool:
            size_bytes = await self._receive(call, spool)
            async with self._large if size_bytes > _LARGE_BYTES else nullcontext():
                spool.seek(0)
                yield spool.read()

    async def _receive(self, call: Call, spool: IO[bytes]) -> int:
        announced = call.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._bytes_max:
            raise _too_large(self._bytes_max)
        size_bytes = 0
        async for piece in arriving(call):
            size_bytes += len(piece)
            if size_bytes > self._bytes_max:
                raise _too_large(self._bytes_max)
            spool.write(piece)
        return size_bytes


def _too_large(bytes_max: int) -> InvalidArgument:
    return InvalidArgument(
        f"Request payload size exceeds the limit: {bytes_max} bytes. "
        "Upload the requests as a file, and make the batch from that."
    )
