"""What of a Shard can be asked now, and what waits for pages to be read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from halfrate.domain.request import Request
from halfrate.domain.result import Assignment


class Ahead:
    """Has the pages read that Requests want, before their turn: no lane is held for the web.

    Assignments whose pages are there come first; the others follow as theirs come.
    """

    def __init__(
        self,
        assignments: Iterable[Assignment],
        *,
        fetch: Callable[[Request], Awaitable[None]],
        group: asyncio.TaskGroup,
    ) -> None:
        self._ready: deque[Assignment] = deque()
        self._waiting = 0
        self._came = asyncio.Event()
        self._fetch = fetch
        for assignment in assignments:
            request = assignment.request
            if isinstance(request, Request) and request.reads_urls:
                self._waiting += 1
                group.create_task(self._wait_for(assignment, request))
            else:
                self._ready.append(assignment)

    async def ready(self) -> int:
        """Wait until some can be asked, and return how many; 0 if none are left."""
        while not self._ready and self._waiting:
            self._came.clear()
            await self._came.wait()
        return len(self._ready)

    def take(self, count: int) -> list[Assignment]:
        """Return some that can be asked."""
        return [self._ready.popleft() for _ in range(count)]

    async def _wait_for(self, assignment: Assignment, request: Request) -> None:
        await self._fetch(request)
        self._ready.append(assignment)
        self._waiting -= 1
        self._came.set()
