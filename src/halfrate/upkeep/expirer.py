"""Stops Jobs whose deadline has passed; what they have by then is published."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from halfrate.clock import Clock
from halfrate.domain.job import Job
from halfrate.domain.outcome import Cause
from halfrate.store.meta.api import MetaStore

LOOK_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Wait(Protocol):
    """Waits."""

    async def __call__(self, *, seconds: float) -> None:
        """Return after this long, or earlier."""
        ...


class Expirer:
    """Has each Job stopped at its deadline.

    ``wait`` returns after some seconds, or earlier when there is a new Job, which may be the next one.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        stop: Callable[[Job, Cause], Awaitable[bool]],
        clock: Clock,
        wait: Wait,
    ) -> None:
        self._store = store
        self._stop = stop
        self._clock = clock
        self._wait = wait

    async def run(self) -> None:
        """Stop Jobs until cancelled."""
        while True:
            for job in await self._store.jobs_overdue():
                if await self._stop(job, Cause.EXPIRED):
                    logger.warning("Job %s expired with %d Requests open.", job.id, job.counts.pending)
            await self._wait(seconds=await self._pause_seconds())

    async def _pause_seconds(self) -> float:
        """Return the time to the next deadline, but look now and then: the machine's clock may be set."""
        deadline = await self._store.next_deadline()
        return LOOK_SECONDS if deadline is None else min(LOOK_SECONDS, deadline - self._clock.now())
