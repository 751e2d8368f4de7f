"""What every metadata store promises."""

import asyncio
import random
from dataclasses import replace

import apsw
import pytest

from halfrate.domain.cache import Cache
from halfrate.domain.errors import (
    AlreadyExists,
    IllegalTransition,
    LeaseLost,
    NotFound,
    ResourceExhausted,
)
from halfrate.domain.file import File, FileSource, Upload
from halfrate.domain.job import Counts, JobChange, JobEvent, JobState, Notify
from halfrate.domain.listing import Comparison, Every, InState, JobField, Not, Relation, Some, microseconds
from halfrate.domain.outcome import Cause
from halfrate.domain.shard import Lease, Section, SegmentRef, Shard, Share
from halfrate.domain.sharing import Sharing
from halfrate.domain.snapshot import Snapshot, stretches
from halfrate.domain.usage import Usage
from halfrate.domain.waiting import Ahead
from halfrate.domain.webhook import Delivery, Event, EventKind, Secret, Webhook, WebhookState
from halfrate.store.meta import sqlite
from halfrate.store.meta.api import Tally
from halfrate.store.meta.queries import query
from halfrate.store.meta.sqlite import SqliteStore
from tests.fakes import EPOCH, make_job


@pytest.fixture(params=["sqlite"])
async def store(request, tmp_path, clock):
    store = SqliteStore(tmp_path / "halfrate.db", clock)
    yield store
    complaints = await store.check_integrity()
    store.close()
    assert complaints == []


def output_of(job_id: str, size_bytes: int = 10) -> File:
    return File(
        id=f"batch-{job_id}",
        display_name="",
        mime_type="jsonl",
        size_bytes=size_bytes,
        sha256="00",
        blob=f"outputs/{job_id}",
        source=FileSource.GENERATED,
        created_at=EPOCH,
        expires_at=EPOCH + 1000,
    )


def uploaded(file_id: str, **changes: object) -> File:
    return replace(
        output_of("x"), id=file_id, source=FileSource.UPLOADED, blob=f"uploads/{file_id}", **changes
    )


def tally(succeeded: int = 0, failed: int = 0) -> Tally:
    answered = Usage(input_tokens=10 * succeeded, output_tokens=2 * succeeded, cached_tokens=succeeded)
    return Tally(Counts(0, succeeded, failed), answered, 5 * succeeded, 10 * succeeded)


def segment_of(lease: Lease, *, settled_bytes: int, results: int) -> SegmentRef:
    return SegmentRef(lease.job_id, lease.shard, lease.token, settled_bytes, results)


async def planned_job(store, *shard_sizes: int, job_id: str = "job-1", **changes: object):
    job = make_job(job_id, counts=Counts(requests=sum(shard_sizes)), **changes)
    await store.create_job(job, active_jobs_max=100)
    await store.save_plan(job.id, [Section(job.engine, 0, shard_sizes)])
    return job


async def job_over_engines(store, job_id: str = "job-1", **changes: object):
    """Nine Requests: two Shards of its own Engine, three of `big-model`, one of `other-model`."""
    job = make_job(job_id, counts=Counts(requests=9), **changes)
    await store.create_job(job, active_jobs_max=100)
    sections = [
        Section("pocket-1", 0, (2,)),
        Section("pocket-1", 6, (1,), "nobody is not served"),
        Section("big-model", 2, (2, 2)),
        Section("big-model", 7, (1,)),
        Section("other-model", 8, (1,)),
    ]
    await store.save_plan(job.id, sections)
    return job


def results_in(segments: list[SegmentRef]) -> int:
    return sum(segment.results for segment in segments)


async def claim(store, worker: str = "worker-a", *, engine: str = "pocket-1") -> Lease:
    lease = await store.claim_shard(engine, worker, lease_seconds=30)
    assert lease is not None
    return lease


async def state_of(store, job_id: str = "job-1") -> JobState:
    return (await store.get_job(job_id)).state


async def test_a_stored_job_and_its_segments_are_of_one_moment(store, monkeypatch):
    await planned_job(store, 2)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=10, results=1), tally(succeeded=1))
    rows = sqlite._rows

    def settled_in_between(connection, name, values):
        if name == "segments":
            other = apsw.Connection(str(store._path))
            other.execute("UPDATE segment SET results = 2; UPDATE job SET succeeded = 2")
            other.close()
        return rows(connection, name, values)

    monkeypatch.setattr(sqlite, "_rows", settled_in_between)
    stored = await store.stored_job("job-1")
    assert stored.job.counts.succeeded == sum(segment.results for segment in stored.segments) == 1


async def test_every_job_and_file_is_found_in_pages(store, clock):
    for number in range(5):
        await store.create_job(make_job(f"job-{number}"), active_jobs_max=100)
        await store.create_file(uploaded(f"file-{number}"))
    await store.delete_job("job-2")
    clock.advance(seconds=2_000)
    assert await store.stored_jobs(limit=3, after="job-0") == ["job-1", "job-2", "job-3"]
    assert [file.id for file in await store.stored_files(limit=3, after="file-3")] == ["file-4"]
    assert (await store.stored_job("job-2")).job.id == "job-2"
    assert await store.stored_job("job-9") is None


