"""Turns an indexed input into Shards: every line read once, ordered, twins joined, written out."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.dispatch.bell import Bell
from halfrate.domain.errors import CorruptData, IllegalTransition, InvalidArgument
from halfrate.domain.job import Job
from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Request
from halfrate.domain.result import Asker
from halfrate.ingest.indexed import IndexedLines
from halfrate.ingest.inputs import Inputs, refuse_bad_input
from halfrate.ingest.sort import ExternalSort
from halfrate.planner.order import plan
from halfrate.planner.shards import cut
from halfrate.results.records import decode_assignment, encode_assignment
from halfrate.results.shard_file import write_shard
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import shard_blob, shards_folder
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


class Planner:
    """Plans the Jobs that wait for it, one at a time, those that go first before the others."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        asked: Callable[[Line, str], Request | Failed],
        default_temperature: Callable[[Job], Awaitable[float]],
        spill: Path,
        clock: Clock,
        config: DispatchConfig,
        planned: Callable[[], None],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._asked = asked
        self._default_temperature = default_temperature
        self._spill = spill
        self._config = config
        self._planned = planned
        self.bell = Bell(clock)

    async def run(self) -> None:
        """Plan Jobs until cancelled."""
        while True:
            for job in await self._store.jobs_to_plan():
                await self._plan_or_fail(job)
            await self.bell.wait(seconds=LOOK_SECONDS)

    async def _plan_or_fail(self, job: Job) -> None:
        try:
            await self._plan(job)
        except IllegalTransition:
            logger.info("Job %s was stopped while it was being planned.", job.id)
            await asyncio.to_thread(self._blobs.delete, shards_folder(job.id))
        except OSError as error:
            logger.error("Job %s cannot be planned now, and will be tried again: %s", job.id, error)
            return
        self._planned()

    async def _plan(self, job: Job) -> None:
        """Give a Job its Shards, or fail it. Raise `IllegalTransition` if it ended in the meantime."""
        try:
            summary = await self._inputs.read_summary(job.input_blob)
            if job.counts.requests != summary.requests:
                # The Job was accepted before its input was indexed.
                refuse_bad_input(summary, keep_going=job.keep_going)
                await self._store.set_requests(job.id, summary.requests)
            temperature = await self._default_temperature(job)
            sizes = await asyncio.to_thread(self._write_shards, job, temperature)
            await self._store.save_plan(job.id, sizes)
        except InvalidArgument as error:
            await self._store.fail_job(job.id, str(error))
        except (CorruptData, FileNotFoundError) as error:
            # A Job that was stopped has lost its folder: that it cannot fail any more is no surprise.
            await self._store.fail_job(job.id, f"The input cannot be read: {error}")

    def _write_shards(self, job: Job, default_temperature: float) -> list[int]:
        """Write the Shards of a Job, in place of any half-written ones, and return their sizes."""
        self._blobs.delete(shards_folder(job.id))
        with ExitStack() as stack:
            lines = stack.enter_context(self._inputs.lines(job.input_blob))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._spill)))
            sort = stack.enter_context(ExternalSort(folder, memory_bytes=self._config.sort_memory_bytes))
            assignments = plan(
                self._requests(job, lines),
                sort,
                encode=encode_assignment,
                decode=decode_assignment,
                default_temperature=default_temperature,
            )
            shards = cut(
                assignments, askers_max=self._config.shard_requests, bytes_max=self._config.shard_bytes
            )
            sizes = []
            for number, shard in enumerate(shards):
                with self._blobs.writer(shard_blob(job.id, number)) as writer:
                    sizes.append(write_shard(writer, shard))
                    writer.commit()
            return sizes

    def _requests(self, job: Job, lines: IndexedLines) -> Iterator[tuple[Asker, Request | Failed]]:
        for record, line in lines:
            match line:
                case Rejection(message):
                    # Only a Job that keeps going comes here with a bad line: it becomes an error Result.
                    detail = f"Error on line {record.number}: {message}"
                    yield Asker(record.ordinal), Failed(Cause.INVALID, detail)
                case Line(key, metadata) if record.repeated:
                    detail = (
                        f"Error on line {record.number}: an earlier line has the key {key!r}; "
                        "give every line a key of its own."
                    )
                    yield Asker(record.ordinal, key, metadata), Failed(Cause.INVALID, detail)
                case Line(key, metadata):
                    yield Asker(record.ordinal, key, metadata), self._asked(line, job.model)
