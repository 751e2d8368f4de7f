"""Cuts the order of an indexed input into Shards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.dispatch.bell import Bell
from halfrate.dispatch.routing import EngineOf, Routing
from halfrate.dispatch.troubles import Troubles
from halfrate.domain.errors import CorruptData, IllegalTransition, InvalidArgument
from halfrate.domain.job import Job
from halfrate.ingest.inputs import Inputs, refuse_bad_input
from halfrate.lookup.lookup import Lookup
from halfrate.store import disk
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class Planner:
    """Plans the Jobs that wait for it, those that go first before the others.

    A Job whose input is still being indexed keeps none waiting: each is planned by a task of its own.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        inputs: Inputs,
        lookup: Lookup,
        engine_of: EngineOf,
        clock: Clock,
        config: DispatchConfig,
        troubles: Troubles,
        planned: Callable[[], None],
    ) -> None:
        self._store = store
        self._inputs = inputs
        self._lookup = lookup
        self._engine_of = engine_of
        self._config = config
        self._troubles = troubles
        self._planned = planned
        self._planning: dict[str, asyncio.Task[None]] = {}
        self.bell = Bell(clock)

    async def run(self) -> None:
        """Plan Jobs until cancelled."""
        try:
            while True:
                for job in await self._store.jobs_to_plan():
                    if job.id not in self._planning:
                        self._begin(job)
                await self.bell.wait(seconds=LOOK_SECONDS)
        finally:
            planning = list(self._planning.values())
            for task in planning:
                task.cancel()
            await asyncio.gather(*planning, return_exceptions=True)

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._plan_or_fail(job), name=f"plan of {job.id}")
        self._planning[job.id] = task
        task.add_done_callback(lambda _: self._planning.pop(job.id))

    async def _plan_or_fail(self, job: Job) -> None:
        try:
            await self._plan(job)
        except IllegalTransition:
            logger.info("Job %s was stopped while it was being planned.", job.id)
        except InvalidArgument as error:
            await self._fail(job, str(error))
        except (CorruptData, FileNotFoundError) as error:
            why = disk.explain(error) if isinstance(error, OSError) else str(error)
            await self._fail(job, f"The input cannot be read: {why}")
        except OSError as error:
            why = disk.explain(error)
            logger.error("Job %s cannot be planned now, and will be tried again: %s", job.id, why)
            self._troubles.note(why, job_id=job.id)
        except Exception:
            logger.exception("Job %s cannot be planned now, and will be tried again.", job.id)
        else:
            self._troubles.clear(job.id)
            self._planned()

    async def _plan(self, job: Job) -> None:
        """Give a Job its Shards. Raise `IllegalTransition` if it ended in the meantime."""
        summary = await self._inputs.read_summary(job.input_blob)
        refuse_bad_input(summary, keep_going=job.keep_going, kind=job.kind)
        routing = Routing.of(job, self._engine_of)
        if not job.keep_going:
            routing.refuse_unserved(summary)
            await self._lookup.check(routing.caches(summary), at=job.created_at)
        if summary.reads_files:
            await self._store.note_files_read(job.id)
        if job.counts.requests != summary.requests:
            # The Job was accepted before its input was indexed.
            await self._store.set_requests(job.id, summary.requests)
        await self._store.note_order(job.id, summary.order_version, summary.sharing)
        pieces = routing.pieces(summary)
        sizes = await self._inputs.cut(
            job.input_blob,
            [piece.requests for piece in pieces],
            requests_max=self._config.shard_requests,
            bytes_max=self._config.shard_bytes,
        )
        await self._store.save_plan(job.id, routing.sections(pieces, sizes))

    async def _fail(self, job: Job, why: str) -> None:
        try:
            await self._store.fail_job(job.id, why)
        except IllegalTransition:
            logger.info("Job %s was stopped while it was being planned.", job.id)
        else:
            self._planned()
