"""Many workers, a fake clock, and chance: only the newest Lease settles, and every Request once."""

import random
from collections import Counter

import apsw
import pytest

from halfrate.domain.errors import LeaseLost
from halfrate.domain.job import Counts, Job, JobState
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import Lease, Section, SegmentRef
from halfrate.store.meta.api import Tally
from halfrate.store.meta.group_commit import GroupCommitter
from halfrate.store.meta.sqlite import SqliteStore
from tests.fakes import FakeClock, make_job
from tests.simulation import invariants
from tests.simulation.seeds import SEEDS

LEASE_SECONDS = 30


class Run:
    """One seeded life of a Job among workers that work, sleep, wake too late, and die."""

    def __init__(self, seed: int, store: SqliteStore, clock: FakeClock) -> None:
        self.chance = random.Random(seed)
        self.store, self.clock = store, clock
        self.sizes = [self.chance.randint(1, 4) for _ in range(self.chance.randint(1, 5))]
        self.held: list[tuple[Lease, int]] = []  # Leases workers believe in, with Results they settled
        self.settled: Counter[int] = Counter()  # Results settled, by Shard
        self.seen: Job | None = None
        self.newest: dict[int, int] = {}  # the newest token handed out, by Shard

    async def begin(self) -> None:
        await self.store.create_job(make_job(counts=Counts(requests=sum(self.sizes))), active_jobs_max=9)
        await self.store.save_plan("job-1", [Section("pocket-1", 0, tuple(self.sizes))])

    async def step(self) -> None:
        move = self.chance.choice(
            [
                self.claim,
                self.claim,
                self.settle,
                self.settle,
                self.settle,
                self.renew,
                self.let_go,
                self.sleep,
                self.die,
            ]
        )
        await move()

    async def claim(self) -> None:
        current = {held.shard: held for held, _ in self.held if held.token == self.newest[held.shard]}
        lease = await self.store.claim_shard("pocket-1", "w", lease_seconds=LEASE_SECONDS)
        if lease is None:
            return
        invariants.a_live_lease_is_never_taken(current.get(lease.shard), self.clock.now())
        invariants.a_token_grows(lease, self.newest.get(lease.shard, 0))
        self.newest[lease.shard] = lease.token
        self.held.append((lease, 0))

    async def settle(self) -> None:
        if not self.held:
            return
        index = self.chance.randrange(len(self.held))
        lease, mine = self.held[index]
        if self.settled[lease.shard] >= self.sizes[lease.shard]:
            return
        segment = SegmentRef("job-1", lease.shard, lease.token, 10 * (mine + 1), mine + 1)
        try:
            await self.store.settle(lease, segment, Tally(Counts(succeeded=1)))
        except LeaseLost:
            del self.held[index]
            return
        invariants.only_the_newest_lease_settles(lease, self.newest[lease.shard])
        self.held[index] = (lease, mine + 1)
        self.settled[lease.shard] += 1

    async def renew(self) -> None:
        if not self.held:
            return
        index = self.chance.randrange(len(self.held))
        lease, mine = self.held[index]
        try:
            self.held[index] = (await self.store.renew_lease(lease, lease_seconds=LEASE_SECONDS), mine)
        except LeaseLost:
            del self.held[index]

    async def let_go(self) -> None:
        if not self.held:
            return
        lease, _ = self.held.pop(self.chance.randrange(len(self.held)))
        complete = self.settled[lease.shard] == self.sizes[lease.shard]
        try:
            await (self.store.finish_shard(lease) if complete else self.store.release_shard(lease))
        except LeaseLost:
            return
        invariants.only_the_newest_lease_settles(lease, self.newest[lease.shard])

    async def sleep(self) -> None:
        self.clock.advance(seconds=self.chance.choice([1, LEASE_SECONDS]))
        await self.store.rescue_shards(lapsed_only=True)

    async def die(self) -> None:
        if self.held and self.chance.random() < 0.3:
            self.held.pop()

    async def check(self) -> None:
        invariants.nothing_contradicts(await self.store.check_integrity())
        job = await self.store.get_job("job-1")
        assert job.counts.succeeded == sum(self.settled.values())
        if self.seen is not None:
            invariants.a_final_state_never_moves(self.seen, job)
            invariants.a_stopped_job_never_runs_on(self.seen, job)
            invariants.what_was_counted_stays_counted(self.seen, job)
        self.seen = job


def quick_committer(connection: apsw.Connection) -> GroupCommitter:
    """The real one, without the syncs: the machine that runs the simulation does not lose power."""
    connection.execute("PRAGMA synchronous = OFF")
    return GroupCommitter(connection)


@pytest.mark.parametrize("seed", SEEDS)
async def test_only_the_newest_lease_settles_and_every_request_once(seed, tmp_path):
    clock = FakeClock()
    store = SqliteStore(tmp_path / "halfrate.db", clock, quick_committer)
    run = Run(seed, store, clock)
    await run.begin()
    stop_at = run.chance.randrange(400)
    for number in range(200):
        if number == stop_at:
            await store.stop_job("job-1", Cause.CANCELLED)
        await run.step()
        if number % 20 == 0:
            await run.check()
    await run.check()
    # Left alone, the Job always comes to an end.
    while (await store.get_job("job-1")).state is not JobState.ASSEMBLING:
        clock.advance(seconds=LEASE_SECONDS)
        await store.rescue_shards(lapsed_only=True)
        run.held.clear()
        await run.claim()
        while run.held and run.settled[run.held[0][0].shard] < run.sizes[run.held[0][0].shard]:
            await run.settle()
        await run.let_go()
    await run.check()
    store.close()
