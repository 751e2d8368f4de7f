"""The seam for metadata. ``tests/contract/test_meta_store.py`` is its contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from halfrate.domain.cache import Cache
from halfrate.domain.file import File, Upload
from halfrate.domain.job import Counts, Job, JobChange, JobEvent, JobState
from halfrate.domain.listing import Condition
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import Lease, Section, SegmentRef, Shard, Share
from halfrate.domain.sharing import Sharing
from halfrate.domain.snapshot import Snapshot
from halfrate.domain.usage import Usage
from halfrate.domain.waiting import Ahead
from halfrate.domain.webhook import Delivery, Secret, Webhook, WebhookState

Place = tuple[float, str]
"""Where a page of a list ended: the ``created_at`` and ``id`` of its last entry."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a group of Results adds to its Job: counts, tokens, and pico-USD."""

    counts: Counts = Counts()
    usage: Usage = Usage()
    cost_picos: int = 0
    interactive_cost_picos: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.counts + other.counts,
            self.usage + other.usage,
            self.cost_picos + other.cost_picos,
            self.interactive_cost_picos + other.interactive_cost_picos,
        )


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A Job and the settled parts of its Segments, as both were at one moment.

    The Segments of a ``cleared`` Job have been removed.
    """

    job: Job
    segments: tuple[SegmentRef, ...]
    cleared: bool = False


class MetaStore(Protocol):
    """The state of everything but the bulk bytes. A method that returns has made its change durable.

    Guards are part of each change: a call that loses a race raises and changes nothing. So does one that the
    disk does not take: it raises `OSError`. What is damaged raises `CorruptData`.
    """

    # Jobs

    async def create_job(self, job: Job, *, active_jobs_max: int) -> None:
        """Add a Job. Raise `ResourceExhausted` if ``active_jobs_max`` Jobs are not final yet.

        Raise `NotFound` if it names a File as its input that is not there with those bytes any more,
        `AlreadyExists` if it is the second retry of one.
        """
        ...

    async def get_job(self, job_id: str) -> Job | None:
        """Return a Job, or None if there is none or it was deleted."""
        ...

    async def get_retry(self, job_id: str) -> Job | None:
        """Return the Job that retries another, or None if there is none or it was deleted."""
        ...

    async def list_jobs(
        self, *, limit: int, after: Place | None, where: Condition | None = None
    ) -> list[Job]:
        """Return up to ``limit`` Jobs ``where`` this holds, newest first, that come after ``after``."""
        ...

    async def change_job(self, job_id: str, change: JobChange) -> bool:
        """Change a Job. Return False if there is none, or it is final and its priority was to change."""
        ...

    async def save_plan(self, job_id: str, sections: Sequence[Section]) -> None:
        """Give a PENDING Job its Shards, numbered from 0 through all Sections.

        Those of one Engine are given one after the other, the Job's own Engine's first. A Job without
        Requests drains at once. Raise `IllegalTransition` if the Job has a plan, or is not PENDING any more.
        """
        ...

    async def set_requests(self, job_id: str, requests: int) -> None:
        """Note how many Requests a Job has, once its input is indexed."""
        ...

    async def note_order(self, job_id: str, order_version: int, sharing: Sharing) -> None:
        """Note what a PENDING Job's Requests are sorted by, and what they have in common then."""
        ...

    async def note_files_read(self, job_id: str) -> None:
        """Note that lines of a Job point at Files: those that expire from now on are kept for it."""
        ...

    async def fail_job(self, job_id: str, error: str) -> None:
        """End a Job that cannot be run. Raise `IllegalTransition` if it is final."""
        ...

    async def stop_job(self, job_id: str, cause: Cause) -> bool:
        """Start no more of a Job's Requests. Return False, and change nothing, if it is past that.

        Open Shards are closed at once, leased ones when their Worker lets go. A Job with none drains.
        """
        ...

    async def publish_job(self, job_id: str, event: JobEvent, output: File | None, *, missing: Tally) -> None:
        """Make an ASSEMBLING Job final, with its output File unless it was deleted: such a Job needs none.

        ``missing`` counts Requests never answered. Raise `IllegalTransition` if it is not ASSEMBLING, or is
        to end without an output and was not deleted.
        """
        ...

    async def delete_job(self, job_id: str) -> None:
        """Hide a Job from `get_job` and `list_jobs`, and its output. Its bytes stay until `forget_job`."""
        ...

    async def forget_job(self, job_id: str) -> None:
        """Remove a deleted Job that is final, its Shards, its Segments and its output File."""
        ...

    async def jobs_to_plan(self) -> list[Job]:
        """Return the PENDING Jobs without a plan, those that go first at the front."""
        ...

    async def jobs_to_assemble(self) -> list[Job]:
        """Return the ASSEMBLING Jobs, deleted ones too."""
        ...

    async def jobs_overdue(self) -> list[Job]:
        """Return the Jobs whose deadline has passed and which can still be stopped."""
        ...

    async def next_deadline(self) -> float | None:
        """Return the earliest deadline of a Job that can still be stopped, None if there is none."""
        ...

    async def jobs_to_forget(self, *, limit: int) -> list[Job]:
        """Return up to ``limit`` deleted Jobs that are final."""
        ...

    async def jobs_done_with_input(self, *, created_by: float, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that are final, created by then, and may still hold their input."""
        ...

    async def release_input(self, job_id: str) -> None:
        """Note that a final Job holds its input no more."""
        ...

    async def jobs_to_clear(self, *, failed_by: float, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that still hold what was made while they ran, for no good reason.

        Their output has expired, or they ended without one at ``failed_by`` or before.
        """
        ...

    async def clear_job(self, job_id: str) -> None:
        """Remove the Shards and Segments of a final Job, and its output File if that has expired."""
        ...

    async def job_counts(self) -> dict[JobState, int]:
        """Return how many Jobs are in each state, deleted ones too until they are forgotten."""
        ...

    async def totals(self) -> Tally:
        """Return what all Results ever settled came to, of Jobs that were forgotten too."""
        ...

    async def unfinished_jobs(self, *, limit: int) -> list[Job]:
        """Return up to ``limit`` Jobs that are not final, in no particular order."""
        ...

    async def ahead(self, job: Job, engine: str) -> Ahead:
        """Return which Jobs go before this one at an Engine, and what they still have for it."""
        ...

    # Shards

    async def claim_shard(
        self, engine: str, worker: str, *, lease_seconds: float, job_id: str | None = None
    ) -> Lease | None:
        """Take the Engine's Shard that goes first under a new Lease; the Job's first claim starts it.

        The highest priority goes first, then the earliest deadline, then the oldest Job; before all of them
        the Job ``job_id``, if that has a Shard to claim. The Shards of a Job go in their order.
        """
        ...

    async def next_shards(self, engine: str, *, limit: int) -> list[Shard]:
        """Return the next Shard of each of up to ``limit`` Jobs, those that go first at the front."""
        ...

    async def renew_lease(self, lease: Lease, *, lease_seconds: float) -> Lease:
        """Put off the lapse of a Lease. Raise `LeaseLost` if it is not the Shard's newest."""
        ...

    async def settle(self, lease: Lease, segment: SegmentRef, tally: Tally) -> None:
        """Make Results final: the part of the Segment they are in, counts, usage and cost, all or none.

        Raise `LeaseLost` if the Lease is not the Shard's newest.
        """
        ...

    async def finish_shard(self, lease: Lease) -> None:
        """Close a Shard whose Requests all have Results. The last one drains the Job.

        Raise `LeaseLost` if the Lease is not the Shard's newest.
        """
        ...

    async def release_shard(self, lease: Lease) -> None:
        """Give a Shard back for another to claim, or close it if its Job is being stopped.

        Raise `LeaseLost` if the Lease is not the Shard's newest.
        """
        ...

    async def rescue_shards(self, *, lapsed_only: bool) -> int:
        """Give back the Shards whose Leases lapsed, or all leased ones. Return how many."""
        ...

    async def get_shard(self, job_id: str, number: int) -> Shard:
        """Return a Shard of a planned Job."""
        ...

    async def shares(self, job: Job) -> list[Share]:
        """Return what of a Job is whose, its own Engine's first. Before it is planned, all is that one's."""
        ...

    async def segments(
        self, job_id: str, shard: int | None = None, *, from_shard: int = 0
    ) -> list[SegmentRef]:
        """Return the settled parts of a Job's Segments, of one Shard's, or from one Shard on, in order."""
        ...

    async def snapshot(self, job_id: str) -> Snapshot:
        """Return which Results of a Job there are now."""
        ...

    # Files

    async def create_file(self, file: File, *, upload_id: str | None = None) -> None:
        """Add a File, finishing the Upload it came from. Raise `AlreadyExists` if its id is taken."""
        ...

    async def get_file(self, file_id: str) -> File | None:
        """Return a File that has not expired, or None."""
        ...

    async def get_file_at(self, file_id: str, at: float) -> File | None:
        """Return a File that had not expired ``at`` a moment, or None.

        For a Job it is kept so from `note_files_read` on until the Job has ended, unless it is deleted.
        """
        ...

    async def list_files(self, *, limit: int, after: Place | None) -> list[File]:
        """Return up to ``limit`` uploaded Files, newest first, that come after ``after``."""
        ...

    async def delete_file(self, file_id: str) -> bool:
        """Remove a File. Return False if there is none."""
        ...

    async def files_expired(self, *, limit: int) -> list[File]:
        """Return up to ``limit`` Files whose time has passed and that no Job reads, the oldest first."""
        ...

    async def drop_expired_file(self, file_id: str) -> None:
        """Remove a File whose time has passed. One that took over its name stays."""
        ...

    async def blob_in_use(self, blob: str) -> bool:
        """Whether a File, an unfinished Job, or a Job whose Requests came inline still holds these bytes."""
        ...

    async def create_upload(self, upload: Upload) -> None:
        """Begin a resumable upload. Raise `AlreadyExists` if its File id is taken."""
        ...

    async def get_upload(self, upload_id: str) -> Upload | None:
        """Return an upload under way or finished not long ago, or None."""
        ...

    async def delete_upload(self, upload_id: str) -> None:
        """Forget an upload."""
        ...

    async def uploads_begun_before(self, created_at: float, *, limit: int) -> list[Upload]:
        """Return up to ``limit`` uploads that were begun before ``created_at``, the oldest first."""
        ...

    # Caches

    async def create_cache(self, cache: Cache, *, caches_max: int) -> None:
        """Add a Cache. Raise `ResourceExhausted` if there are ``caches_max``."""
        ...

    async def get_cache(self, cache_id: str, *, at: float | None = None) -> Cache | None:
        """Return a Cache that is there, or that was there ``at`` a moment, or None.

        What was there when a Job was created can be had until it has ended.
        """
        ...

    async def list_caches(self, *, limit: int, after: Place | None) -> list[Cache]:
        """Return up to ``limit`` Caches, newest first, that come after ``after``."""
        ...

    async def expire_cache(self, cache_id: str, *, expires_at: float) -> bool:
        """Have a Cache expire then. Return False if there is none."""
        ...

    async def caches_gone(self, *, limit: int) -> list[Cache]:
        """Return up to ``limit`` Caches that have expired, and that no unfinished Job may still need."""
        ...

    async def drop_cache(self, cache_id: str) -> None:
        """Remove a Cache that has expired."""
        ...

    async def stored_caches(self, *, limit: int, after: str) -> list[Cache]:
        """Return up to ``limit`` Caches, expired ones too, in order of id, that come after ``after``."""
        ...

    async def cache_stored(self, cache_id: str) -> bool:
        """Whether there is a row of a Cache, expired or not."""
        ...

    # Webhooks

    async def create_webhook(self, webhook: Webhook, *, webhooks_max: int) -> None:
        """Add a Webhook. Raise `AlreadyExists` if its id is taken, `ResourceExhausted` if there are many."""
        ...

    async def get_webhook(self, webhook_id: str) -> Webhook | None:
        """Return a Webhook with the secrets that have not expired, or None."""
        ...

    async def list_webhooks(self, *, limit: int, after: Place | None) -> list[Webhook]:
        """Return up to ``limit`` Webhooks, newest first, that come after ``after``."""
        ...

    async def change_webhook(
        self,
        webhook_id: str,
        *,
        name: str | None,
        uri: str | None,
        events: Sequence[str] | None,
        state: WebhookState | None,
    ) -> bool:
        """Change what is not None of a Webhook. Return False if there is none.

        What waits to be told to one that is not enabled any more is dropped. One that gets a URI, or is
        enabled, counts as reached now.
        """
        ...

    async def delete_webhook(self, webhook_id: str) -> bool:
        """Remove a Webhook, and what waits to be told to it. Return False if there is none."""
        ...

    async def rotate_secret(self, webhook_id: str, secret: Secret, *, others_expire_at: float) -> bool:
        """Give a Webhook a new secret; the others expire by then at the latest. False if there is none."""
        ...

    async def deliveries_due(self, *, each: int, limit: int) -> list[Delivery]:
        """Return up to ``limit`` Deliveries whose time has come, at most ``each`` to one receiver.

        Those that were tried least come first, receivers in turn. From the moment a Job is final, in the same
        transaction, there is one for each receiver that is to hear of it, unless the Job was deleted.
        """
        ...

    async def deliveries_waiting(self) -> int:
        """Return how many Deliveries there are, due or not."""
        ...

    async def delivered(self, delivery_id: str) -> None:
        """Remove a Delivery that was taken, and note that its Webhook was reached."""
        ...

    async def put_off(self, delivery_id: str, *, due_at: float) -> None:
        """Note that a Delivery was tried in vain, and is due again then."""
        ...

    async def give_up(self, delivery_id: str) -> int:
        """Remove a Delivery that nobody took. Return how many were removed.

        A Webhook that nothing has reached since the Delivery was made is disabled, and all its others go too.
        """
        ...

    # Everything there is

    async def stored_jobs(self, *, limit: int, after: str) -> list[str]:
        """Return the ids of up to ``limit`` Jobs, deleted ones too, in order, that come after ``after``."""
        ...

    async def stored_job(self, job_id: str) -> StoredJob | None:
        """Return a Job, also a deleted one, with its Segments."""
        ...

    async def stored_files(self, *, limit: int, after: str) -> list[File]:
        """Return up to ``limit`` Files, expired ones too, in order of id, that come after ``after``."""
        ...

    def close(self) -> None:
        """Finish the changes under way, and let go of what is held."""
        ...

    async def check_integrity(self) -> list[str]:
        """Return a sentence for each thing in the store that contradicts another; none if all is well."""
        ...
