"""Jobs: created at once, then watched, stopped and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.crashpoints import CrashPoint, reach
from halfrate.dispatch.routing import Routing
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import FailedPrecondition, InvalidArgument, NotFound, Refusal
from halfrate.domain.job import Counts, Job, JobChange, JobState, Notify
from halfrate.domain.kind import Kind
from halfrate.domain.line import Line
from halfrate.domain.listing import Condition
from halfrate.domain.outcome import Cause
from halfrate.domain.outlook import Outlook
from halfrate.identity import new_id
from halfrate.ingest.index import IndexSummary
from halfrate.ingest.inputs import Inputs, refuse_bad_input
from halfrate.lookup.lookup import Lookup
from halfrate.net.targets import Targets
from halfrate.service.files import unknown_file
from halfrate.service.models import Model, Models
from halfrate.service.outlooks import Outlooks
from halfrate.service.paging import page_of, place_of
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import input_blob
from halfrate.store.meta.api import MetaStore

INDEX_WAIT_SECONDS = 10.0


class Jobs:
    """What the Batches API can do."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        lookup: Lookup,
        models: Models,
        clock: Clock,
        limits: Limits,
        outlooks: Outlooks,
        targets: Targets,
        created: Callable[[], None],
        let_go: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._lookup = lookup
        self._models = models
        self._clock = clock
        self._limits = limits
        self._outlooks = outlooks
        self._targets = targets
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
        notify: Notify = Notify(),
        retry_of: str | None = None,
        kind: Kind | None = None,
    ) -> Job:
        """Accept the lines of an uploaded File, all of one kind: that of the model, if none is given.

        ``model`` answers those that name none themselves. Raise `NotFound` for an unknown model, `Forbidden`
        for an unknown File, `InvalidArgument` naming every bad line, and those that name a model which is not
        served (unless ``keep_going``: they become error Results), for a model of another kind, for a
        ``deadline`` that is out of bounds, or for somebody to ``notify`` who may not be called,
        `ResourceExhausted` if too many Jobs are unfinished.
        """
        resolved = self._models.of_kind(model, kind)
        self._check(notify)
        file = await self._store.get_file(file_id)
        if file is None:
            raise unknown_file(file_id)
        try:
            summary = await self._inputs.summary_within(INDEX_WAIT_SECONDS, file.blob)
            if summary is not None:
                refuse_bad_input(summary, keep_going=keep_going, kind=resolved.kind)
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
                notify=notify,
                retry_of=retry_of,
            )
        except (NotFound, FileNotFoundError):  # it expired, or was deleted, since it was looked up
            raise unknown_file(file_id) from None

    async def create_inline(
        self,
        *,
        model: str,
        items: Iterable[bytes],
        display_name: str,
        priority: int,
        deadline: Deadline | None = None,
        notify: Notify = Notify(),
        retry_of: str | None = None,
        kind: Kind | None = None,
    ) -> Job:
        """Accept Requests that came in the call itself, each a JSON object on one line.

        Raise as `create_from_file` does.
        """
        resolved = self._models.of_kind(model, kind)
        self._check(notify)
        blob = input_blob(new_id(24))
        summary = await self._store_inline(blob, items)
        try:
            refuse_bad_input(summary, keep_going=False, kind=resolved.kind)
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
                notify=notify,
                retry_of=retry_of,
            )
        except Refusal:
            # Only a refusal says that there is no Job. Whoever was broken off does not know: a Job may need
            # these bytes, and if none does they are removed at the next start.
            await asyncio.to_thread(self._inputs.discard, blob)
            raise

    async def model_named_first(self, file_id: str) -> str | None:
        """Return the model that the first line of an uploaded File names, None if it names none.

        Raise `Forbidden` for an unknown File.
        """
        file = await self._store.get_file(file_id)
        if file is None:
            raise unknown_file(file_id)
        try:
            line = await asyncio.to_thread(self._inputs.first_line, file.blob)
        except FileNotFoundError:  # it expired, or was deleted, since it was looked up
            raise unknown_file(file_id) from None
        return line.model if isinstance(line, Line) else None

    async def get(self, job_id: str) -> Job:
        """Return a Job. Raise `NotFound` if there is none."""
        job = await self._store.get_job(job_id)
        if job is None:
            raise NotFound(f"The batch batches/{job_id} does not exist, or it was deleted.")
        return job

    async def list(
        self, *, page_size: int, page_token: str | None, where: Condition | None = None
    ) -> tuple[list[Job], str | None]:
        """Return a page of the Jobs ``where`` a condition holds, newest first, and the token of the next one.

        Raise `InvalidArgument` if the token is not one of ours, or is of another condition's list.
        """
        after = place_of(page_token, listing=where)
        jobs = await self._store.list_jobs(limit=page_size + 1, after=after, where=where)
        return page_of(jobs, page_size, listing=where)

    async def change(self, job_id: str, change: JobChange) -> Job:
        """Change a Job, and return it. A new priority counts from the next claim on.

        Raise `NotFound` if there is none, `FailedPrecondition` if it has ended and more than its name is to
        change, `InvalidArgument` for somebody to notify who may not be called.
        """
        if change.notify is not None:
            self._check(change.notify)
        if not await self._store.change_job(job_id, change):
            job = await self.get(job_id)
            raise FailedPrecondition(
                f"batches/{job_id} is {job.state.value}: its priority and whom to tell of its end make no "
                "difference any more. Name only displayName in the update mask."
            )
        return await self.get(job_id)

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
        reach(CrashPoint.JOB_DELETE_AFTER)

    async def stop(self, job: Job, cause: Cause) -> bool:
        """Start no more of a Job's Requests and let go of those in flight. False if it is past that."""
        stopped = await self._store.stop_job(job.id, cause)
        if stopped:
            reach(CrashPoint.JOB_STOP_AFTER)
            await self._let_go(job)
        return stopped

    async def outlook(self, job: Job) -> Outlook:
        """Say why a Job does not move, when it may be done, and whether that is in time."""
        return await self._outlooks.of(job)

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
        notify: Notify,
        retry_of: str | None,
    ) -> Job:
        now = self._clock.now()
        expires_at = self._within_bounds(deadline, now)
        if summary is not None and not keep_going:
            routing = Routing(
                model=model, engine=resolved.name, kind=resolved.kind, engine_of=self._models.engine_of
            )
            routing.refuse_unserved(summary)
            await self._lookup.check(routing.caches(summary), at=now)
        job = Job(
            id=new_id(24),
            kind=resolved.kind,
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
            deadline=expires_at,
            notify=notify,
            retry_of=retry_of,
            promised_at=min(now + self._limits.promise_hours * 3_600, expires_at),
            counts=Counts(requests=summary.requests if summary else 0),
        )
        await self._store.create_job(job, active_jobs_max=self._limits.active_jobs)
        self._created()
        return job

    def _check(self, notify: Notify) -> None:
        for uri in notify.uris:
            self._targets.read(uri)

    def _within_bounds(self, deadline: Deadline | None, now: float) -> float:
        latest = now + self._limits.job_hours * 3_600
        instant = latest if deadline is None else deadline.instant(now)
        if not now < instant <= latest:
            raise InvalidArgument(
                f"The deadline is {instant - now:.0f} s from now; it must be ahead, and at most "
                f"{self._limits.job_hours:g} hours."
            )
        return instant

    async def _store_inline(self, blob: str, items: Iterable[bytes]) -> IndexSummary:
        """Make an input of Requests that came in a call. A full disk keeps nothing of it."""
        try:
            await asyncio.to_thread(self._write, blob, items)
            reach(CrashPoint.INLINE_WRITE_AFTER)
            return await self._inputs.read_summary(blob)
        except OSError:
            await asyncio.to_thread(self._inputs.discard, blob)
            raise

    def _write(self, blob: str, items: Iterable[bytes]) -> None:
        with self._blobs.writer(blob) as writer:
            for item in items:
                writer.write(item + b"\n")
            writer.commit()
