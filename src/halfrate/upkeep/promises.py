"""Tells the operator of Jobs that will not be done when they were promised to be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from halfrate.clock import Clock
from halfrate.domain.job import Job
from halfrate.domain.outlook import Outlook
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)

JOBS_MAX = 1_000
"""Unfinished Jobs looked at in a round."""


class PromiseWatch:
    """Looks at the unfinished Jobs every ``every_seconds``, and warns of each one once in its life."""

    def __init__(
        self,
        *,
        store: MetaStore,
        outlook: Callable[[Job], Awaitable[Outlook]],
        clock: Clock,
        every_seconds: float,
    ) -> None:
        self._store = store
        self._outlook = outlook
        self._clock = clock
        self._every_seconds = every_seconds
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._every_seconds)

    async def look(self) -> None:
        """Warn of the Jobs that break their promise and were not told of before."""
        jobs = await self._store.unfinished_jobs(limit=JOBS_MAX)
        self._told &= {job.id for job in jobs}
        for job in jobs:
            if job.id in self._told:
                continue
            await asyncio.sleep(0)  # there may be many, and each looks at all that go before it
            promise = (await self._outlook(job)).promise
            if promise is not None and promise.holds is False:
                logger.warning("Job %s will not be done as promised: %s", job.id, promise.reason)
                self._told.add(job.id)
