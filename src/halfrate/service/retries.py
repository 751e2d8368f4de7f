"""The failed Requests of a Job, tried again as a new Job."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from itertools import repeat

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.dispatch.output import Output
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import CorruptData, FailedPrecondition, Refusal
from halfrate.domain.file import File, FileSource
from halfrate.domain.job import Job, JobState
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import SegmentRef
from halfrate.identity import new_id
from halfrate.ingest.inputs import Inputs
from halfrate.ingest.lines import LineScanner, RawLine
from halfrate.service.jobs import Jobs
from halfrate.store.blob.api import BlobReader, BlobStore, read_chunks
from halfrate.store.blob.names import input_blob
from halfrate.store.meta.api import MetaStore

SUFFIX = " (retry)"


class Retries:
    """Makes Jobs of what failed in others.

    A Job has one retry: whoever asks again, having missed the answer, is given the same. What fails in
    the retry is tried again by retrying that.
    """

    def __init__(
        self,
        *,
        jobs: Jobs,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        output: Output,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._jobs = jobs
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._output = output
        self._clock = clock
        self._limits = limits
        self._making: dict[str, asyncio.Task[Job]] = {}

    async def retry(self, job_id: str, *, deadline: Deadline | None = None) -> Job:
        """Return the Job that tries again what failed in a Job that has ended, making it first.

        Its input is the lines that failed, as they were sent and in their order, but for those that are
        invalid: they can never be answered. Of a Job that failed as a whole it is every line.

        Raise `NotFound` if there is no such Job, `FailedPrecondition` if it has not ended, nothing in it
        can be tried again, or its input is gone; and what `Jobs.create_from_file` raises.
        """
        # Shielded, and shared: a client that gives up waiting asks again, and is not to begin a second one.
        if job_id not in self._making:
            task = asyncio.create_task(self._retry(job_id, deadline))
            self._making[job_id] = task
            task.add_done_callback(lambda _: self._making.pop(job_id))
        return await asyncio.shield(self._making[job_id])

    async def _retry(self, job_id: str, deadline: Deadline | None) -> Job:
        job = await self._jobs.get(job_id)
        made = await self._store.get_retry(job_id)
        if made is not None:
            return made
        _check_retriable(job)
        lines = self._lines(job, await self._store.segments(job_id))
        if job.input_file is None:
            return await self._jobs.create_inline(
                model=job.model,
                items=lines,
                display_name=_name_of_retry(job),
                priority=job.priority,
                deadline=deadline,
                notify=job.notify,
                retry_of=job.id,
                kind=job.kind,
            )
        return await self._create_from_file(job, lines, deadline)

    async def _create_from_file(self, job: Job, lines: Iterator[bytes], deadline: Deadline | None) -> Job:
        file = await asyncio.to_thread(self._write, job, lines)
        await self._store.create_file(file)
        try:
            return await self._jobs.create_from_file(
                model=job.model,
                file_id=file.id,
                display_name=_name_of_retry(job),
                priority=job.priority,
                keep_going=job.keep_going,
                deadline=deadline,
                notify=job.notify,
                retry_of=job.id,
                kind=job.kind,
            )
        except Refusal:
            await self._store.delete_file(file.id)
            await asyncio.to_thread(self._inputs.discard, file.blob)
            raise

    def _write(self, job: Job, lines: Iterator[bytes]) -> File:
        digest = hashlib.sha256()
        blob = input_blob(new_id(24))
        with self._blobs.writer(blob) as writer:
            for line in lines:
                writer.write(line + b"\n")
                digest.update(line + b"\n")
            size_bytes = writer.commit()
        now = self._clock.now()
        return File(
            id=new_id(12),
            display_name=_name_of_retry(job),
            mime_type="jsonl",
            size_bytes=size_bytes,
            sha256=digest.hexdigest(),
            blob=blob,
            source=FileSource.GENERATED,
            created_at=now,
            expires_at=now + self._limits.file_hours * 3_600,
        )

    def _lines(self, job: Job, segments: list[SegmentRef]) -> Iterator[bytes]:
        """Yield the lines to try again. Raise `FailedPrecondition` if there is none."""
        try:
            source = self._blobs.reader(job.input_blob)
        except FileNotFoundError:
            raise FailedPrecondition(
                f"The input of batches/{job.id} is gone: it is kept for {self._limits.file_hours:g} hours. "
                "Find the keys of the failed requests in its results, and submit their lines again."
            ) from None
        with source:
            yield from self._failed_lines(job, segments, source)

    def _failed_lines(self, job: Job, segments: list[SegmentRef], source: BlobReader) -> Iterator[bytes]:
        seen = chosen = 0
        for line, cause in zip(self._scanned(source), self._causes(job, segments), strict=False):
            seen += 1
            # A line that was too long to be read is invalid too.
            if cause is not None and cause is not Cause.INVALID and line.data is not None:
                yield line.data
                chosen += 1
        if job.state is not JobState.FAILED and seen != job.counts.requests:
            raise CorruptData(
                f"The input of Job {job.id} has {seen} lines for {job.counts.requests} Requests."
            )
        if not chosen:
            raise FailedPrecondition(
                f"Every request that failed in batches/{job.id} is invalid, and would fail again. Mend the "
                "lines that its results name, and submit them."
            )

    def _causes(self, job: Job, segments: list[SegmentRef]) -> Iterator[Cause | None]:
        """Yield for each Request why it failed, None if it was answered."""
        if job.state is JobState.FAILED:  # nothing of it was published
            return repeat(Cause.INTERNAL)
        return self._output.causes(job, segments)

    def _scanned(self, source: BlobReader) -> Iterator[RawLine]:
        scanner = LineScanner(self._limits.line_bytes)
        for chunk in read_chunks(source):
            yield from scanner.feed(chunk)
        yield from scanner.finish()


def _check_retriable(job: Job) -> None:
    if not job.state.final:
        raise FailedPrecondition(
            f"batches/{job.id} has not ended. Wait until it has, or cancel it; then its failed requests "
            "can be tried again."
        )
    if job.state is not JobState.FAILED and not job.counts.failed:
        raise FailedPrecondition(
            f"No request of batches/{job.id} failed: all {job.counts.requests} are answered."
        )


def _name_of_retry(job: Job) -> str:
    return (job.display_name.removesuffix(SUFFIX) + SUFFIX).strip()
