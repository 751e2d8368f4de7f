"""What a Job is told to wait for, and when it is told to end, from everything around it."""

import pytest

from halfrate.config import Limits
from halfrate.domain.job import Counts, JobState
from halfrate.domain.shard import Section, SegmentRef
from halfrate.engines.scripted import ScriptedEngine
from halfrate.metering.meter import Meter
from halfrate.metering.price import Price
from halfrate.service.models import Model, Models
from halfrate.service.outlooks import Outlooks
from halfrate.store.meta.api import Tally
from halfrate.store.meta.sqlite import SqliteStore
from tests.fakes import EPOCH, ended, line, make_job, submit

PRICE = Price.of(input=2, output=4, cached_input=0)


@pytest.fixture
def store(tmp_path, clock):
    store = SqliteStore(tmp_path / "halfrate.db", clock)
    yield store
    store.close()


@pytest.fixture
async def engine():
    async with ScriptedEngine(lanes=1) as engine:
        await engine.ready()
        yield engine


@pytest.fixture
def meter():
    return Meter()


@pytest.fixture
def outlooks(store, engine, meter, clock):
    return outlooks_over(store, engine, meter, clock)


def outlooks_over(store, engine, meter, clock, **more):
    models = Models([Model("pocket-1", "1", engine, PRICE, ())], lookup=None, clock=clock)
    return Outlooks(store=store, models=models, meters={"pocket-1": meter}, clock=clock, **more)


def work(meter: Meter, clock, *, job_id: str, per_second: int, seconds: int) -> None:
    """Have a Job answered at a steady pace."""
    meter.begin(job_id, clock.now())
    for _ in range(seconds):
        for _ in range(per_second):
            clock.advance(seconds=1 / per_second)
            meter.settled(job_id, 1, seconds=0.01, now=clock.now())
    meter.end(job_id, clock.now())


def running(clock, requests: int, **changes: object):
    return make_job(
        **{"planned": True, "state": JobState.RUNNING, "started_at": EPOCH, "updated_at": clock.now()}
        | {"counts": Counts(requests)}
        | changes
    )


async def test_a_job_is_told_to_end_by_its_own_pace(outlooks, meter, clock):
    work(meter, clock, job_id="other", per_second=100, seconds=30)
    work(meter, clock, job_id="job-1", per_second=2, seconds=60)
    outlook = await outlooks.of(running(clock, 200))
    assert outlook.waiting is None
    assert outlook.eta.at == clock.now()
    assert outlook.eta.left_seconds == pytest.approx(100, rel=0.05)
    assert outlook.eta.earliest < outlook.eta.likely < outlook.eta.latest
    assert outlook.promise.holds is True


async def test_a_job_that_waits_is_told_to_end_after_those_that_go_first(outlooks, store, meter, clock):
    first = make_job("first", created_at=EPOCH - 1, counts=Counts(requests=100), planned=True)
    await store.create_job(first, active_jobs_max=10)
    work(meter, clock, job_id="earlier", per_second=2, seconds=60)
    outlook = await outlooks.of(make_job(counts=Counts(requests=100), planned=True))
    assert outlook.waiting.sentence == "Behind 1 job with 100 requests."
    assert outlook.eta.left_seconds == pytest.approx(100, rel=0.05)


async def test_nothing_is_told_of_an_end_without_a_pace(outlooks, clock):
    outlook = await outlooks.of(running(clock, 100))
    assert (outlook.eta, outlook.promise.holds) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": Counts()},
        {"engine": "gone"},
        {"state": JobState.CANCELLING},
        {"state": JobState.ASSEMBLING},
        {"state": JobState.SUCCEEDED, "ended_at": EPOCH},
    ],
    ids=str,
)
async def test_no_end_is_told_where_no_pace_leads_to_it(outlooks, meter, clock, changes):
    work(meter, clock, job_id="job-1", per_second=2, seconds=60)
    assert (await outlooks.of(running(clock, 200, **changes))).eta is None


