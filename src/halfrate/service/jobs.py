"""Jobs: created at once, then watched, stopped and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import InvalidArgument, NotFound, Refusal
from halfrate.domain.job import Counts, Job, JobState
from halfrate.domain.outcome import Cause
from halfrate.engines.api import EngineState
from halfrate.identity import new_id
from halfrate.ingest.index import IndexSummary
from halfrate.ingest.inputs import Inputs, refuse_bad_input
from halfrate.service.files import unknown_file
from halfrate.service.models import Model, Models
from halfrate.service.paging import page_of, place_of
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import input_blob
from halfrate.store.meta.api import MetaStore

INDEX_WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a Job's numbers do not say by themselves.

    ``waiting_reason`` is a sentence while the Job does not move, ``eta_seconds`` a guess from the pace
    so far; each is None where there is nothing to say.
    """

    waiting_reason: str | None
    eta_seconds: float | None


class Jobs:
    """What the Batches API can do."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        models: Models,
        clock: Clock,
        limits: Limits,
        created: Callable[[], None],
        let_go: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._models = models
        self._clock = clock
        self._limits = limits
        self._created = created
        self._let_go = let_go

    async def create_from_file(
        self,
        *,
        model: str,
        file_id: str,
        display_name: str,
        priority: int,
        keep_going: bool = False,
        deadline: Deadline | None = None,
        retry_of: str | None = None,
    ) -> Job:
        """Accept the lines of an uploaded File.

        Raise `NotFound` for an unknown model, `Forbidden` for an unknown File, `InvalidArgument` naming
        every bad line (unless ``keep_going``: they become error Results) or for a ``deadline`` that is
        out of bounds, `ResourceExhausted` if too many Jobs are unfinished.
        """
        resolved = self._models.resolve(model)
        file = await self._store.get_file(file_id)
        if file is None:
            raise unknown_file(file_id)
        summary = await self._inputs.summary_within(INDEX_WAIT_SECONDS, file.blob)
        if summary is not None:
            refuse_bad_input(summary, keep_going=keep_going)
        return await self._accept(
            resolved,
            model=model,
            summary=summary,
            input_file=file_id,
            blob=file.blob,
            display_name=display_name,
            priority=priority,
            keep_going=keep_going,
            deadline=deadline,
            retry_of=retry_of,
        )

    async def create_inline(
        self,
        *,
        model: str,
        items: Iterable[bytes],
        display_name: str,
        priority: int,
        deadline: Deadline | None = None,
        retry_of: str | None = None,
    ) -> Job:
        """Accept Requests that came in the call itself, each a JSON object on one line.

        Raise as `create_from_file` does.
        """
        resolved = self._models.resolve(model)
        blob = input_blob(new_id(24))
        await asyncio.to_thread(self._write, blob, items)
        try:
            summary = await self._inputs.read_summary(blob)
            refuse_bad_input(summary, keep_going=False)
            return await self._accept(
                resolved,
                model=model,
                summary=summary,
                input_file=None,
                blob=blob,
                display_name=display_name,
                priority=priority,
                keep_going=False,
                deadline=deadline,
                retry_of=retry_of,
            )
        except Refusal:
            # Only a refusal says that there is no Job. Whoever was broken off does not know: a Job may need
            # these bytes, and if none does they are removed at the next start.
            await asyncio.to_thread(self._inputs.discard, blob)
            raise

    async def get(self, job_id: str) -> Job:
        """Return a Job. Raise `NotFound` if there is none."""
        job = await self._store.get_job(job_id)
        if job is None:
            raise NotFound(f"The batch batches/{job_id} does not exist, or it was deleted.")
        return job

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[Job], str | None]:
        """Return a page of Jobs, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        jobs = await self._store.list_jobs(limit=page_size + 1, after=place_of(page_token))
        return page_of(jobs, page_size)

    async def cancel(self, job_id: str) -> None:
        """Stop a Job; what was answered is published.

        No effect on one that has ended, or has nothing left to stop: once every Request has its Result, only
        the output is still to be written, and the Job succeeds. Raise `NotFound` if there is none.
        """
        await self.stop(await self.get(job_id), Cause.CANCELLED)

    async def delete(self, job_id: str) -> None:
        """Remove a Job and its output, stopping it first. Raise `NotFound` if there is none."""
        # In this order: a Job that is hidden before it is stopped would run on if the process died between.
        await self.stop(await self.get(job_id), Cause.CANCELLED)
        await self._store.delete_job(job_id)

    async def stop(self, job: Job, cause: Cause) -> bool:
        """Start no more of a Job's Requests and let go of those in flight. False if it is past that."""
        stopped = await self._store.stop_job(job.id, cause)
        if stopped:
            await self._let_go(job)
        return stopped

    async def progress(self, job: Job) -> Progress:
        """Say why a Job does not move, or when it will be done."""
        if job.state is JobState.PENDING or (job.state is JobState.RUNNING and not self._ready(job)):
            return Progress(await self._why_waiting(job), None)
        if job.state is JobState.RUNNING and job.started_at is not None:
            done = job.counts.succeeded + job.counts.failed
            elapsed_seconds = self._clock.now() - job.started_at
            return Progress(None, elapsed_seconds / done * job.counts.pending if done else None)
        return Progress(None, None)

    async def _accept(
        self,
        resolved: Model,
        *,
        model: str,
        summary: IndexSummary | None,
        input_file: str | None,
        blob: str,
        display_name: str,
        priority: int,
        keep_going: bool,
        deadline: Deadline | None,
        retry_of: str | None,
    ) -> Job:
        now = self._clock.now()
        job = Job(
            id=new_id(24),
            model=f"models/{model.removeprefix('models/')}",
            engine=resolved.name,
            display_name=display_name,
            priority=priority,
            state=JobState.PENDING,
            input_file=input_file,
            input_blob=blob,
            keep_going=keep_going,
            created_at=now,
            updated_at=now,
            deadline=self._within_bounds(deadline, now),
            retry_of=retry_of,
            counts=Counts(requests=summary.requests if summary else 0),
        )
        await self._store.create_job(job, active_jobs_max=self._limits.active_jobs)
        self._created()
        return job

    def _within_bounds(self, deadline: Deadline | None, now: float) -> float:
        latest = now + self._limits.job_hours * 3_600
        instant = latest if deadline is None else deadline.instant(now)
        if not now < instant <= latest:
            raise InvalidArgument(
                f"The deadline is {instant - now:.0f} s from now; it must be ahead, and at most "
                f"{self._limits.job_hours:g} hours."
            )
        return instant

    def _ready(self, job: Job) -> bool:
        model = self._models.named(job.engine)
        return model is not None and model.engine.state is EngineState.READY

    async def _why_waiting(self, job: Job) -> str:
        model = self._models.named(job.engine)
        if model is None:
            return f"The model {job.engine} is not served any more. Serve it again, or cancel the batch."
        if model.engine.state is not EngineState.READY:
            return model.engine.trouble or f"The model {job.engine} is loading."
        if not job.planned:
            return "Its requests are being put in order."
        ahead = await self._store.requests_ahead(job)
        return f"{ahead} requests of other batches go first." if ahead else "It starts in a moment."

    def _write(self, blob: str, items: Iterable[bytes]) -> None:
        with self._blobs.writer(blob) as writer:
            for item in items:
                writer.write(item + b"\n")
            writer.commit()