async def test_a_log_that_grew_under_a_long_look_gives_its_room_back(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(sqlite, "LOG_BYTES_KEPT", 100_000)
    store = SqliteStore(tmp_path / "halfrate.db", clock)
    log = tmp_path / "halfrate.db-wal"
    looking = apsw.Connection(str(tmp_path / "halfrate.db"))
    looking.execute("BEGIN; SELECT count(*) FROM job")
    names = [make_job(f"job-{number}", display_name="x" * 2_000) for number in range(2_000)]
    await asyncio.gather(*(store.create_job(job, active_jobs_max=10_000) for job in names))
    assert log.stat().st_size > 1_000_000
    looking.execute("COMMIT")
    for number in range(3):
        await store.create_job(make_job(f"later-{number}"), active_jobs_max=10_000)
    assert log.stat().st_size <= 100_000
    looking.close()
    store.close()


async def test_a_created_job_reads_back_as_it_was_given(store):
    job = make_job()
    await store.create_job(job, active_jobs_max=1)
    assert await store.get_job(job.id) == job


async def test_no_more_unfinished_jobs_are_taken_than_allowed(store):
    await store.create_job(make_job("job-1"), active_jobs_max=1)
    with pytest.raises(ResourceExhausted, match="1 batches are pending or running"):
        await store.create_job(make_job("job-2"), active_jobs_max=1)
    assert await store.get_job("job-2") is None
    await store.fail_job("job-1", "broken")
    await store.create_job(make_job("job-2"), active_jobs_max=1)


async def test_a_job_has_one_retry_until_that_is_deleted(store):
    await store.create_job(make_job("job-1"), active_jobs_max=9)
    assert await store.get_retry("job-1") is None
    first = make_job("job-2", retry_of="job-1")
    await store.create_job(first, active_jobs_max=9)
    assert await store.get_retry("job-1") == first
    with pytest.raises(AlreadyExists, match="batches/job-1 has a retry already"):
        await store.create_job(make_job("job-3", retry_of="job-1"), active_jobs_max=9)
    await store.create_job(make_job("job-4", retry_of="job-2"), active_jobs_max=9)
    await store.delete_job("job-2")
    assert await store.get_retry("job-1") is None
    second = make_job("job-5", retry_of="job-1")
    await store.create_job(second, active_jobs_max=9)
    assert await store.get_retry("job-1") == second


async def test_jobs_are_listed_newest_first_in_pages(store):
    jobs = [make_job(f"job-{n}", created_at=EPOCH + n // 2) for n in range(5)]
    for job in jobs:
        await store.create_job(job, active_jobs_max=100)
    listed: list[str] = []
    after = None
    while page := await store.list_jobs(limit=2, after=after):
        listed += [job.id for job in page]
        after = (page[-1].created_at, page[-1].id)
    assert listed == ["job-4", "job-3", "job-2", "job-1", "job-0"]


NIGHTLY = Comparison(JobField.DISPLAY_NAME, Relation.HAS, "NIGHT%")
AT_EPOCH_2 = Comparison(JobField.CREATED, Relation.EQUAL, int((EPOCH + 2) * 1_000_000))


@pytest.mark.parametrize(
    ("where", "listed"),
    [
        (InState((JobState.PENDING, JobState.FAILED)), "43210"),
        (InState((JobState.RUNNING,)), ""),
        (Not(InState((JobState.RUNNING,))), "43210"),
        (NIGHTLY, "31"),
        (Not(NIGHTLY), "420"),
        (Comparison(JobField.DISPLAY_NAME, Relation.EQUAL, "night%ly 1"), "1"),
        (Comparison(JobField.DISPLAY_NAME, Relation.EQUAL, "' OR '1' = '1"), ""),
        (Comparison(JobField.PRIORITY, Relation.AT_LEAST, 3), "43"),
        (AT_EPOCH_2, "2"),
        (Comparison(JobField.CREATED, Relation.MORE, int((EPOCH + 2) * 1_000_000)), "43"),
        (Comparison(JobField.CREATED, Relation.LESS, int((EPOCH + 2) * 1_000_000)), "10"),
        (Some((NIGHTLY, AT_EPOCH_2)), "321"),
        (Every((Some((NIGHTLY, AT_EPOCH_2)), Comparison(JobField.PRIORITY, Relation.UNEQUAL, 2))), "31"),
    ],
)
async def test_jobs_are_listed_where_a_condition_holds(store, where, listed):
    for n in range(5):
        job = make_job(
            f"job-{n}",
            created_at=EPOCH + n,
            priority=n,
            display_name=f"night%ly {n}" if n % 2 else "by day",
        )
        await store.create_job(job, active_jobs_max=100)
    await store.create_job(make_job("job-gone", display_name="night%ly"), active_jobs_max=100)
    await store.delete_job("job-gone")
    found, after = [], None
    while page := await store.list_jobs(limit=2, after=after, where=where):
        found += [job.id.removeprefix("job-") for job in page]
        after = (page[-1].created_at, page[-1].id)
    assert "".join(found) == listed


async def test_instants_are_compared_as_they_are_shown(store):
    chance = random.Random(7)
    instants = [EPOCH + chance.random() * 1e7 for _ in range(200)]
    for number, created_at in enumerate(instants):
        await store.create_job(make_job(f"job-{number}", created_at=created_at), active_jobs_max=1_000)
    for number, created_at in enumerate(instants):
        where = Comparison(JobField.CREATED, Relation.EQUAL, microseconds(created_at))
        (job,) = await store.list_jobs(limit=2, after=None, where=where)
        assert job.id == f"job-{number}"


async def test_a_change_of_priority_counts_for_what_is_not_claimed_yet(store, clock):
    await planned_job(store, 1, 1, job_id="job-1")
    await planned_job(store, 1, job_id="job-2", created_at=EPOCH + 1)
    assert (await claim(store)).job_id == "job-1"
    clock.advance(seconds=5)
    assert await store.change_job("job-2", JobChange(priority=7))
    job = await store.get_job("job-2")
    assert (job.priority, job.display_name, job.updated_at) == (
        7,
        make_job("job-2").display_name,
        clock.now(),
    )
    assert (await claim(store)).job_id == "job-2"
    assert (await claim(store)).job_id == "job-1"


async def test_whom_to_tell_is_replaced_as_a_whole_or_left(store):
    told = Notify(("https://a.test",), '{"n":1}')
    await store.create_job(make_job("job-1", notify=told), active_jobs_max=9)
    assert await store.change_job("job-1", JobChange(priority=1))
    assert (await store.get_job("job-1")).notify == told
    assert await store.change_job("job-1", JobChange(notify=Notify(("https://b.test",))))
    assert (await store.get_job("job-1")).notify == Notify(("https://b.test",))
    assert await store.change_job("job-1", JobChange(notify=Notify()))
    assert (await store.get_job("job-1")).notify == Notify()


async def test_of_a_job_that_has_ended_only_the_name_can_change(store):
    await store.create_job(make_job("job-1"), active_jobs_max=9)
    await store.fail_job("job-1", "It broke.")
    assert not await store.change_job("job-1", JobChange(display_name="new", priority=1))
    assert (await store.get_job("job-1")).display_name == make_job("job-1").display_name
    assert not await store.change_job("job-1", JobChange(notify=Notify(("https://a.test",))))
    assert await store.change_job("job-1", JobChange(display_name=""))
    assert (await store.get_job("job-1")).display_name == ""
    await store.delete_job("job-1")
    assert not await store.change_job("job-1", JobChange(display_name="new"))
    assert not await store.change_job("job-9", JobChange(display_name="new"))


async def test_the_first_claim_starts_the_job(store, clock):
    await planned_job(store, 2, 1)
    clock.advance(seconds=5)
    lease = await claim(store)
    job = await store.get_job("job-1")
    assert (lease.job_id, lease.shard, lease.token, lease.lapses_at) == ("job-1", 0, 1, clock.now() + 30)
    assert (job.state, job.started_at) == (JobState.RUNNING, clock.now())


async def test_a_shard_is_leased_to_one_worker_at_a_time(store):
    await planned_job(store, 1)
    await claim(store)
    assert await store.claim_shard("pocket-1", "worker-b", lease_seconds=30) is None


async def test_a_snapshot_names_what_is_unfinished_below_the_newest_shard(store):
    await planned_job(store, 3, 3, 3, 3)
    assert await store.snapshot("job-1") == Snapshot("job-1")
    first, second, third = [await claim(store) for _ in range(3)]
    await store.settle(second, segment_of(second, settled_bytes=70, results=1), tally(1))
    assert await store.snapshot("job-1") == Snapshot(
        "job-1", 2, (SegmentRef("job-1", 0, 0, 0, 0), SegmentRef("job-1", 1, 1, 70, 1))
    )
    await store.settle(third, segment_of(third, settled_bytes=90, results=3), tally(3))
    await store.finish_shard(third)
    await store.release_shard(first)
    again = await claim(store)
    await store.settle(again, segment_of(again, settled_bytes=50, results=1), tally(1))
    snapshot = await store.snapshot("job-1")
    assert snapshot == Snapshot(
        "job-1", 3, (SegmentRef("job-1", 0, 2, 50, 1), SegmentRef("job-1", 1, 1, 70, 1))
    )
    assert [segment.shard for segment in await store.segments("job-1", from_shard=1)] == [1, 2]


async def test_a_snapshot_of_a_job_over_engines_is_no_larger_than_what_they_run(store):
    """Each Engine has come as far as it has: Shards that another has not begun are not named one by one."""
    await job_over_engines(store)
    lease = await claim(store, engine="other-model")
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=1), tally(1))
    await store.finish_shard(lease)
    assert await store.snapshot("job-1") == Snapshot("job-1", others=((5, 6),))
    first, second = [await claim(store, engine="big-model") for _ in range(2)]
    await store.settle(second, segment_of(second, settled_bytes=9, results=1), tally(1))
    assert await store.snapshot("job-1") == Snapshot(
        "job-1",
        unfinished=(SegmentRef("job-1", first.shard, 0, 0, 0), SegmentRef("job-1", 3, 1, 9, 1)),
        others=((2, 4), (5, 6)),
    )
    own = await claim(store)
    await store.settle(own, segment_of(own, settled_bytes=9, results=2), tally(2))
    await store.finish_shard(own)
    snapshot = await store.snapshot("job-1")
    assert (snapshot.shards, snapshot.others) == (1, ((2, 4), (5, 6)))


@pytest.mark.parametrize("over_engines", [False, True])
@pytest.mark.parametrize("seed", range(10))
async def test_a_snapshot_stays_what_it_was_and_later_ones_add_to_it(store, clock, seed, over_engines):
    """Whatever is claimed, settled, finished, lost and claimed again: each Result is in one step exactly."""
    chance = random.Random(seed)
    engines = ["pocket-1", "big-model", "other-model"] if over_engines else ["pocket-1"]
    sizes = (6,) * (3 if over_engines else 8)
    requests = 6 * len(sizes) * len(engines)
    await store.create_job(make_job(counts=Counts(requests=requests)), active_jobs_max=9)
    sections = [Section(engine, 6 * len(sizes) * n, sizes) for n, engine in enumerate(engines)]
    await store.save_plan("job-1", sections)
    leases: dict[int, tuple[Lease, int]] = {}
    taken: list[tuple[Snapshot, list[SegmentRef]]] = []

    async def settle(lease: Lease, results: int) -> None:
        segment = segment_of(lease, settled_bytes=10 * results, results=results)
        await store.settle(lease, segment, tally(1))

    for _ in range(120):
        step = chance.choice(["claim", "settle", "settle", "settle", "finish", "lapse", "look"])
        number = chance.choice(sorted(leases)) if leases else None
        if step == "claim" and len(leases) < 3:
            lease = await store.claim_shard(chance.choice(engines), "worker", lease_seconds=30)
            if lease is not None:
                leases[lease.shard] = lease, 0
        elif step == "settle" and number is not None:
            lease, results = leases[number]
            if results_in(await store.segments("job-1", lease.shard)) < 6:
                await settle(lease, results + 1)
                leases[number] = lease, results + 1
        elif step == "finish" and number is not None:
            await store.finish_shard(leases.pop(number)[0])
        elif step == "lapse" and chance.random() < 0.3:
            clock.advance(seconds=31)
            await store.rescue_shards(lapsed_only=True)
            leases.clear()
        elif step == "look":
            taken.append((await store.snapshot("job-1"), await store.segments("job-1")))
    now = await store.segments("job-1")
    previous = Snapshot("job-1")
    for snapshot, segments in taken:
        assert [piece.upto for piece in stretches(now, snapshot)] == segments
        unseen = [segment for segment in now if segment not in segments]
        assert all(segment.shard >= snapshot.settled_below for segment in unseen)
        before = [piece.upto for piece in stretches(now, previous)]
        added = stretches(now, snapshot, since=previous)
        assert sum(piece.results for piece in added) == results_in(segments) - results_in(before)
        assert {piece.upto for piece in added} == set(segments) - set(before)
        previous = snapshot


async def test_a_snapshot_is_found_without_looking_at_every_shard(store):
    values = {"job_id": "job-1", "first_shard": 0, "last_shard": 9}
    plan = [row[-1] for row in store._reader.execute("EXPLAIN QUERY PLAN " + query("snapshot"), values)]
    assert any("shard_unfinished" in step for step in plan), plan


async def test_claims_made_at_once_get_different_shards(store):
    await planned_job(store, *[1] * 20)
    leases = await asyncio.gather(*(claim(store, f"worker-{n}") for n in range(20)))
    assert sorted(lease.shard for lease in leases) == list(range(20))


async def test_a_job_without_a_plan_or_on_another_engine_is_not_claimed(store):
    await store.create_job(make_job("unplanned"), active_jobs_max=100)
    await planned_job(store, 1, job_id="other", engine="big-model")
    assert await store.claim_shard("pocket-1", "worker-a", lease_seconds=30) is None


async def test_priority_goes_first_then_the_deadline_then_age(store):
    await planned_job(store, 1, job_id="old", deadline=EPOCH + 50)
    await planned_job(store, 1, job_id="young", deadline=EPOCH + 50, created_at=EPOCH + 1)
    await planned_job(store, 1, job_id="urgent", deadline=EPOCH + 40)
    await planned_job(store, 1, job_id="first", priority=1)
    assert [(await claim(store)).job_id for _ in range(4)] == ["first", "urgent", "old", "young"]


async def test_it_counts_what_goes_before_a_job(store):
    await planned_job(store, 4, job_id="old")
    await planned_job(store, 2, 3, job_id="young", created_at=EPOCH + 1)
    await planned_job(store, 7, job_id="first", priority=1, created_at=EPOCH + 2)
    await planned_job(store, 9, job_id="elsewhere", engine="big-model")
    await planned_job(store, 5, job_id="younger", created_at=EPOCH + 3)
    await planned_job(store, 6, job_id="stopped", priority=2)
    assert (await claim(store)).job_id == "stopped"
    await store.stop_job("stopped", Cause.CANCELLED)
    young = await store.get_job("young")
    assert await store.ahead(young, "pocket-1") == Ahead(jobs=2, requests=11)
    assert await store.ahead(young, "nobody") == Ahead()


async def test_what_goes_before_a_job_is_counted_at_each_engine(store):
    await job_over_engines(store, "first", priority=2)
    await planned_job(store, 4, job_id="second", engine="big-model", priority=1)
    await store.create_job(make_job("unplanned", counts=Counts(), priority=3), active_jobs_max=9)
    last = await planned_job(store, 1, job_id="last")
    lease = await claim(store, engine="big-model")
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=2), tally(1, 1))
    assert await store.ahead(last, "pocket-1") == Ahead(jobs=2, requests=3)
    assert await store.ahead(last, "big-model") == Ahead(jobs=2, requests=7)
    assert await store.ahead(last, "other-model") == Ahead(jobs=1, requests=1)
    lease = await claim(store, engine="other-model")
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=1), tally(1))
    assert await store.ahead(last, "other-model") == Ahead()


