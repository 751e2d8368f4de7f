"""One Engine's way through the Shards of many Jobs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from halfrate.dispatch.assignments import Asked
from halfrate.domain.errors import CorruptData
from halfrate.domain.job import Job
from halfrate.domain.line import Line
from halfrate.domain.shard import Shard
from halfrate.ingest.inputs import Inputs
from halfrate.planner.claim import CANDIDATES_MAX, Candidate, Walk
from halfrate.planner.prefix import sort_key
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)


class JointWalk:
    """Says of which Job a Shard is to be taken, so that Jobs over the same long texts take turns on them.

    Jobs whose prompts share no long beginning go one after the other, at no cost.
    """

    def __init__(self, engine: str, *, store: MetaStore, inputs: Inputs, asked: Asked) -> None:
        self._engine = engine
        self._store = store
        self._inputs = inputs
        self._asked = asked
        self._walk = Walk()

    async def step(self) -> str | None:
        """Return the id of a Job that is to go ahead now, None if the one that goes first is to go."""
        ahead = await self._ahead() if self._walk.may_leave_the_line else None
        self._walk = self._walk.on(ahead=ahead is not None)
        return ahead

    def passed(self, tail: bytes) -> None:
        """Note the sort key of what the Engine was given last."""
        self._walk = replace(self._walk, tail=tail)

    async def _ahead(self) -> str | None:
        shards = await self._store.next_shards(self._engine, limit=CANDIDATES_MAX)
        jobs = [await self._store.get_job(shard.job_id) for shard in shards]
        known = [(job, shard) for job, shard in zip(jobs, shards, strict=True) if job is not None]
        if len(known) < 2:
            return None
        candidates = await asyncio.to_thread(lambda: [self._candidate(*each) for each in known])
        chosen = self._walk.choose(candidates)
        return None if chosen is candidates[0] else chosen.job_id

    def _candidate(self, job: Job, shard: Shard) -> Candidate:
        return Candidate(job.id, job.priority, job.deadline, self._head(job, shard))

    def _head(self, job: Job, shard: Shard) -> bytes:
        try:
            with self._inputs.lines(job.input_blob) as lines:
                ((_, line),) = lines.in_run_order(shard.first, 1)
        except (OSError, CorruptData) as error:
            # Whoever runs the Shard deals with it.
            logger.info("The beginning of Shard %d of Job %s is not known: %s", shard.number, job.id, error)
            return b""
        return sort_key(self._asked(line, None, job.kind)) if isinstance(line, Line) else b""
