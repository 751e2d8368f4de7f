"""How many batches may be at an upstream at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Room for ``batches_max`` batches of ``tokens_max`` together. First come, first served.

    A batch that is larger than all the room has it when it is alone.
    """

    def __init__(self, *, batches_max: int, tokens_max: int | None) -> None:
        self._batches_max = batches_max
        self._tokens_max = tokens_max
        self._batches = 0
        self._tokens = 0
        self._turn = asyncio.Lock()
        self._left = asyncio.Condition()

    @asynccontextmanager
    async def of(self, tokens: int) -> AsyncIterator[None]:
        """Wait for room, and give it back at the end."""
        async with self._turn, self._left:
            await self._left.wait_for(lambda: self._fits(tokens))
            self._batches += 1
            self._tokens += tokens
        try:
            yield
        finally:
            self._batches -= 1
            self._tokens -= tokens
            async with self._left:
                self._left.notify_all()

    def _fits(self, tokens: int) -> bool:
        if not self._batches:
            return True
        enough = self._tokens_max is None or self._tokens + tokens <= self._tokens_max
        return self._batches < self._batches_max and enough