async def test_the_unfinished_jobs_are_those_that_are_not_final_or_deleted(store):
    for name in ("waiting", "failed", "deleted"):
        await store.create_job(make_job(name), active_jobs_max=100)
    await planned_job(store, 1, job_id="running", priority=1)
    await claim(store)
    await store.fail_job("failed", "x")
    await store.delete_job("deleted")
    assert {job.id for job in await store.unfinished_jobs(limit=10)} == {"waiting", "running"}
    assert len(await store.unfinished_jobs(limit=1)) == 1


async def test_each_engine_claims_its_own_shards_of_a_job(store):
    await job_over_engines(store)
    own = [await claim(store) for _ in range(2)]
    big = [await claim(store, engine="big-model") for _ in range(3)]
    other = await claim(store, engine="other-model")
    for engine in ("pocket-1", "big-model", "other-model", "nobody"):
        assert await store.claim_shard(engine, "worker", lease_seconds=30) is None
    shards = [await store.get_shard("job-1", lease.shard) for lease in [*own, *big, other]]
    assert shards == [
        Shard("job-1", 0, 0, 2, "pocket-1"),
        Shard("job-1", 1, 6, 1, "pocket-1", "nobody is not served"),
        Shard("job-1", 2, 2, 2, "big-model"),
        Shard("job-1", 3, 4, 2, "big-model"),
        Shard("job-1", 4, 7, 1, "big-model"),
        Shard("job-1", 5, 8, 1, "other-model"),
    ]


async def test_it_counts_what_each_engine_has_of_a_job(store):
    plain = await planned_job(store, 4, 4, job_id="plain", priority=1)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=1), tally(1))
    assert await store.shares(await store.get_job(plain.id)) == [Share("pocket-1", 8, 1)]
    job = await job_over_engines(store)
    assert await store.shares(job) == [Share("pocket-1", 9, 0)]
    for engine, results in (("big-model", 2), ("other-model", 1)):
        lease = await claim(store, engine=engine)
        await store.settle(lease, segment_of(lease, settled_bytes=9, results=results), tally(results))
    planned = await store.get_job(job.id)
    assert planned.engines == ("pocket-1", "big-model", "other-model")
    shares = [Share("pocket-1", 3, 0), Share("big-model", 5, 2), Share("other-model", 1, 1)]
    assert await store.shares(planned) == shares
    assert sum(share.pending for share in shares) == planned.counts.pending


