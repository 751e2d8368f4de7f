"""Stops Jobs whose deadline has passed; what they have by then is published."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from halfrate.clock import Clock
from halfrate.domain.job import Job
from halfrate.domain.outcome import Cause
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)


class Expirer:
    """Looks for overdue Jobs every ``every_seconds``, and has each one stopped."""

    def __init__(
        self,
        *,
        store: MetaStore,
        stop: Callable[[Job, Cause], Awaitable[bool]],
        clock: Clock,
        every_seconds: float,
    ) -> None:
        self._store = store
        self._stop = stop
        self._clock = clock
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for job in await self._store.jobs_overdue():
                if await self._stop(job, Cause.EXPIRED):
                    logger.warning("Job %s expired with %d Requests open.", job.id, job.counts.pending)
            await self._clock.sleep(self._every_seconds)
