"""Who may use an Engine now: many Requests together, or one suspect alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets Requests through together, and a suspect only when no other is inside.

    A suspect is a Request that an Engine held when it died: run alone, it can take nobody with it.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._suspects = 0
        self._alone = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Be inside with others. Waiting suspects go first."""
        if self._suspects:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._suspects)
        self._inside += 1
        try:
            yield
        finally:
            await self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside with nobody else."""
        self._suspects += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._inside and not self._alone)
            self._alone = True
            try:
                yield
            finally:
                self._alone = False
        finally:
            self._suspects -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _leave(self) -> None:
        self._inside -= 1
        if self._suspects and not self._inside:
            async with self._changed:
                self._changed.notify_all()