async def test_a_job_drains_when_the_last_engine_is_done(store):
    await job_over_engines(store)
    for engine, results in (
        ("big-model", 2),
        ("pocket-1", 2),
        ("big-model", 2),
        ("pocket-1", 1),
        ("other-model", 1),
        ("big-model", 1),
    ):
        assert await state_of(store) in (JobState.PENDING, JobState.RUNNING)
        lease = await claim(store, engine=engine)
        await store.settle(lease, segment_of(lease, settled_bytes=9, results=results), tally(results))
        await store.finish_shard(lease)
    assert await state_of(store) is JobState.ASSEMBLING


async def test_settling_books_results_usage_and_cost_together(store):
    await planned_job(store, 3)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=100, results=1), tally(succeeded=1))
    await store.settle(lease, segment_of(lease, settled_bytes=250, results=3), tally(succeeded=1, failed=1))
    job = await store.get_job("job-1")
    assert job.counts == Counts(requests=3, succeeded=2, failed=1)
    assert job.usage == Usage(20, 4, 2)
    assert (job.cost_picos, job.interactive_cost_picos) == (10, 20)
    assert await store.segments("job-1") == [SegmentRef("job-1", 0, 1, 250, 3)]


async def test_more_results_than_requests_are_refused_whole(store):
    """A promise of one Result for one Request that the store itself keeps."""
    await planned_job(store, 1)
    lease = await claim(store)
    with pytest.raises(Exception, match="CHECK"):
        await store.settle(lease, segment_of(lease, settled_bytes=10, results=2), tally(succeeded=2))
    assert (await store.get_job("job-1")).counts.succeeded == 0
    assert await store.segments("job-1") == []


async def test_a_lapsed_and_rescued_lease_can_do_nothing(store, clock):
    """A worker that fell asleep must not overwrite the worker that replaced it."""
    await planned_job(store, 1)
    sleeper = await claim(store, "worker-a")
    clock.advance(seconds=30)
    assert await store.rescue_shards(lapsed_only=True) == 1
    for _ in range(2):  # before, and after, another worker took the Shard
        with pytest.raises(LeaseLost):
            await store.settle(sleeper, segment_of(sleeper, settled_bytes=9, results=1), tally(succeeded=1))
        with pytest.raises(LeaseLost):
            await store.finish_shard(sleeper)
        with pytest.raises(LeaseLost):
            await store.release_shard(sleeper)
        with pytest.raises(LeaseLost):
            await store.renew_lease(sleeper, lease_seconds=30)
        successor = await store.claim_shard("pocket-1", "worker-b", lease_seconds=30)
        if successor is not None:
            assert successor.token == sleeper.token + 1
    assert (await store.get_job("job-1")).counts.succeeded == 0
    assert await store.segments("job-1") == []


async def test_a_live_lease_is_not_rescued(store, clock):
    await planned_job(store, 1)
    lease = await claim(store)
    clock.advance(seconds=20)
    await store.renew_lease(lease, lease_seconds=30)
    clock.advance(seconds=29)
    assert await store.rescue_shards(lapsed_only=True) == 0
    await store.finish_shard(lease)


async def test_all_leases_are_rescued_when_their_holders_are_known_dead(store):
    await planned_job(store, 1, 1)
    await claim(store)
    await claim(store)
    assert await store.rescue_shards(lapsed_only=False) == 2
    assert (await claim(store)).token == 2


async def test_segments_of_every_lease_on_a_shard_are_kept(store):
    await planned_job(store, 4)
    first = await claim(store)
    await store.settle(first, segment_of(first, settled_bytes=100, results=1), tally(succeeded=1))
    await store.release_shard(first)
    second = await claim(store)
    await store.settle(second, segment_of(second, settled_bytes=300, results=3), tally(succeeded=3))
    assert await store.segments("job-1", shard=0) == [
        SegmentRef("job-1", 0, 1, 100, 1),
        SegmentRef("job-1", 0, 2, 300, 3),
    ]
    assert await store.segments("job-1", shard=1) == []


async def test_the_last_shard_drains_the_job(store):
    await planned_job(store, 1, 1)
    for expected in (JobState.RUNNING, JobState.ASSEMBLING):
        lease = await claim(store)
        await store.settle(lease, segment_of(lease, settled_bytes=10, results=1), tally(succeeded=1))
        await store.finish_shard(lease)
        assert await state_of(store) == expected


async def test_a_job_without_requests_drains_when_it_is_planned(store):
    await planned_job(store)
    assert await state_of(store) == JobState.ASSEMBLING


async def test_a_plan_is_saved_once(store):
    await planned_job(store, 1)
    assert await store.jobs_to_plan() == []
    with pytest.raises(IllegalTransition):
        await store.save_plan("job-1", [Section("pocket-1", 0, (1,))])


async def test_the_next_shard_of_each_job_is_listed_as_they_go(store):
    await planned_job(store, 1, 2, job_id="later", created_at=3.0)
    await planned_job(store, 3, 4, job_id="first", created_at=1.0)
    await planned_job(store, 5, job_id="second", created_at=2.0)
    assert (await claim(store)).job_id == "first"
    shards = await store.next_shards("pocket-1", limit=2)
    assert [(shard.job_id, shard.number, shard.requests) for shard in shards] == [
        ("first", 1, 4),
        ("second", 0, 5),
    ]
    assert await store.next_shards("another", limit=9) == []


async def test_a_job_may_be_taken_ahead_while_it_has_a_shard_to_claim(store):
    await planned_job(store, 1, job_id="first", created_at=1.0)
    await planned_job(store, 1, job_id="later", created_at=2.0)
    lease = await store.claim_shard("pocket-1", "worker-a", lease_seconds=30, job_id="later")
    assert lease.job_id == "later"
    lease = await store.claim_shard("pocket-1", "worker-a", lease_seconds=30, job_id="later")
    assert lease.job_id == "first"
    assert await store.claim_shard("pocket-1", "worker-a", lease_seconds=30, job_id="later") is None


async def test_a_job_keeps_how_its_requests_are_put_in_order(store):
    await store.create_job(make_job("job-1"), active_jobs_max=9)
    await store.create_job(make_job("job-2"), active_jobs_max=9)
    await store.note_order("job-1", 7, Sharing(prompt_bytes=100, shared_bytes=70, groups=2))
    first, second = [await store.get_job(f"job-{number}") for number in (1, 2)]
    assert (first.order_version, first.sharing) == (7, Sharing(100, 70, 2))
    assert second.sharing == Sharing()
    await store.fail_job("job-2", "for a reason")
    await store.note_order("job-2", 7, Sharing(1, 1, 1))
    assert (await store.get_job("job-2")).sharing == Sharing()


async def test_publishing_makes_the_job_final_with_its_output(store, clock):
    await planned_job(store, 1)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=10, results=1), tally(succeeded=1))
    assert await store.jobs_to_assemble() == []
    await store.finish_shard(lease)
    assert [job.id for job in await store.jobs_to_assemble()] == ["job-1"]
    await store.publish_job("job-1", JobEvent.PUBLISH, output_of("job-1"), missing=Tally())
    job = await store.get_job("job-1")
    assert (job.state, job.ended_at, job.output_bytes) == (JobState.SUCCEEDED, clock.now(), 10)
    assert await store.get_file("batch-job-1") == output_of("job-1")
    assert await store.jobs_to_assemble() == []


async def test_a_final_state_never_moves(store):
    await planned_job(store)
    await store.publish_job("job-1", JobEvent.PUBLISH, output_of("job-1"), missing=Tally())
    with pytest.raises(IllegalTransition):
        await store.publish_job("job-1", JobEvent.PUBLISH, output_of("job-1"), missing=Tally())
    with pytest.raises(IllegalTransition):
        await store.fail_job("job-1", "late")
    with pytest.raises(IllegalTransition):
        await store.save_plan("job-1", [Section("pocket-1", 0, (1,))])
    assert not await store.stop_job("job-1", Cause.CANCELLED)
    assert await state_of(store) == JobState.SUCCEEDED


