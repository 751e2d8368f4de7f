"""How many Requests may be on their way to an Engine at once, taken by the chunk, given back one by one."""

from __future__ import annotations

import asyncio
from collections import deque


class Lanes:
    """``count`` places, first come, first served. Whoever waits gets at least one, and what else is free."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def in_use(self) -> int:
        """How many are taken."""
        return self._count - self._free

    async def take(self, most: int) -> Taken:
        """Wait until a lane is free and nobody waits longer; take what is free, up to ``most``."""
        if self._waiting or not self._free:
            await self._turn()
        count = min(self._free, most)
        self._free -= count
        self._wake_next()
        return Taken(self, count)

    def give_back(self, count: int) -> None:
        """Let others have lanes that were taken."""
        self._free += count
        self._wake_next()

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.remove(turn)
            self._wake_next()  # it may have been our turn
            raise
        self._waiting.popleft()

    def _wake_next(self) -> None:
        if self._free and self._waiting and not self._waiting[0].done():
            self._waiting[0].set_result(None)


class Taken:
    """Lanes that one chunk holds."""

    def __init__(self, lanes: Lanes, count: int) -> None:
        self._lanes = lanes
        self.count = count

    def give_one_back(self) -> None:
        """Let another have one."""
        self.count -= 1
        self._lanes.give_back(1)

    def give_back(self) -> None:
        """Let others have what is left."""
        self._lanes.give_back(self.count)
        self.count = 0
