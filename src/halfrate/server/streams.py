"""An answer sent while it is written: pieces out of a callback, framed for the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from starlette.requests import Request as Call
from starlette.responses import StreamingResponse

from halfrate.domain.outcome import Delta
from halfrate.server.answers import JSON
from halfrate.server.presence import while_present

T = TypeVar("T")

EVENTS = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
"""A stream silent for so long sends an empty line: proxies cut what they take for dead."""


class Writing(Generic[T]):
    """Work that writes: its pieces as they come, then what it came to.

    The pieces wait here for a slow client. There are no more of them than tokens in one answer.
    """

    def __init__(
        self, call: Call, start: Callable[[Callable[[Delta], None]], Coroutine[Any, Any, T]]
    ) -> None:
        self._pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._work = asyncio.ensure_future(while_present(call, start(self._pieces.put_nowait)))
        self._work.add_done_callback(lambda _: self._pieces.put_nowait(None))
        self._first: Delta | None = None

    async def begun(self) -> bool:
        """Wait for the first piece. Return False if there is none: `result` has it all."""
        try:
            self._first = await self._pieces.get()
        except asyncio.CancelledError:
            self.stop()
            raise
        return self._first is not None

    async def pieces(self) -> AsyncIterator[Delta | None]:
        """Yield every piece, and None whenever none has come for `KEEP_ALIVE_SECONDS`."""
        piece = self._first
        while piece is not None:
            yield piece
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        piece = await self._pieces.get()
                        break
                except TimeoutError:
                    yield None

    async def result(self) -> T:
        """Return what came of it, or raise what it raised."""
        return await self._work

    def stop(self) -> None:
        """Let the work go, if it is not over."""
        self._work.cancel()


class EventStream(StreamingResponse):
    """Sends messages as server-sent events: ``data: `` and the message, and an empty line.

    Nothing else is sent, for some readers take no comments and no other fields. An empty message is an empty
    line, which all readers pass over.
    """

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        super().__init__(_events(messages))
        self.raw_headers = _headers(EVENTS)


class ArrayStream(StreamingResponse):
    """Sends messages as one JSON array. An empty message is white space."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        super().__init__(_array(messages))
        self.raw_headers = _headers(JSON)


async def _events(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield b"data: " + message + b"\r\n\r\n" if message else b"\r\n"


async def _array(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    before = b"["
    async for message in messages:
        yield before + message if message else b"\n"
        before = b",\r\n" if message else before
    yield b"]" if before != b"[" else b"[]"


def _headers(content_type: str) -> list[tuple[bytes, bytes]]:
    named = {
        "Content-Type": content_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Accel-Buffering": "no",  # a proxy that gathers what it passes on would undo all this
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]