STEPS = [
    "take_plan",
    "set_requests",
    "start_job",
    "stop_job",
    "drain_job",
    "fail_job",
    "publish_job",
    "note_order",
]


@pytest.mark.parametrize("step", STEPS)
async def test_no_statement_moves_a_job_that_has_ended(step, tmp_path, clock):
    """Each has its own guard: no other part of the store may be what saves it."""
    store = SqliteStore(tmp_path / "x.db", clock)
    await planned_job(store)
    await store.publish_job("job-1", JobEvent.PUBLISH, output_of("job-1"), missing=Tally())
    before = await store.get_job("job-1")
    store.close()
    values = {"id": "job-1", "now": 1.0, "requests": 9, "cause": "cancelled", "error": "x", "missing": 0}
    values |= {"order_version": 9, "prompt_bytes": 9, "shared_bytes": 9, "groups": 9}
    values |= {"state": "FAILED", "output_bytes": 1, "output_expires_at": 9.0}
    connection = apsw.Connection(str(tmp_path / "x.db"))
    connection.execute(query(step), values)
    connection.close()
    store = SqliteStore(tmp_path / "x.db", clock)
    assert await store.get_job("job-1") == before
    store.close()


async def test_stopping_closes_open_shards_and_waits_for_the_leased_one(store):
    await planned_job(store, 1, 1)
    lease = await claim(store)
    assert await store.stop_job("job-1", Cause.CANCELLED)
    assert await state_of(store) == JobState.CANCELLING
    assert await store.claim_shard("pocket-1", "worker-b", lease_seconds=30) is None
    await store.settle(lease, segment_of(lease, settled_bytes=10, results=1), tally(succeeded=1))
    await store.release_shard(lease)
    job = await store.get_job("job-1")
    assert (job.state, job.stopped_by) == (JobState.ASSEMBLING, Cause.CANCELLED)
    missing = Tally(Counts(failed=1))
    await store.publish_job("job-1", JobEvent.PUBLISH_CANCELLED, output_of("job-1"), missing=missing)
    job = await store.get_job("job-1")
    assert (job.state, job.counts) == (JobState.CANCELLED, Counts(requests=2, succeeded=1, failed=1))


async def test_a_stopped_job_whose_worker_died_drains_when_the_lease_is_rescued(store, clock):
    await planned_job(store, 1)
    await claim(store)
    await store.stop_job("job-1", Cause.EXPIRED)
    clock.advance(seconds=30)
    await store.rescue_shards(lapsed_only=True)
    assert await state_of(store) == JobState.ASSEMBLING
    await store.publish_job(
        "job-1", JobEvent.PUBLISH_EXPIRED, output_of("job-1"), missing=Tally(Counts(failed=1))
    )


async def test_a_job_stopped_before_it_was_planned_takes_no_plan(store):
    await store.create_job(make_job(counts=Counts()), active_jobs_max=100)
    assert [job.id for job in await store.jobs_to_plan()] == ["job-1"]
    assert await store.stop_job("job-1", Cause.CANCELLED)
    assert await state_of(store) == JobState.ASSEMBLING
    with pytest.raises(IllegalTransition):
        await store.save_plan("job-1", [Section("pocket-1", 0, (1,))])
    assert await store.jobs_to_plan() == []


async def test_a_failed_job_says_why_and_its_leases_are_void(store):
    await planned_job(store, 1)
    lease = await claim(store)
    await store.fail_job("job-1", "the input file is gone")
    job = await store.get_job("job-1")
    assert (job.state, job.error) == (JobState.FAILED, "the input file is gone")
    with pytest.raises(LeaseLost):
        await store.settle(lease, segment_of(lease, settled_bytes=10, results=1), tally(succeeded=1))


async def test_jobs_past_their_deadline_are_overdue(store, clock):
    await planned_job(store, 1, deadline=EPOCH + 10)
    assert await store.jobs_overdue() == []
    clock.advance(seconds=10)
    assert [job.id for job in await store.jobs_overdue()] == ["job-1"]
    await store.stop_job("job-1", Cause.EXPIRED)
    assert await store.jobs_overdue() == []


async def test_the_next_deadline_is_the_earliest_of_what_can_still_be_stopped(store):
    assert await store.next_deadline() is None
    await planned_job(store, 1, job_id="late", deadline=EPOCH + 50)
    await planned_job(store, 1, job_id="soon", deadline=EPOCH + 10)
    assert await store.next_deadline() == EPOCH + 10
    await store.stop_job("soon", Cause.CANCELLED)
    assert await store.next_deadline() == EPOCH + 50
    lease = await claim(store)
    assert lease.job_id == "late"
    assert await store.next_deadline() == EPOCH + 50
    await store.finish_shard(lease)
    assert await store.next_deadline() is None


async def test_the_output_of_a_deleted_job_cannot_be_seen_from_then_on(store):
    for job_id, deleted_first in (("job-1", False), ("job-2", True)):
        await store.create_job(make_job(job_id, counts=Counts()), active_jobs_max=100)
        await store.save_plan(job_id, [])
        if deleted_first:
            await store.delete_job(job_id)
        await store.publish_job(job_id, JobEvent.PUBLISH, output_of(job_id), missing=Tally())
        assert (await store.get_file(f"batch-{job_id}") is None) == deleted_first
        await store.delete_job(job_id)
        assert await store.get_file(f"batch-{job_id}") is None
    assert {job.id for job in await store.jobs_to_forget(limit=9)} == {"job-1", "job-2"}


async def test_only_a_deleted_job_ends_without_an_output(store):
    await store.create_job(make_job(counts=Counts()), active_jobs_max=100)
    await store.save_plan("job-1", [])
    with pytest.raises(IllegalTransition, match="needs its output"):
        await store.publish_job("job-1", JobEvent.PUBLISH, None, missing=Tally())
    assert await state_of(store) == JobState.ASSEMBLING
    await store.delete_job("job-1")
    await store.publish_job("job-1", JobEvent.PUBLISH, None, missing=Tally())
    assert [job.id for job in await store.jobs_to_forget(limit=9)] == ["job-1"]
    await store.forget_job("job-1")
    assert await store.jobs_to_forget(limit=9) == []
    assert await store.check_integrity() == []


async def test_a_job_that_was_not_deleted_is_not_forgotten(store):
    await store.create_job(make_job(), active_jobs_max=100)
    await store.fail_job("job-1", "x")
    await store.forget_job("job-1")
    assert await state_of(store) == JobState.FAILED


async def test_a_deleted_job_is_hidden_at_once_and_forgotten_when_it_has_ended(store):
    await planned_job(store, 1)
    await store.delete_job("job-1")
    assert await store.get_job("job-1") is None
    assert await store.list_jobs(limit=10, after=None) == []
    await store.forget_job("job-1")
    assert await store.jobs_to_forget(limit=10) == []
    assert await store.stop_job("job-1", Cause.CANCELLED), "it is hidden, not gone, until it has ended"
    await store.publish_job(
        "job-1", JobEvent.PUBLISH_CANCELLED, output_of("job-1"), missing=Tally(Counts(failed=1))
    )
    assert [job.id for job in await store.jobs_to_forget(limit=10)] == ["job-1"]
    await store.forget_job("job-1")
    assert await store.get_file("batch-job-1") is None
    assert await store.segments("job-1") == []
    assert await store.jobs_to_forget(limit=10) == []


async def test_a_file_finishes_its_upload_and_its_name_is_taken(store):
    upload = Upload("secret", "abc", "n", "jsonl", 10, EPOCH, "inputs/u")
    await store.create_upload(upload)
    assert await store.get_upload("secret") == upload
    with pytest.raises(AlreadyExists, match="files/abc"):
        await store.create_upload(replace(upload, id="other"))
    await store.create_file(uploaded("abc"), upload_id="secret")
    assert await store.get_upload("secret") == replace(upload, finished=True)
    with pytest.raises(AlreadyExists):
        await store.create_upload(replace(upload, id="other"))
    with pytest.raises(AlreadyExists):
        await store.create_file(uploaded("abc"))
    assert await store.delete_file("abc")
    assert not await store.delete_file("abc")
    await store.create_upload(replace(upload, id="other"))


