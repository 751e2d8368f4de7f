"""How many calls are on the wire at once, and whose turn is next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Place:
    """The right to one call on the wire."""

    def first_token(self) -> None:
        """Note that the answer has begun."""

    def ended(self, kind: str, *, retry_after: float | None = None) -> None:
        """Note what the call came to."""


class Governor:
    """Gives ``most`` places out; whoever is interactive goes ahead of the others."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._interactive: deque[asyncio.Future[None]] = deque()
        self._batch: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self, *, tokens: int = 0, interactive: bool = False) -> AsyncIterator[Place]:
        """Wait for a place, and give it back at the end. ``tokens`` is about what the call takes."""
        if self._free:
            self._free -= 1
        else:
            await self._turn(self._interactive if interactive else self._batch)
        try:
            yield Place()
        finally:
            self._give_on()

    async def _turn(self, queue: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_on()  # it had come to us in the meantime
            raise

    def _give_on(self) -> None:
        for queue in (self._interactive, self._batch):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
