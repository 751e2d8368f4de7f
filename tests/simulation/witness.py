"""A store that tells a witness what its callers were told, over all the lives of a process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from halfrate.clock import Clock
from halfrate.domain.job import Job
from halfrate.domain.shard import Lease, SegmentRef
from halfrate.store.meta.api import Tally
from halfrate.store.meta.group_commit import Committer
from halfrate.store.meta.sqlite import SqliteStore
from tests.simulation import invariants

Shard = tuple[str, int]


class Witness:
    """Remembers Leases and what was settled under them, and holds every call against the invariants."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[Shard, int] = {}
        self._held: dict[Shard, Lease] = {}
        self.settled: dict[tuple[str, int, int], SegmentRef] = {}
        self.job_names: dict[str, str] = {}
        self.refuted: list[AssertionError] = []

    def hold(self, invariant: Callable[..., None], *values: object) -> None:
        """Note what does not hold: the process under test may survive an error that is raised in it."""
        try:
            invariant(*values)
        except AssertionError as error:
            self.refuted.append(error)

    def check(self) -> None:
        """Raise what did not hold first."""
        if self.refuted:
            raise self.refuted[0]

    def forget_holders(self) -> None:
        """The process that held Leases is dead."""
        self._held.clear()

    def claimed(self, lease: Lease) -> None:
        shard = (lease.job_id, lease.shard)
        self.hold(invariants.a_token_grows, lease, self._newest.get(shard, 0))
        self.hold(invariants.a_live_lease_is_never_taken, self._held.get(shard), self._clock.now())
        self._newest[shard] = lease.token
        self._held[shard] = lease

    def renewed(self, lease: Lease) -> None:
        self._newest_did(lease)
        self._held[lease.job_id, lease.shard] = lease

    def has_settled(self, lease: Lease, segment: SegmentRef) -> None:
        self._newest_did(lease)
        self.settled[segment.job_id, segment.shard, segment.token] = segment

    def let_go(self, lease: Lease) -> None:
        self._newest_did(lease)
        self._held.pop((lease.job_id, lease.shard), None)

    def _newest_did(self, lease: Lease) -> None:
        self.hold(
            invariants.only_the_newest_lease_settles, lease, self._newest.get((lease.job_id, lease.shard), 0)
        )


class WitnessedStore(SqliteStore):
    """The real store. What a call came to is told to the witness before its caller hears it."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        committer: Callable[..., Committer],
        witness: Witness,
        settled: Callable[[SegmentRef], None],
    ) -> None:
        super().__init__(path, clock, committer)
        self._witness = witness
        self._settled = settled

    async def create_job(self, job: Job, *, active_jobs_max: int) -> None:
        self._witness.job_names[job.id] = job.display_name
        await super().create_job(job, active_jobs_max=active_jobs_max)

    async def claim_shard(
        self, engine: str, worker: str, *, lease_seconds: float, job_id: str | None = None
    ) -> Lease | None:
        lease = await super().claim_shard(engine, worker, lease_seconds=lease_seconds, job_id=job_id)
        if lease is not None:
            self._witness.claimed(lease)
        return lease

    async def renew_lease(self, lease: Lease, *, lease_seconds: float) -> Lease:
        renewed = await super().renew_lease(lease, lease_seconds=lease_seconds)
        self._witness.renewed(renewed)
        return renewed

    async def settle(self, lease: Lease, segment: SegmentRef, tally: Tally) -> None:
        await super().settle(lease, segment, tally)
        self._witness.has_settled(lease, segment)
        self._settled(segment)

    async def finish_shard(self, lease: Lease) -> None:
        await super().finish_shard(lease)
        self._witness.let_go(lease)

    async def release_shard(self, lease: Lease) -> None:
        await super().release_shard(lease)
        self._witness.let_go(lease)