async def test_the_bytes_of_an_upload_are_held_until_they_are_a_files(store):
    await store.create_upload(Upload("secret", "abc", "n", "jsonl", None, EPOCH, "inputs/u"))
    assert await store.blob_in_use("inputs/u")
    await store.create_file(replace(uploaded("abc"), blob="inputs/u"), upload_id="secret")
    assert await store.blob_in_use("inputs/u")
    await store.delete_file("abc")
    assert not await store.blob_in_use("inputs/u")


async def test_old_uploads_can_be_found(store):
    await store.create_upload(Upload("secret", "abc", "n", "jsonl", None, EPOCH, "inputs/u"))
    assert await store.uploads_begun_before(EPOCH, limit=10) == []
    assert [upload.id for upload in await store.uploads_begun_before(EPOCH + 1, limit=10)] == ["secret"]
    await store.delete_upload("secret")
    assert await store.uploads_begun_before(EPOCH + 1, limit=10) == []


async def test_uploaded_files_are_listed_newest_first_and_outputs_are_not(store):
    for n in range(3):
        await store.create_file(uploaded(f"f{n}", created_at=EPOCH + n))
    await store.create_file(output_of("job-1"))
    first = await store.list_files(limit=2, after=None)
    second = await store.list_files(limit=2, after=(first[-1].created_at, first[-1].id))
    assert [file.id for file in first + second] == ["f2", "f1", "f0"]


async def test_an_expired_file_is_gone_for_clients_and_found_by_the_pruner(store, clock):
    await store.create_file(uploaded("abc", expires_at=EPOCH + 5))
    clock.advance(seconds=5)
    assert await store.get_file("abc") is None
    assert await store.list_files(limit=5, after=None) == []
    assert [file.id for file in await store.files_expired(limit=10)] == ["abc"]


async def test_the_name_of_an_expired_file_can_be_used_again_at_once(store, clock):
    await store.create_file(uploaded("abc", expires_at=EPOCH + 5))
    clock.advance(seconds=5)
    await store.create_upload(Upload("secret", "abc", "n", "jsonl", None, clock.now(), "inputs/u"))
    await store.create_file(uploaded("abc", expires_at=EPOCH + 99), upload_id="secret")
    assert (await store.get_file("abc")).expires_at == EPOCH + 99


async def test_bytes_are_in_use_while_a_file_or_an_unfinished_job_needs_them(store):
    assert not await store.blob_in_use("uploads/abc")
    await store.create_file(uploaded("abc"))
    await store.create_job(make_job(input_file="abc"), active_jobs_max=100)
    await store.create_job(make_job("other", input_blob="uploads/other"), active_jobs_max=100)
    assert await store.blob_in_use("uploads/abc")
    await store.delete_file("abc")
    assert await store.blob_in_use("uploads/abc"), "a Job outlives the File it was made from"
    await store.fail_job("job-1", "x")
    assert not await store.blob_in_use("uploads/abc")


async def test_requests_that_came_inline_are_in_use_until_they_are_released(store, clock):
    await store.create_job(make_job(), active_jobs_max=100)
    assert await store.jobs_done_with_input(created_by=clock.now(), limit=10) == []
    await store.release_input("job-1")
    assert await store.blob_in_use("uploads/abc"), "it has not ended"
    await store.fail_job("job-1", "x")
    assert await store.blob_in_use("uploads/abc")
    assert await store.jobs_done_with_input(created_by=clock.now() - 1, limit=10) == []
    (done,) = await store.jobs_done_with_input(created_by=clock.now(), limit=10)
    await store.release_input(done.id)
    assert not await store.blob_in_use("uploads/abc")
    assert await store.jobs_done_with_input(created_by=clock.now(), limit=10) == []


@pytest.mark.parametrize("change", ["gone", "expired", "other bytes"])
async def test_no_job_is_made_from_a_file_that_is_not_there_any_more(store, clock, change):
    """It may have been there when somebody looked: what counts is the moment the Job is made."""
    if change != "gone":
        await store.create_file(uploaded("abc", expires_at=EPOCH + 5))
    if change == "expired":
        clock.advance(seconds=5)
    job = make_job(input_file="abc", input_blob="uploads/" + ("old" if change == "other bytes" else "abc"))
    with pytest.raises(NotFound, match="files/abc"):
        await store.create_job(job, active_jobs_max=100)
    assert await store.get_job(job.id) is None


async def test_only_an_expired_file_is_dropped(store, clock):
    await store.create_file(uploaded("abc", expires_at=EPOCH + 5))
    await store.drop_expired_file("abc")
    assert await store.get_file("abc") is not None
    clock.advance(seconds=5)
    await store.drop_expired_file("abc")
    assert await store.files_expired(limit=10) == []


async def published_job(store, job_id: str = "job-1"):
    """A Job with a Segment, whose output is kept for 1,000 seconds."""
    await planned_job(store, 1, job_id=job_id)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=1), tally(succeeded=1))
    await store.finish_shard(lease)
    await store.publish_job(job_id, JobEvent.PUBLISH, output_of(job_id), missing=Tally())


async def test_a_job_is_cleared_when_its_output_has_expired(store, clock):
    await published_job(store)
    assert (await store.get_job("job-1")).output_expires_at == EPOCH + 1000
    assert await store.jobs_to_clear(failed_by=clock.now(), limit=10) == []
    await store.clear_job("job-1")
    assert await store.get_file("batch-job-1") is not None, "an output that is still kept stays"
    clock.advance(seconds=1000)
    await published_job(store, "job-2")
    await store.clear_job("job-2")
    assert await store.segments("job-2") == []
    assert await store.jobs_to_clear(failed_by=clock.now(), limit=10) == []
    assert [file.id for file in await store.files_expired(limit=10)] == ["batch-job-1"]


async def test_a_job_without_an_output_is_cleared_by_its_age(store, clock):
    await planned_job(store, 1)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=9, results=1), tally(succeeded=1))
    await store.clear_job("job-1")
    assert len(await store.segments("job-1")) == 1, "a Job that runs keeps what it has"
    await store.fail_job("job-1", "x")
    assert await store.jobs_to_clear(failed_by=clock.now() - 1, limit=10) == []
    (job,) = await store.jobs_to_clear(failed_by=clock.now(), limit=10)
    await store.clear_job(job.id)
    assert await store.segments("job-1") == []
    assert await store.jobs_to_clear(failed_by=clock.now(), limit=10) == []


async def test_what_is_to_be_removed_comes_in_bounded_lists(store, clock):
    for n in range(4):
        await store.create_job(make_job(f"job-{n}"), active_jobs_max=100)
        await store.fail_job(f"job-{n}", "x")
        await store.create_file(uploaded(f"f{n}", expires_at=EPOCH - 1))
        await store.create_upload(Upload(f"u{n}", f"u{n}", "n", "jsonl", None, EPOCH, f"inputs/u{n}"))
    assert len(await store.jobs_done_with_input(created_by=clock.now(), limit=3)) == 3
    assert len(await store.jobs_to_clear(failed_by=clock.now(), limit=3)) == 3
    assert len(await store.files_expired(limit=3)) == 3
    assert len(await store.uploads_begun_before(EPOCH + 1, limit=3)) == 3
    for n in range(4):
        await store.delete_job(f"job-{n}")
    assert len(await store.jobs_to_forget(limit=3)) == 3


