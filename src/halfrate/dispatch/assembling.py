"""Publishes drained Jobs: output written, conservation checked, state final."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice

from halfrate.clock import Clock
from halfrate.crashpoints import CrashPoint, reach
from halfrate.dispatch.bell import Bell
from halfrate.dispatch.output import Output
from halfrate.dispatch.troubles import Troubles
from halfrate.domain.errors import CorruptData, IllegalTransition
from halfrate.domain.file import File, FileSource, output_file_id
from halfrate.domain.job import Counts, Job, JobEvent
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import SegmentRef
from halfrate.store import disk
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import output_blob
from halfrate.store.meta.api import MetaStore, Tally

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
LINES_A_POINT = 16

PIECE_LINES = 64
"""Lines written together. Few, because one may be 4 MiB long."""

PUBLISH = {
    None: JobEvent.PUBLISH,
    Cause.CANCELLED: JobEvent.PUBLISH_CANCELLED,
    Cause.EXPIRED: JobEvent.PUBLISH_EXPIRED,
}


class Assembler:
    """Publishes the Jobs that wait for it, one at a time. Doing it again after a crash does no harm.

    ``count`` returns how many Requests an input has.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        output: Output,
        count: Callable[[str], Awaitable[int]],
        clock: Clock,
        troubles: Troubles,
        keep_output_seconds: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._output = output
        self._count = count
        self._clock = clock
        self._troubles = troubles
        self._keep_output_seconds = keep_output_seconds
        self._lines_written: dict[str, int] = {}
        self.bell = Bell(clock)

    async def run(self) -> None:
        """Publish Jobs until cancelled."""
        while True:
            for job in await self._store.jobs_to_assemble():
                await self._publish_or_fail(job)
            await self.bell.wait(seconds=LOOK_SECONDS)

    def written_percent(self, job: Job) -> float | None:
        """Return how much of a Job's output is written, None while nothing is."""
        lines = self._lines_written.get(job.id)
        return None if lines is None else 100 * lines / max(1, job.counts.requests)

    async def _publish_or_fail(self, job: Job) -> None:
        try:
            if await self._store.get_job(job.id) is None:
                await self._end(job, None)  # it was deleted: nobody would read its output
            else:
                await self._publish(job)
        except IllegalTransition:
            logger.info("Job %s ended while it was being assembled.", job.id)
        except (CorruptData, FileNotFoundError) as error:
            why = disk.explain(error) if isinstance(error, OSError) else str(error)
            logger.error("Job %s cannot be assembled: %s", job.id, why)
            await self._store.fail_job(job.id, f"The output cannot be assembled: {why}")
        except OSError as error:
            why = disk.explain(error)
            logger.error("Job %s cannot be assembled now, and will be tried again: %s", job.id, why)
            self._troubles.note(why, job_id=job.id)
        else:
            self._troubles.clear(job.id)

    async def _publish(self, job: Job) -> None:
        job = await self._counted(job)
        segments = await self._store.segments(job.id)
        given_up = threading.Event()
        try:
            file = await asyncio.to_thread(self._write, job, segments, given_up)
        finally:
            given_up.set()  # a thread is not cancelled: a process that is to end would wait for all the lines
            self._lines_written.pop(job.id, None)
        await self._end(job, file)

    async def _end(self, job: Job, output: File | None) -> None:
        missing = Tally(counts=Counts(failed=job.counts.pending))
        await self._store.publish_job(job.id, PUBLISH[job.stopped_by], output, missing=missing)

    async def _counted(self, job: Job) -> Job:
        """Return a Job that was stopped before its input was indexed with the number of its Requests: each
        of them gets its error line all the same.
        """
        if job.counts.requests:
            return job
        requests = await self._count(job.input_blob)
        await self._store.set_requests(job.id, requests)
        return replace(job, counts=Counts(requests=requests))

    def _write(self, job: Job, segments: Sequence[SegmentRef], given_up: threading.Event) -> File:
        digest = hashlib.sha256()
        lines = 0
        with self._blobs.writer(output_blob(job.id)) as writer:
            made = self._output.whole(job, segments)
            while piece := list(islice(made, PIECE_LINES)):
                data = b"".join(piece)
                writer.write(data)
                digest.update(data)
                lines += len(piece)
                self._lines_written[job.id] = lines
                if given_up.is_set():
                    raise InterruptedError(f"The output of Job {job.id} is not wanted now.")
                if lines % LINES_A_POINT == 0:
                    reach(CrashPoint.ASSEMBLE_LINES_AFTER)
            if lines != job.counts.requests:
                raise CorruptData(f"{lines} lines were made for {job.counts.requests} Requests.")
            reach(CrashPoint.ASSEMBLE_WRITE_AFTER)
            size_bytes = writer.commit()
        reach(CrashPoint.ASSEMBLE_COMMIT_AFTER)
        now = self._clock.now()
        return File(
            id=output_file_id(job.id),
            display_name=job.display_name,
            mime_type="jsonl",
            size_bytes=size_bytes,
            sha256=digest.hexdigest(),
            blob=output_blob(job.id),
            source=FileSource.GENERATED,
            created_at=now,
            expires_at=now + self._keep_output_seconds,
        )
