"""Metadata in SQLite: WAL, synchronous=FULL, one writer, group commit."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import apsw

from halfrate.clock import Clock
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.errors import (
    AlreadyExists,
    ConfigError,
    CorruptData,
    IllegalTransition,
    LeaseLost,
    NotFound,
    ResourceExhausted,
)
from halfrate.domain.file import File, FileSource, Upload, output_file_id
from halfrate.domain.job import Counts, Job, JobChange, JobEvent, JobState, Notify, advance
from halfrate.domain.kind import Kind
from halfrate.domain.listing import Condition
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import Lease, Section, SegmentRef, Shard, Share
from halfrate.domain.sharing import Sharing
from halfrate.domain.snapshot import Snapshot
from halfrate.domain.usage import Usage
from halfrate.domain.waiting import Ahead
from halfrate.store.meta.api import Place, StoredJob, Tally
from halfrate.store.meta.conditions import as_sql
from halfrate.store.meta.group_commit import Committer, GroupCommitter
from halfrate.store.meta.migrations import migrations
from halfrate.store.meta.queries import query
from halfrate.store.meta.rows import Row
from halfrate.store.meta.rows import cursor_of as _cursor
from halfrate.store.meta.rows import execute as _execute
from halfrate.store.meta.rows import rows as _rows
from halfrate.store.meta.rows import rows_of as _rows_of
from halfrate.store.meta.sqlite_caches import SqliteCaches
from halfrate.store.meta.sqlite_webhooks import SqliteWebhooks, tell

LOG_BYTES_KEPT = 16 << 20

SHARDS_MAX = 1 << 62
"""More than a Job ever has."""

T = TypeVar("T")


class SqliteStore(SqliteWebhooks, SqliteCaches):
    """The `MetaStore` of one machine.

    Reads run on the calling thread (microseconds, from the page cache); changes on the writer's.
    Open it from one process only.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        committer: Callable[[apsw.Connection], Committer] = GroupCommitter,
        *,
        read_only: bool = False,
    ) -> None:
        """Open or create the database; with ``read_only`` open one that is there, while others may change it.

        Raise `CorruptData` if the file is not a usable one, `OSError` if the disk cannot be used. Read-only,
        every change raises `OSError`, and a database of another version of halfrate `ConfigError`.
        """
        self._clock = clock
        self._path = path
        with _translated(path):
            if read_only:
                self._reader = _connect_to_read(path)
                self._connections = [self._reader]
                self._committer: Committer = _NoChanges(path)
            else:
                writer = _connect(path)
                _migrate(writer)
                self._reader = _connect(path)
                self._connections = [self._reader, writer]
                self._committer = committer(writer)

    def close(self) -> None:
        """Finish the changes that wait, and close the file."""
        self._committer.close()
        for connection in self._connections:
            connection.close()

    # Jobs

    async def create_job(self, job: Job, *, active_jobs_max: int) -> None:
        """Add a Job. Raise `ResourceExhausted`, `NotFound` or `AlreadyExists` if it may not be."""
        values = asdict(job) | {"requests": job.counts.requests, "active_jobs_max": active_jobs_max}
        values |= {"now": self._clock.now(), **_notify_values(job.notify)}

        def change(connection: apsw.Connection) -> None:
            try:
                created = _execute(connection, "create_job", values)
            except apsw.ConstraintError:
                if job.retry_of is None:
                    raise
                raise AlreadyExists(f"batches/{job.retry_of} has a retry already.") from None
            if not created:
                if job.input_file is not None and not _rows(connection, "get_input_file", values):
                    raise NotFound(f"The file files/{job.input_file} is not there any more.")
                raise ResourceExhausted(
                    f"{active_jobs_max} batches are pending or running, and no more are taken at a time. "
                    "Wait until one ends, or cancel one."
                )

        reach(CrashPoint.JOB_CREATE_BEFORE)
        await self._change(change)
        reach(CrashPoint.JOB_CREATE_AFTER)

    async def get_job(self, job_id: str) -> Job | None:
        """Return a Job, or None if there is none or it was deleted."""
        rows = self._read("get_job", {"id": job_id})
        return _job(rows[0]) if rows else None

    async def get_retry(self, job_id: str) -> Job | None:
        """Return the Job that retries another, or None if there is none or it was deleted."""
        rows = self._read("get_retry", {"id": job_id})
        return _job(rows[0]) if rows else None

    async def list_jobs(
        self, *, limit: int, after: Place | None, where: Condition | None = None
    ) -> list[Job]:
        """Return up to ``limit`` Jobs ``where`` this holds, newest first, that come after ``after``."""
        page = {"limit": limit} | _cursor(after)
        if where is None:
            return [_job(row) for row in self._read("list_jobs", page)]
        return [_job(row) for row in await asyncio.to_thread(self._read_where, where, page)]

    def _read_where(self, where: Condition, page: Row) -> list[Row]:
        # It may look at every Job there is: on a connection of its own, and not on the calling thread.
        condition, values = as_sql(where)
        text = query("list_jobs").replace("(TRUE)", f"({condition})")
        with _translated(self._path), closing(_connect_to_read(self._path)) as connection:
            return _rows_of(connection, text, page | values)

    async def change_job(self, job_id: str, change: JobChange) -> bool:
        """Change a Job. Return False if there is none, or it is final and more than the name changes."""
        values = {
            "id": job_id,
            "now": self._clock.now(),
            "display_name": change.display_name,
            "priority": change.priority,
            **_notify_values(change.notify),
        }
        return await self._change(lambda connection: _execute(connection, "change_job", values)) > 0

    async def save_plan(self, job_id: str, sections: Sequence[Section]) -> None:
        """Give a PENDING Job its Shards. Raise `IllegalTransition` if it has a plan or is not PENDING."""

        def change(connection: apsw.Connection) -> None:
            rows = _rows(connection, "take_plan", {"id": job_id, "now": self._clock.now()})
            if not rows:
                raise IllegalTransition(f"Job {job_id} takes no plan now.")
            shares: dict[str, Row] = {}
            for shard in _numbered(job_id, sections):
                _execute(connection, "add_shard", asdict(shard))
                if shard.engine != rows[0]["engine"]:
                    _count_in(shares, shard)
            if shares:
                _execute(connection, "share_job", {"id": job_id, "other_engines": json.dumps(list(shares))})
            for share in shares.values():
                _execute(connection, "add_share", share)
            self._drain(connection, job_id)

        reach(CrashPoint.PLAN_SAVE_BEFORE)
        await self._change(change)
        reach(CrashPoint.PLAN_SAVE_AFTER)

    async def set_requests(self, job_id: str, requests: int) -> None:
        """Note how many Requests a Job has, once its input is indexed."""
        values = {"id": job_id, "requests": requests, "now": self._clock.now()}
        await self._change(lambda connection: _execute(connection, "set_requests", values))

    async def note_order(self, job_id: str, order_version: int, sharing: Sharing) -> None:
        """Note what a PENDING Job's Requests are sorted by, and what they have in common then."""
        values = {"id": job_id, "order_version": order_version, **asdict(sharing)}
        await self._change(lambda connection: _execute(connection, "note_order", values))

    async def note_files_read(self, job_id: str) -> None:
        """Note that lines of a Job point at Files: those that expire from now on are kept for it."""
        await self._change(lambda connection: _execute(connection, "note_files_read", {"id": job_id}))

    async def fail_job(self, job_id: str, error: str) -> None:
        """End a Job that cannot be run. Raise `IllegalTransition` if it is final."""

        def change(connection: apsw.Connection) -> None:
            values = {"id": job_id, "error": error, "now": self._clock.now()}
            if _execute(connection, "fail_job", values) == 0:
                raise IllegalTransition(f"Job {job_id} has ended and cannot fail.")
            _execute(connection, "close_shards", {"id": job_id})
            tell(connection, job_id, JobState.FAILED)

        await self._change(change)

    async def stop_job(self, job_id: str, cause: Cause) -> bool:
        """Start no more of a Job's Requests. Return False, and change nothing, if it is past that."""

        def change(connection: apsw.Connection) -> bool:
            values = {"id": job_id, "cause": cause, "now": self._clock.now()}
            if _execute(connection, "stop_job", values) == 0:
                return False
            _execute(connection, "close_open_shards", {"id": job_id})
            self._drain(connection, job_id)
            return True

        return await self._change(change)

    async def publish_job(self, job_id: str, event: JobEvent, output: File | None, *, missing: Tally) -> None:
        """Make an ASSEMBLING Job final, with its output File unless it was deleted."""
        state = advance(JobState.ASSEMBLING, event)
        values = {
            "id": job_id,
            "state": state,
            "output_bytes": 0 if output is None else output.size_bytes,
            "output_expires_at": None if output is None else output.expires_at,
            "missing": missing.counts.failed,
            "now": self._clock.now(),
        }

        def change(connection: apsw.Connection) -> None:
            rows = _rows(connection, "publish_job", values)
            if not rows:
                raise IllegalTransition(f"Job {job_id} is not assembling.")
            if not rows[0]["deleted"]:
                if output is None:
                    raise IllegalTransition(f"Job {job_id} was not deleted, and needs its output.")
                _execute(connection, "create_file", asdict(output))
            tell(connection, job_id, state)

        reach(CrashPoint.JOB_PUBLISH_BEFORE)
        await self._change(change)
        reach(CrashPoint.JOB_PUBLISH_AFTER)

    async def delete_job(self, job_id: str) -> None:
        """Hide a Job from `get_job` and `list_jobs`, and its output. Its bytes stay until `forget_job`."""

        def change(connection: apsw.Connection) -> None:
            if _execute(connection, "delete_job", {"id": job_id}):
                _execute(connection, "delete_file", {"id": output_file_id(job_id)})

        await self._change(change)

    async def forget_job(self, job_id: str) -> None:
        """Remove a deleted Job that is final, its Shards, its Segments and its output File."""

        def change(connection: apsw.Connection) -> None:
            if _execute(connection, "forget_job", {"id": job_id}):
                _execute(connection, "delete_file", {"id": output_file_id(job_id)})

        await self._change(change)

    async def jobs_to_plan(self) -> list[Job]:
        """Return the PENDING Jobs without a plan, those that go first at the front."""
        return [_job(row) for row in self._read("jobs_to_plan", {})]

    async def jobs_to_assemble(self) -> list[Job]:
        """Return the ASSEMBLING Jobs, deleted ones too."""
        return [_job(row) for row in self._read("jobs_to_assemble", {})]

    async def jobs_overdue(self) -> list[Job]:
        """Return the Jobs whose deadline has passed and which can still be stopped."""
        return [_job(row) for row in self._read("jobs_overdue", {"now": self._clock.now()})]

    async def next_deadline(self) -> float | None:
        """Return the earliest deadline of a Job that can still be stopped, None if there is none."""
        (row,) = self._read("next_deadline", {})
        deadline: float | None = row["deadline"]
        return deadline

    async def jobs_to_forget(self, *, limit: int) -> list[Job]:
        """Return up to ``limit`` deleted Jobs that are final."""
        return [_job(row) for row in self._read("jobs_to_forget", {"limit": limit})]

    async def jobs_done_with_input(self, *, created_by: float, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that are final, created by then, and may still hold their input."""
        values = {"created_by": created_by, "limit": limit}
        return [_job(row) for row in self._read("jobs_done_with_input", values)]

    async def release_input(self, job_id: str) -> None:
        """Note that a final Job holds its input no more."""
        await self._change(lambda connection: _execute(connection, "release_input", {"id": job_id}))

    async def jobs_to_clear(self, *, failed_by: float, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that still hold what was made while they ran, for no good reason."""
        values = {"now": self._clock.now(), "failed_by": failed_by, "limit": limit}
        return [_job(row) for row in self._read("jobs_to_clear", values)]

    async def clear_job(self, job_id: str) -> None:
        """Remove the Shards and Segments of a final Job, and its output File if that has expired."""
        expired = {"id": output_file_id(job_id), "now": self._clock.now()}

        def change(connection: apsw.Connection) -> None:
            if _execute(connection, "clear_job", {"id": job_id}):
                _execute(connection, "drop_shards", {"id": job_id})
                _execute(connection, "drop_expired_file", expired)

        await self._change(change)

    async def job_counts(self) -> dict[JobState, int]:
        """Return how many Jobs are in each state, deleted ones too until they are forgotten."""
        return {JobState(row["state"]): row["jobs"] for row in self._read("job_counts", {})}

    async def totals(self) -> Tally:
        """Return what all Results ever settled came to, of Jobs that were forgotten too."""
        (row,) = self._read("totals", {})
        return Tally(
            counts=Counts(succeeded=row["succeeded"], failed=row["failed"]),
            usage=Usage(row["input_tokens"], row["output_tokens"], row["cached_tokens"]),
            cost_picos=row["cost_picos"],
            interactive_cost_picos=row["interactive_cost_picos"],
        )

    async def unfinished_jobs(self, *, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that are not final, in no particular order."""
        return [_job(row) for row in self._read("unfinished_jobs", {"limit": limit})]

    async def ahead(self, job: Job, engine: str) -> Ahead:
        """Return which Jobs go before this one at an Engine, and what they still have for it."""
        (row,) = self._read("ahead", asdict(job) | {"engine": engine})
        return Ahead(**row)

    # Shards

    async def claim_shard(
        self, engine: str, worker: str, *, lease_seconds: float, job_id: str | None = None
    ) -> Lease | None:
        """Take the Shard that goes first under a new Lease; the Job's first claim starts it."""
        first = {"engine": engine, "job_id": None, "limit": 1}

        def change(connection: apsw.Connection) -> Lease | None:
            rows = _rows(connection, "find_open_shard", first | {"job_id": job_id})
            rows = rows or _rows(connection, "find_open_shard", first)
            if not rows:
                return None
            (shard,) = rows
            now = self._clock.now()
            lapses_at = now + lease_seconds
            (leased,) = _rows(connection, "lease_shard", shard | {"worker": worker, "lapses_at": lapses_at})
            _execute(connection, "start_job", {"id": shard["job_id"], "now": now})
            return Lease(shard["job_id"], shard["number"], leased["token"], worker, lapses_at)

        # Most looks find nothing: look on this thread first, and pay for a transaction only to claim.
        if not self._read("find_open_shard", first):
            return None
        reach(CrashPoint.LEASE_CLAIM_BEFORE)
        lease = await self._change(change)
        reach(CrashPoint.LEASE_CLAIM_AFTER)
        return lease

    async def next_shards(self, engine: str, *, limit: int) -> list[Shard]:
        """Return the next Shard of each of up to ``limit`` Jobs, those that go first at the front."""
        rows = self._read("find_open_shard", {"engine": engine, "job_id": None, "limit": limit})
        return [await self.get_shard(**row) for row in rows]

    async def renew_lease(self, lease: Lease, *, lease_seconds: float) -> Lease:
        """Put off the lapse of a Lease. Raise `LeaseLost` if it is not the Shard's newest."""
        lapses_at = self._clock.now() + lease_seconds
        renewed = Lease(lease.job_id, lease.shard, lease.token, lease.worker, lapses_at)
        reach(CrashPoint.LEASE_RENEW_BEFORE)
        await self._change(lambda connection: _hold(connection, renewed))
        reach(CrashPoint.LEASE_RENEW_AFTER)
        return renewed

    async def settle(self, lease: Lease, segment: SegmentRef, tally: Tally) -> None:
        """Make Results final: the part of the Segment they are in, counts, usage and cost, all or none."""
        job_values = {
            "id": lease.job_id,
            "succeeded": tally.counts.succeeded,
            "failed": tally.counts.failed,
            **asdict(tally.usage),
            "cost_picos": tally.cost_picos,
            "interactive_cost_picos": tally.interactive_cost_picos,
            "now": self._clock.now(),
        }
        results = tally.counts.succeeded + tally.counts.failed
        share_values = {"job_id": lease.job_id, "number": lease.shard, "results": results}

        def change(connection: apsw.Connection) -> None:
            _hold(connection, lease)
            _execute(connection, "settle_segment", asdict(segment))
            _execute(connection, "settle_job", job_values)
            _execute(connection, "settle_share", share_values)

        reach(CrashPoint.SETTLE_BEFORE)
        await self._change(change)
        reach(CrashPoint.SETTLE_AFTER)

    async def finish_shard(self, lease: Lease) -> None:
        """Close a Shard whose Requests all have Results. The last one drains the Job."""
        reach(CrashPoint.SHARD_FINISH_BEFORE)
        await self._let_go(lease, "finish_shard")
        reach(CrashPoint.SHARD_FINISH_AFTER)

    async def release_shard(self, lease: Lease) -> None:
        """Give a Shard back for another to claim, or close it if its Job is being stopped."""
        reach(CrashPoint.SHARD_RELEASE_BEFORE)
        await self._let_go(lease, "release_shard")
        reach(CrashPoint.SHARD_RELEASE_AFTER)

    async def rescue_shards(self, *, lapsed_only: bool) -> int:
        """Give back the Shards whose Leases lapsed, or all leased ones. Return how many."""
        values = {"lapsed_by": self._clock.now() if lapsed_only else float("inf")}
        if not self._read("leased_shards", values):
            return 0

        def change(connection: apsw.Connection) -> int:
            rows = _rows(connection, "leased_shards", values)
            for row in rows:
                _execute(connection, "release_shard", row)
                self._drain(connection, row["job_id"])
            return len(rows)

        return await self._change(change)

    async def get_shard(self, job_id: str, number: int) -> Shard:
        """Return a Shard of a planned Job."""
        (row,) = self._read("get_shard", {"job_id": job_id, "number": number})
        return Shard(**row)

    async def shares(self, job: Job) -> list[Share]:
        """Return what of a Job is whose, its own Engine's first. Before it is planned, all is that one's."""
        counts = job.counts
        results = counts.succeeded + counts.failed
        if not job.other_engines:
            return [Share(job.engine, counts.requests, results)]
        rows = self._read("shares", {"job_id": job.id})
        others = [Share(row["engine"], row["requests"], row["results"]) for row in rows]
        own = Share(
            job.engine,
            counts.requests - sum(share.requests for share in others),
            results - sum(share.results for share in others),
        )
        return [own, *others]

    async def segments(
        self, job_id: str, shard: int | None = None, *, from_shard: int = 0
    ) -> list[SegmentRef]:
        """Return the settled parts of a Job's Segments, of one Shard's, or from one Shard on, in order."""
        name = "segments" if shard is None else "segments_of_shard"
        values = {"job_id": job_id, "shard": shard, "from_shard": from_shard}
        return [SegmentRef(**row) for row in self._read(name, values)]

    async def snapshot(self, job_id: str) -> Snapshot:
        """Return which Results of a Job there are now."""
        with _translated(self._path), self._reader:  # one transaction: no settlement falls between two looks
            shares = _rows(self._reader, "shares", {"job_id": job_id})
            firsts = [0, *(share["first_shard"] for share in shares)]
            spans = [
                _rows(
                    self._reader,
                    "snapshot",
                    {"job_id": job_id, "first_shard": first, "last_shard": following - 1},
                )
                for first, following in pairwise([*firsts, SHARDS_MAX])
            ]
        return _snapshot(job_id, firsts, spans)

    # Files

    async def create_file(self, file: File, *, upload_id: str | None = None) -> None:
        """Add a File, finishing the Upload it came from. Raise `AlreadyExists` if its id is taken."""

        def change(connection: apsw.Connection) -> None:
            # Its name is free from the moment it expires, not only when it has been pruned.
            _execute(connection, "drop_expired_file", {"id": file.id, "now": self._clock.now()})
            try:
                _execute(connection, "create_file", asdict(file))
            except apsw.ConstraintError:
                raise _name_taken(file.id) from None
            if upload_id is not None:
                _execute(connection, "finish_upload", {"id": upload_id})

        reach(CrashPoint.FILE_CREATE_BEFORE)
        await self._change(change)
        reach(CrashPoint.FILE_CREATE_AFTER)

    async def get_file(self, file_id: str) -> File | None:
        """Return a File that has not expired, or None."""
        rows = self._read("get_file", {"id": file_id, "now": self._clock.now()})
        return _file(rows[0]) if rows else None

    async def get_file_at(self, file_id: str, at: float) -> File | None:
        """Return a File that had not expired ``at`` a moment, or None."""
        rows = self._read("get_file_at", {"id": file_id, "at": at})
        return _file(rows[0]) if rows else None

    async def list_files(self, *, limit: int, after: Place | None) -> list[File]:
        """Return up to ``limit`` uploaded Files, newest first, that come after ``after``."""
        values = {"limit": limit, "now": self._clock.now()} | _cursor(after)
        return [_file(row) for row in self._read("list_files", values)]

    async def delete_file(self, file_id: str) -> bool:
        """Remove a File. Return False if there is none."""
        values = {"id": file_id}
        removed = await self._change(lambda connection: _execute(connection, "delete_file", values))
        return removed > 0

    async def files_expired(self, *, limit: int) -> list[File]:
        """Return up to ``limit`` Files whose time has passed and that no Job reads, the oldest first."""
        values = {"now": self._clock.now(), "limit": limit}
        return [_file(row) for row in self._read("files_expired", values)]

    async def drop_expired_file(self, file_id: str) -> None:
        """Remove a File whose time has passed. One that took over its name stays."""
        values = {"id": file_id, "now": self._clock.now()}
        await self._change(lambda connection: _execute(connection, "drop_expired_file", values))

    async def blob_in_use(self, blob: str) -> bool:
        """Whether a File, an unfinished Job, or a Job whose Requests came inline still holds these bytes."""
        rows = self._read("blob_in_use", {"blob": blob})
        return bool(next(iter(rows[0].values())))

    async def create_upload(self, upload: Upload) -> None:
        """Begin a resumable upload. Raise `AlreadyExists` if its File id is taken."""

        def change(connection: apsw.Connection) -> None:
            try:
                added = _execute(connection, "create_upload", asdict(upload))
            except apsw.ConstraintError:
                added = 0
            if not added:
                raise _name_taken(upload.file_id)

        await self._change(change)

    async def get_upload(self, upload_id: str) -> Upload | None:
        """Return an upload under way, or None."""
        rows = self._read("get_upload", {"id": upload_id})
        return _upload(rows[0]) if rows else None

    async def delete_upload(self, upload_id: str) -> None:
        """Forget an upload."""
        await self._change(lambda connection: _execute(connection, "delete_upload", {"id": upload_id}))

    async def uploads_begun_before(self, created_at: float, *, limit: int) -> list[Upload]:
        """Return up to ``limit`` uploads that were begun before ``created_at``, the oldest first."""
        values = {"created_at": created_at, "limit": limit}
        return [_upload(row) for row in self._read("uploads_begun_before", values)]

    async def stored_jobs(self, *, limit: int, after: str) -> list[str]:
        """Return the ids of up to ``limit`` Jobs, deleted ones too, in order, that come after ``after``."""
        return [row["id"] for row in self._read("stored_jobs", {"limit": limit, "after": after})]

    async def stored_job(self, job_id: str) -> StoredJob | None:
        """Return a Job, also a deleted one, with its Segments."""
        with _translated(self._path), self._reader:  # one transaction: both as they were at one moment
            rows = _rows(self._reader, "stored_job", {"id": job_id})
            segments = _rows(self._reader, "segments", {"job_id": job_id, "from_shard": 0})
        if not rows:
            return None
        (row,) = rows
        refs = tuple(SegmentRef(**segment) for segment in segments)
        return StoredJob(_job(row), refs, cleared=not row["work_held"])

    async def stored_files(self, *, limit: int, after: str) -> list[File]:
        """Return up to ``limit`` Files, expired ones too, in order of id, that come after ``after``."""
        return [_file(row) for row in self._read("stored_files", {"limit": limit, "after": after})]

    async def check_integrity(self) -> list[str]:
        """Return a sentence for each thing in the store that contradicts another; none if all is well."""
        damage = self._damage()
        if damage:  # what is read from such a file says nothing
            return [f"The database file is damaged: {text}" for text in damage]
        return [next(iter(row.values())) for row in self._read("contradictions", {})]

    def _damage(self) -> list[str]:
        try:
            return [row[0] for row in self._reader.execute("PRAGMA integrity_check") if row[0] != "ok"]
        except (apsw.CorruptError, apsw.NotADBError) as error:
            return [str(error)]

    # Steps that several changes share

    async def _let_go(self, lease: Lease, name: str) -> None:
        def change(connection: apsw.Connection) -> None:
            values = {"job_id": lease.job_id, "number": lease.shard, "token": lease.token}
            if _execute(connection, name, values) == 0:
                raise _lost(lease)
            self._drain(connection, lease.job_id)

        await self._change(change)

    def _drain(self, connection: apsw.Connection, job_id: str) -> None:
        _execute(connection, "drain_job", {"id": job_id, "now": self._clock.now()})

    async def _change(self, change: Callable[[apsw.Connection], T]) -> T:
        with _translated(self._path):
            return await self._committer.write(change)

    def _read(self, name: str, values: Row) -> list[Row]:
        with _translated(self._path):
            return _rows(self._reader, name, values)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raise what SQLite says of the disk as the disk's own errors, and what it says of the file as damage."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise CorruptData(
            f"{path} is not a usable database ({error}). Stop halfrate and restore it from a backup, or "
            "start with another data directory."
        ) from None
    except tuple(_DISK_ERRORS) as error:
        number = _DISK_ERRORS[type(error)]
        raise OSError(number, os.strerror(number), str(path)) from error


_DISK_ERRORS: dict[type[apsw.Error], int] = {
    apsw.FullError: errno.ENOSPC,
    apsw.ReadOnlyError: errno.EROFS,
    apsw.CantOpenError: errno.EIO,
    apsw.IOError: errno.EIO,
}


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(10_000)
    # One by one, and read back: a pragma that is not understood is ignored without a word.
    for pragma, expected in (
        ("journal_mode = WAL", "wal"),
        ("synchronous = FULL", None),
        ("foreign_keys = ON", None),
        # A long look, such as the doctor's, makes the log grow: what it took on the disk is given back.
        (f"journal_size_limit = {LOG_BYTES_KEPT}", LOG_BYTES_KEPT),
    ):
        answer = connection.execute(f"PRAGMA {pragma}").get
        if expected is not None and answer != expected:
            raise CorruptData(f"SQLite did not take PRAGMA {pragma} for {path}: it answered {answer}.")
    return connection


def _connect_to_read(path: Path) -> apsw.Connection:
    """Open a database that is there, in a way that cannot change it."""
    name = f"file:{quote(str(path))}"
    try:
        return _opened_to_read(f"{name}?mode=ro")
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        # SQLite notes beside the database that it is being read. Where it cannot, on a read-only disk, nobody
        # else changes anything either.
        return _opened_to_read(f"{name}?mode=ro&immutable=1")


def _opened_to_read(uri: str) -> apsw.Connection:
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    connection.set_busy_timeout(10_000)
    version, known = connection.execute("PRAGMA user_version").get, len(migrations())
    if version != known:
        raise ConfigError(
            f"The database was written by another halfrate (schema {version}, this one knows {known}). Start "
            "this version once to bring an older one up to date, or install the newer one again."
        )
    return connection


class _NoChanges:
    """A `Committer` for a database that is only looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._path))

    def close(self) -> None:
        pass


def _migrate(connection: apsw.Connection) -> None:
    version = connection.execute("PRAGMA user_version").get
    steps = migrations()
    if version > len(steps):
        raise CorruptData(
            f"The database was written by a newer halfrate (schema {version}, this one knows {len(steps)}). "
            "Install that version again."
        )
    with connection:
        for number, step in enumerate(steps[version:], start=version + 1):
            connection.execute(step)
            connection.execute(f"PRAGMA user_version = {number}")


def _numbered(job_id: str, sections: Sequence[Section]) -> Iterator[Shard]:
    number = 0
    for section in sections:
        first = section.first
        for requests in section.sizes:
            yield Shard(job_id, number, first, requests, section.engine, section.refusal)
            number, first = number + 1, first + requests


def _count_in(shares: dict[str, Row], shard: Shard) -> None:
    """Count a Shard in its Engine's share, of which it may be the first."""
    first = {"job_id": shard.job_id, "engine": shard.engine, "first_shard": shard.number, "requests": 0}
    share = shares.setdefault(shard.engine, first)
    share["requests"] += shard.requests


def _notify_values(notify: Notify | None) -> Row:
    if notify is None:
        return {"webhook_uris": None, "user_metadata": None}
    return {"webhook_uris": json.dumps(notify.uris), "user_metadata": notify.user_metadata}


def _hold(connection: apsw.Connection, lease: Lease) -> None:
    values = {
        "job_id": lease.job_id,
        "number": lease.shard,
        "token": lease.token,
        "lapses_at": lease.lapses_at,
    }
    if _execute(connection, "hold_lease", values) == 0:
        raise _lost(lease)


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(
        f"Lease {lease.token} on Shard {lease.shard} of Job {lease.job_id} is not the newest any more."
    )


def _name_taken(file_id: str) -> AlreadyExists:
    return AlreadyExists(f"The file files/{file_id} already exists. Choose another name, or delete it first.")


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        model=row["model"],
        engine=row["engine"],
        display_name=row["display_name"],
        priority=row["priority"],
        state=JobState(row["state"]),
        input_file=row["input_file"],
        input_blob=row["input_blob"],
        keep_going=bool(row["keep_going"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deadline=row["deadline"],
        promised_at=row["promised_at"],
        kind=Kind(row["kind"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        retry_of=row["retry_of"],
        planned=bool(row["planned"]),
        stopped_by=Cause(row["stopped_by"]) if row["stopped_by"] else None,
        error=row["error"],
        output_bytes=row["output_bytes"],
        output_expires_at=row["output_expires_at"],
        counts=Counts(row["requests"], row["succeeded"], row["failed"]),
        usage=Usage(row["input_tokens"], row["output_tokens"], row["cached_tokens"]),
        cost_picos=row["cost_picos"],
        interactive_cost_picos=row["interactive_cost_picos"],
        notify=Notify(tuple(json.loads(row["webhook_uris"])), row["user_metadata"]),
        other_engines=tuple(json.loads(row["other_engines"])),
        order_version=row["order_version"],
        sharing=Sharing(row["prompt_bytes"], row["shared_bytes"], row["prompt_groups"]),
    )


def _snapshot(job_id: str, firsts: list[int], spans: list[list[Row]]) -> Snapshot:
    if not spans[0]:
        return Snapshot(job_id)
    unfinished = (
        SegmentRef(job_id, row["shard"], row["token"], row["settled_bytes"], row["results"])
        for rows in spans
        for row in rows
        if row["shard"] is not None
    )
    own, *others = [(first, rows[0]["shards"]) for first, rows in zip(firsts, spans, strict=True)]
    reached = tuple((first, stop) for first, stop in others if stop > first)
    return Snapshot(job_id, own[1], tuple(unfinished), others=reached)


def _file(row: Row) -> File:
    return File(**(row | {"source": FileSource(row["source"])}))


def _upload(row: Row) -> Upload:
    return Upload(**(row | {"finished": bool(row["finished"])}))