async def test_jobs_are_counted_by_state_and_results_for_good(store):
    assert await store.job_counts() == {}
    await published_job(store)
    await planned_job(store, 2, job_id="job-2")
    await store.create_job(make_job("job-3"), active_jobs_max=100)
    await store.fail_job("job-3", "x")
    assert await store.job_counts() == {JobState.SUCCEEDED: 1, JobState.PENDING: 1, JobState.FAILED: 1}
    await store.stop_job("job-2", Cause.CANCELLED)
    missing = Tally(Counts(failed=2))
    await store.publish_job("job-2", JobEvent.PUBLISH_CANCELLED, output_of("job-2"), missing=missing)
    assert await store.totals() == tally(succeeded=1) + Tally(Counts(failed=2))
    await store.delete_job("job-1")
    await store.forget_job("job-1")
    assert await store.job_counts() == {JobState.CANCELLED: 1, JobState.FAILED: 1}
    assert await store.totals() == tally(succeeded=1) + Tally(Counts(failed=2))


async def test_a_change_that_fails_leaves_the_others_of_its_group_standing(store):
    await store.create_job(make_job("taken"), active_jobs_max=100)
    results = await asyncio.gather(
        *(store.create_job(make_job(name), active_jobs_max=100) for name in ("a", "taken", "b")),
        return_exceptions=True,
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert {job.id for job in await store.list_jobs(limit=10, after=None)} == {"taken", "a", "b"}


async def test_integrity_checks_notice_a_count_that_does_not_match(tmp_path, clock):
    store = SqliteStore(tmp_path / "x.db", clock)
    await planned_job(store, 2)
    lease = await claim(store)
    await store.settle(lease, segment_of(lease, settled_bytes=10, results=2), tally(succeeded=1))
    assert any("counts 1 Results, its Segments hold 2" in text for text in await store.check_integrity())
    store.close()


# Caches


def cache(id: str = "cache", **changes: object) -> Cache:
    values = {
        "id": id,
        "model": "models/gemini-x",
        "engine": "pocket-1",
        "display_name": "the manual",
        "tokens": 4_096,
        "blob": f"caches/{id}",
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "expires_at": EPOCH + 10,
    }
    return Cache(**(values | changes))  # type: ignore[arg-type]


async def test_a_cache_is_there_until_it_expires(store, clock):
    await store.create_cache(cache(), caches_max=1)
    assert await store.get_cache("cache") == cache()
    assert await store.get_cache("other") is None
    assert await store.get_cache("cache", at=EPOCH - 1) is None
    clock.advance(seconds=10)
    assert await store.get_cache("cache") is None
    assert await store.list_caches(limit=5, after=None) == []
    assert await store.get_cache("cache", at=EPOCH + 9) == cache()
    assert not await store.expire_cache("cache", expires_at=EPOCH + 99)


async def test_every_cache_that_is_stored_can_be_gone_through(store, clock):
    for id in ("b", "c", "a"):
        await store.create_cache(cache(id), caches_max=9)
    clock.advance(seconds=1_000)  # they have expired
    assert await store.stored_caches(limit=2, after="") == [cache("a"), cache("b")]
    assert await store.stored_caches(limit=2, after="b") == [cache("c")]


async def test_a_cache_that_is_given_another_expiry_says_when(store, clock):
    await store.create_cache(cache(), caches_max=1)
    clock.advance(seconds=5)
    assert await store.expire_cache("cache", expires_at=EPOCH + 99)
    assert await store.get_cache("cache") == cache(updated_at=EPOCH + 5, expires_at=EPOCH + 99)
    assert not await store.expire_cache("other", expires_at=EPOCH + 99)


async def test_caches_are_listed_newest_first_and_bounded(store):
    made = [cache(f"c{number}", created_at=EPOCH + number, expires_at=EPOCH + 99) for number in range(3)]
    for each in made:
        await store.create_cache(each, caches_max=3)
    assert await store.list_caches(limit=2, after=None) == [made[2], made[1]]
    assert await store.list_caches(limit=2, after=(EPOCH + 1, "c1")) == [made[0]]
    with pytest.raises(ResourceExhausted, match="There are 3 cached contents"):
        await store.create_cache(cache("c3"), caches_max=3)


async def test_a_cache_is_gone_when_no_job_that_saw_it_is_unfinished(store, clock):
    await store.create_cache(cache(), caches_max=1)
    await store.create_job(make_job("saw", created_at=EPOCH + 9), active_jobs_max=9)
    await store.create_job(make_job("came-later", created_at=EPOCH + 10), active_jobs_max=9)
    assert await store.caches_gone(limit=5) == []
    await store.drop_cache("cache")
    assert await store.cache_stored("cache"), "one that is still there is not dropped"
    clock.advance(seconds=10)
    assert await store.caches_gone(limit=5) == []
    await store.fail_job("saw", "x")
    assert await store.caches_gone(limit=5) == [cache()]
    await store.drop_cache("cache")
    assert not await store.cache_stored("cache")


async def test_a_file_that_expires_is_kept_for_jobs_that_read_files(store, clock):
    await store.create_file(uploaded("abc", expires_at=EPOCH + 5))
    await store.create_job(make_job("reads"), active_jobs_max=9)
    await store.create_job(make_job("does-not"), active_jobs_max=9)
    await store.create_job(make_job("came-later", created_at=EPOCH + 5), active_jobs_max=9)
    await store.note_files_read("reads")
    await store.note_files_read("came-later")
    clock.advance(seconds=5)
    assert await store.files_expired(limit=10) == []
    assert (await store.get_file_at("abc", EPOCH)).id == "abc"
    assert await store.get_file_at("abc", EPOCH + 5) is None
    await store.fail_job("reads", "x")
    assert [file.id for file in await store.files_expired(limit=10)] == ["abc"]


# Webhooks


def webhook(id: str = "hook", **changes: object) -> Webhook:
    values = {
        "id": id,
        "name": "nightly",
        "uri": "https://hooks.test/",
        "events": ("batch.succeeded", "batch.failed"),
        "state": WebhookState.ENABLED,
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "secrets": (Secret("whsec_one", EPOCH),),
    }
    return Webhook(**(values | changes))  # type: ignore[arg-type]


async def registered(store, id: str = "hook", **changes: object) -> Webhook:
    made = webhook(id, **changes)
    await store.create_webhook(made, webhooks_max=100)
    return made


async def failed_job(store, job_id: str = "job-1", **changes: object) -> None:
    await store.create_job(make_job(job_id, **changes), active_jobs_max=100)
    await store.fail_job(job_id, "broken")


async def due(store) -> list[Delivery]:
    return await store.deliveries_due(each=9, limit=9)


async def change(store, id: str = "hook", **changes: object) -> bool:
    return await store.change_webhook(
        id, **({"name": None, "uri": None, "events": None, "state": None} | changes)
    )


async def test_a_webhook_reads_back_as_it_was_given(store):
    made = await registered(store)
    assert await store.get_webhook("hook") == made
    assert await store.get_webhook("other") is None


async def test_a_webhook_id_is_taken_once_and_there_are_not_too_many(store):
    await registered(store)
    with pytest.raises(AlreadyExists):
        await registered(store)
    with pytest.raises(ResourceExhausted, match="There are 1 webhooks"):
        await store.create_webhook(webhook("other"), webhooks_max=1)
    assert await store.get_webhook("other") is None


async def test_webhooks_are_listed_newest_first_in_pages(store):
    made = [await registered(store, f"hook-{n}", created_at=EPOCH + n // 2) for n in range(5)]
    first = await store.list_webhooks(limit=3, after=None)
    rest = await store.list_webhooks(limit=3, after=(first[-1].created_at, first[-1].id))
    assert first + rest == made[::-1]


async def test_what_is_changed_of_a_webhook_changes_and_nothing_else(store, clock):
    made = await registered(store)
    clock.advance(seconds=5)
    assert await change(store, name="weekly")
    assert await store.get_webhook("hook") == replace(made, name="weekly", updated_at=EPOCH + 5)
    assert await change(store, events=("batch.expired",), uri="https://b.test/", state=WebhookState.DISABLED)
    found = await store.get_webhook("hook")
    assert (found.events, found.uri, found.state) == (
        ("batch.expired",),
        "https://b.test/",
        WebhookState.DISABLED,
    )
    assert not await change(store, "other", name="x")


async def test_a_new_secret_comes_first_and_the_others_expire(store, clock):
    await registered(store)
    for key in ("whsec_two", "whsec_three"):
        clock.advance(seconds=10)
        secret = Secret(key, clock.now())
        assert await store.rotate_secret("hook", secret, others_expire_at=clock.now() + 100)
    secrets = (await store.get_webhook("hook")).secrets
    assert [(secret.key, secret.expires_at) for secret in secrets] == [
        ("whsec_three", None),
        ("whsec_two", EPOCH + 120),
        ("whsec_one", EPOCH + 110),  # what was to expire earlier still does
    ]
    clock.advance(seconds=90)
    assert [s.key for s in (await store.get_webhook("hook")).secrets] == ["whsec_three", "whsec_two"]
    await store.rotate_secret("hook", Secret("whsec_four", clock.now()), others_expire_at=clock.now())
    assert [s.key for s in (await store.get_webhook("hook")).secrets] == ["whsec_four"]
    assert not await store.rotate_secret("other", Secret("x", 0), others_expire_at=0)


async def test_a_final_job_is_told_to_whoever_wants_to_hear_of_it(store):
    await registered(store)
    await registered(store, "deaf", events=("batch.succeeded",))
    await registered(store, "disabled", state=WebhookState.DISABLED)
    await failed_job(store)
    event = Event(EventKind.FAILED, EPOCH, "job-1", error="broken")
    assert await due(store) == [Delivery("evt_job-1_hook", event, "https://hooks.test/", "hook", 0, EPOCH)]


@pytest.mark.parametrize(
    ("step", "kind", "has_output"),
    [
        (JobEvent.PUBLISH, EventKind.SUCCEEDED, True),
        (JobEvent.PUBLISH_CANCELLED, EventKind.CANCELLED, False),
        (JobEvent.PUBLISH_EXPIRED, EventKind.EXPIRED, False),
    ],
)
@pytest.mark.parametrize("inline", [True, False])
async def test_each_end_is_told_as_what_it_is(store, step, kind, has_output, inline):
    await registered(store, events=tuple(EventKind))
    await store.create_file(uploaded("abc"))
    job = make_job(counts=Counts(), input_file=None if inline else "abc", input_blob="uploads/abc")
    await store.create_job(job, active_jobs_max=9)
    await store.save_plan("job-1", [])
    assert await due(store) == []
    await store.publish_job("job-1", step, output_of("job-1"), missing=Tally())
    (told,) = await due(store)
    assert told.event == Event(kind, EPOCH, "job-1", has_output=has_output and not inline)


async def test_receivers_that_came_with_the_job_replace_the_registered_ones(store):
    await registered(store)
    uris = ("https://a.test/", "https://b.test/")
    await failed_job(store, notify=Notify(uris, '{"n": 1}'))
    assert (await store.get_job("job-1")).notify == Notify(uris, '{"n": 1}')
    told = await due(store)
    assert [(one.id, one.uri, one.webhook_id) for one in told] == [
        ("evt_job-1_0", uris[0], None),
        ("evt_job-1_1", uris[1], None),
    ]
    assert {one.event.user_metadata for one in told} == {'{"n": 1}'}


async def test_metadata_alone_goes_to_the_registered_ones(store):
    await registered(store)
    await failed_job(store, notify=Notify((), "{}"))
    assert [(one.webhook_id, one.event.user_metadata) for one in await due(store)] == [("hook", "{}")]


async def test_of_a_deleted_job_nobody_hears(store):
    await registered(store)
    await store.create_job(make_job(), active_jobs_max=9)
    await store.delete_job("job-1")
    await store.fail_job("job-1", "broken")
    assert await store.deliveries_waiting() == 0


async def test_what_waits_to_be_told_outlives_its_job(store):
    await registered(store)
    await failed_job(store)
    await store.delete_job("job-1")
    await store.forget_job("job-1")
    assert len(await due(store)) == 1


async def test_a_delivery_goes_where_its_webhook_is_by_then(store):
    await registered(store)
    await failed_job(store)
    await change(store, uri="https://moved.test/")
    assert [one.uri for one in await due(store)] == ["https://moved.test/"]


async def test_a_delivery_that_was_put_off_is_due_again_then(store, clock):
    await registered(store)
    await failed_job(store)
    (told,) = await due(store)
    await store.put_off(told.id, due_at=EPOCH + 10)
    assert await due(store) == []
    clock.advance(seconds=10)
    assert await due(store) == [replace(told, attempts=1)]
    await store.delivered(told.id)
    assert await store.deliveries_waiting() == 0


async def test_few_deliveries_to_each_are_given_out_those_tried_least_first(store):
    await registered(store)
    for number in range(3):
        await failed_job(store, f"job-{number}")
    await failed_job(store, "job-9", notify=Notify(("https://b.test/",)))
    await store.put_off("evt_job-0_hook", due_at=EPOCH - 1)
    told = await store.deliveries_due(each=2, limit=9)
    assert [one.id for one in told] == ["evt_job-9_0", "evt_job-1_hook", "evt_job-0_hook"]
    assert len(await store.deliveries_due(each=9, limit=2)) == 2


async def test_disabling_or_deleting_a_webhook_drops_what_waits_for_it(store):
    for id in ("a", "b", "c"):
        await registered(store, id)
    await failed_job(store)
    await change(store, "a", state=WebhookState.DISABLED)
    await change(store, "c", name="x")
    assert await store.delete_webhook("b")
    assert not await store.delete_webhook("b")
    assert [one.webhook_id for one in await due(store)] == ["c"]


async def test_a_webhook_that_nothing_has_reached_since_is_disabled(store, clock):
    await registered(store)
    await failed_job(store, "job-1")
    clock.advance(seconds=10)
    await failed_job(store, "job-2")
    assert await store.give_up("evt_job-1_hook") == 2
    assert (await store.get_webhook("hook")).state is WebhookState.FAILED
    assert await store.deliveries_waiting() == 0


@pytest.mark.parametrize("how", ["taken", "moved", "enabled"])
async def test_a_webhook_that_was_reached_since_is_not_disabled(store, clock, how):
    await registered(store)
    for number in (1, 2, 3):
        await failed_job(store, f"job-{number}")
    clock.advance(seconds=10)
    if how == "taken":
        await store.delivered("evt_job-2_hook")
    elif how == "moved":
        await change(store, uri="https://moved.test/")
    else:
        await change(store, state=WebhookState.DISABLED)
        await change(store, state=WebhookState.ENABLED)
        await _given_up_by_a_webhook_enabled_again(store)
        return
    before = await store.deliveries_waiting()
    assert await store.give_up("evt_job-1_hook") == 1
    assert (await store.get_webhook("hook")).state is WebhookState.ENABLED
    assert await store.deliveries_waiting() == before - 1


async def _given_up_by_a_webhook_enabled_again(store) -> None:
    await failed_job(store, "job-4", created_at=EPOCH)
    writer = apsw.Connection(str(store._path))
    writer.execute("UPDATE delivery SET created_at = ?", (EPOCH,))
    writer.close()
    assert await store.give_up("evt_job-4_hook") == 1
    assert (await store.get_webhook("hook")).state is WebhookState.ENABLED


async def test_a_single_receiver_is_given_up_alone(store):
    await failed_job(store, notify=Notify(("https://a.test/", "https://b.test/")))
    assert await store.give_up("evt_job-1_0") == 1
    assert await store.deliveries_waiting() == 1


async def test_a_delivery_that_tells_what_is_not_so_is_found(tmp_path, clock):
    store = SqliteStore(tmp_path / "other.db", clock)
    await registered(store)
    await failed_job(store)
    writer = apsw.Connection(str(tmp_path / "other.db"))
    writer.execute("UPDATE delivery SET kind = 'batch.succeeded'")
    writer.close()
    assert await store.check_integrity() == [
        "Delivery evt_job-1_hook tells of batch.succeeded, and Job job-1 is FAILED."
    ]
    store.close()