async def test_no_end_is_told_while_the_engine_is_down(outlooks, engine, meter, clock):
    work(meter, clock, job_id="job-1", per_second=2, seconds=60)
    await engine.die()
    outlook = await outlooks.of(running(clock, 200))
    assert outlook.waiting.code == "engine_down"
    assert "Engine down: The script's process died." in outlook.waiting.sentence
    assert (outlook.eta, outlook.promise.holds) == (None, None)


async def test_a_promise_that_cannot_be_held_is_told_before_the_job_starts(outlooks, meter, clock):
    work(meter, clock, job_id="earlier", per_second=1, seconds=600)
    outlook = await outlooks.of(make_job(counts=Counts(requests=1_000), promised_at=clock.now() + 500))
    assert outlook.waiting.code == "planning"
    assert outlook.promise.holds is False
    assert outlook.promise.reason.startswith("It is likely to take until 2027-01-15")


async def test_it_says_what_others_know_of_a_job(store, engine, meter, clock):
    outlooks = outlooks_over(
        store,
        engine,
        meter,
        clock,
        troubles=lambda job_id: "The disk is full." if job_id == "stuck" else None,
        indexed=lambda blob: 12.0 if blob == "uploads/abc" else None,
        assembled=lambda job: 34.0,
    )
    stuck, indexed = running(clock, 1, id="stuck"), make_job(counts=Counts())
    assembled = running(clock, 1, state=JobState.ASSEMBLING)
    sentences = [(await outlooks.of(job)).waiting.sentence for job in (stuck, indexed, assembled)]
    assert sentences == [
        "The disk is full.",
        "Its input is being checked (12 % done).",
        "Its output is being written (34 % done).",
    ]


async def test_the_application_notes_the_pace_of_its_jobs(start):
    async with start() as app:
        job = await ended(app, await submit(app, *[line(f"say {n}") for n in range(30)]))
        meter = app.meters["pocket-1"]
        assert meter.pace.results == 30
        pace = meter.pace_of(job.id)
        assert pace is not None
        assert pace.results == 30
        assert sum(meter.settle_seconds.counts) == sum(meter.group_sizes.counts) > 0
        outlook = await app.jobs.outlook(job)
    assert outlook.promise.holds is True


async def test_an_end_is_told_at_once_after_a_restart(start, tmp_path, clock):
    """By the Job's own counts: it was at one Result a second, whatever time went by since then."""
    (tmp_path / "data").mkdir()
    store = SqliteStore(tmp_path / "data" / "halfrate.db", clock)
    await store.create_job(make_job(counts=Counts(requests=300)), active_jobs_max=10)
    await store.save_plan("job-1", [Section("pocket-1", 0, (300,))])
    lease = await store.claim_shard("pocket-1", "w", lease_seconds=1_000)
    clock.advance(seconds=100)
    tally = Tally(Counts(succeeded=100))
    await store.settle(lease, SegmentRef("job-1", 0, lease.token, 0, 100), tally)
    clock.advance(seconds=5_000)
    store.close()
    engine = ScriptedEngine(broken="later")
    async with start(engine, clock=clock) as app:
        meter = app.meters["pocket-1"]
        pace = meter.pace_of("job-1")
        assert pace is not None
        span = pace.time_for(200, now=clock.now(), lanes=1)
        assert span is not None
        assert span.likely == pytest.approx(200, rel=0.1)
        assert meter.pace.per_second(clock.now()) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("limits", "hours"),
    [(Limits(), 24), (Limits(promise_hours=2), 2), (Limits(job_hours=1), 1)],
    ids=["by default", "as set", "never past the deadline"],
)
async def test_a_job_is_promised_for(start, clock, limits, hours):
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=limits) as app:
        job = await submit(app, line("x"))
        assert job.promised_at == job.created_at + hours * 3_600
        assert (await app.jobs.get(job.id)).promised_at == job.promised_at
