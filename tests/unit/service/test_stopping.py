"""Deadlines, cancellation and deletion, from every state a Job can be in."""

import asyncio
import threading

import pytest

from halfrate.config import Limits
from halfrate.dispatch.assembling import Assembler
from halfrate.dispatch.planning import Planner
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import Forbidden, InvalidArgument, NotFound
from halfrate.domain.job import Counts, JobState
from halfrate.domain.outcome import Cause
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.engines.scripted import ScriptedEngine
from tests.engines import QUICK, eventually, toy_model
from tests.fakes import EPOCH, FakeClock, ended, line, results, submit, until, upload

FOREVER = 3_600.0


async def in_state(app, job, state: JobState) -> None:
    async def reached() -> bool:
        return (await app.store.get_job(job.id)).state is state

    await until(reached)


async def in_flight(engine: ScriptedEngine) -> None:
    async def some() -> bool:
        return bool(engine.in_flight)

    await until(some)


@pytest.fixture
def assembling(monkeypatch):
    """Hold up what is being assembled until the test lets it go on."""
    go_on = threading.Event()
    write = Assembler._write

    def held(*arguments):
        assert go_on.wait(timeout=20)
        return write(*arguments)

    monkeypatch.setattr(Assembler, "_write", held)
    yield go_on
    go_on.set()


async def test_a_job_may_have_an_earlier_deadline_of_its_own(start):
    async with start(ScriptedEngine(broken="no"), clock=FakeClock(), limits=Limits(job_hours=2)) as app:
        assert (await submit(app, line("x"))).deadline == EPOCH + 7_200
        assert (await submit(app, line("x"), deadline=Deadline(90))).deadline == EPOCH + 90
        at = Deadline(EPOCH + 60, absolute=True)
        job = await app.jobs.create_inline(
            model="pocket-1", items=[line("x")], display_name="", priority=0, deadline=at
        )
        assert job.deadline == EPOCH + 60
        assert (await submit(app, line("x"), deadline=Deadline(7_200))).deadline == EPOCH + 7_200


@pytest.mark.parametrize(
    "deadline", [Deadline(0), Deadline(7_201), Deadline(EPOCH, absolute=True), Deadline(5, absolute=True)]
)
async def test_a_deadline_out_of_bounds_is_refused(start, deadline):
    async with start(clock=FakeClock(), limits=Limits(job_hours=2)) as app:
        with pytest.raises(InvalidArgument, match="must be ahead, and at most 2 hours"):
            await submit(app, line("x"), deadline=deadline)
        assert await app.jobs.list(page_size=10, page_token=None) == ([], None)


async def test_at_its_deadline_a_job_stops_at_the_engine_and_keeps_what_it_has(start):
    clock = FakeClock()
    engine = ScriptedEngine(lanes=1, delay_seconds=1, clock=clock)
    async with start(engine, clock=clock) as app:
        job = await submit(app, *[line(f"say {n}", f"k{n}") for n in range(9)], deadline=Deadline(4.5))
        await in_flight(engine)

        async def over() -> bool:
            clock.advance(seconds=0.1)
            await asyncio.sleep(0.005)
            return (await app.jobs.get(job.id)).state.final

        await until(over)
        assert engine.in_flight == []
        job = await app.jobs.get(job.id)
        answers = await results(app, job)
    assert (job.state, job.counts.pending) == (JobState.EXPIRED, 0)
    assert 1 <= job.counts.succeeded <= 5
    assert [answer["key"] for answer in answers] == [f"k{n}" for n in range(9)]
    assert ["response" in answer for answer in answers] == [n < job.counts.succeeded for n in range(9)]
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {4}


async def test_a_job_expires_at_its_deadline_and_not_at_the_next_look(start):
    """Also one that came while the deadline of another was waited for."""
    clock = FakeClock()
    async with start(ScriptedEngine(broken="no"), clock=clock) as app:
        await submit(app, line("x"), deadline=Deadline(3))
        job = await submit(app, line("x", "a"), deadline=Deadline(2))
        await eventually(lambda: EPOCH + 2 in clock.waited_for())
        clock.advance(seconds=2)
        assert (await ended(app, job)).state is JobState.EXPIRED


async def test_what_expires_is_stopped_in_the_embedded_engine(start, tmp_path):
    """An answer nobody waits for is not written to its end: the model is free for others."""
    clock = FakeClock()
    engine = EmbeddedEngine(toy_model(tmp_path), settings=QUICK)
    async with start(engine, clock=clock) as app:
        long = [line(f"Go on {n}.", f"k{n}", maxOutputTokens=4_000) for n in range(4)]
        job = await submit(app, *long, deadline=Deadline(600))
        await eventually(lambda: engine.beat is not None and engine.beat.running == 4)
        clock.advance(seconds=600)
        job = await ended(app, job)
        assert (job.state, job.counts.failed) == (JobState.EXPIRED, 4)
        await eventually(lambda: engine.beat is not None and engine.beat.running == 0)
        assert engine.beat is not None
        assert engine.beat.steps < 4_000


@pytest.mark.parametrize("stop", ["cancel", "expire"])
async def test_a_job_stopped_before_its_lines_were_counted_has_an_error_for_each(start, monkeypatch, stop):
    """A large file is accepted before it is indexed, and may be stopped before it is planned."""

    async def never(*_) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Planner, "_plan_or_fail", never)
    monkeypatch.setattr("halfrate.service.jobs.INDEX_WAIT_SECONDS", 0)
    clock = FakeClock()
    async with start(clock=clock) as app:
        job = await submit(app, line("x", "a"), line("y", "b"), deadline=Deadline(60))
        assert job.counts == Counts()
        if stop == "cancel":
            await app.jobs.cancel(job.id)
        else:
            clock.advance(seconds=60)
        job = await ended(app, job)
        assert job.counts == Counts(requests=2, failed=2)
        assert [answer["key"] for answer in await results(app, job)] == ["a", "b"]


async def test_cancelling_twice_is_cancelling_once(start):
    engine = ScriptedEngine(delay_seconds=FOREVER)
    async with start(engine) as app:
        job = await submit(app, line("x", "a"))
        await in_flight(engine)
        await asyncio.gather(app.jobs.cancel(job.id), app.jobs.cancel(job.id))
        assert engine.in_flight == []
        job = await ended(app, job)
        await app.jobs.cancel(job.id)
        assert await app.jobs.get(job.id) == job
        assert [answer["error"]["code"] for answer in await results(app, job)] == [1]


async def test_a_cancelled_job_does_not_expire_as_well(start, assembling):
    clock = FakeClock()
    async with start(ScriptedEngine(broken="no"), clock=clock) as app:
        job = await submit(app, line("x"), deadline=Deadline(60))
        await app.jobs.cancel(job.id)
        clock.advance(seconds=100)
        assert not await app.jobs.stop(job, Cause.EXPIRED)
        assembling.set()
        assert (await ended(app, job)).state is JobState.CANCELLED


async def test_cancelling_a_job_whose_results_are_all_there_lets_it_succeed(start, assembling):
    async with start() as app:
        job = await submit(app, line("x", "a"))
        await in_state(app, job, JobState.ASSEMBLING)
        await app.jobs.cancel(job.id)
        assembling.set()
        job = await ended(app, job)
        assert (job.state, job.stopped_by) == (JobState.SUCCEEDED, None)
        assert "response" in (await results(app, job))[0]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "CANCELLED", "ASSEMBLING", "SUCCEEDED"])
async def test_a_deleted_job_leaves_nothing_whatever_its_state_was(start, assembling, state):
    clock = FakeClock()
    engine = {
        "PENDING": ScriptedEngine(broken="no"),
        "RUNNING": ScriptedEngine(delay_seconds=FOREVER),
        "CANCELLED": ScriptedEngine(delay_seconds=FOREVER),
    }.get(state, ScriptedEngine())
    async with start(engine, clock=clock) as app:
        file = await upload(app, line("x", "a"))
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        await app.files.delete(file.id)
        if state in ("RUNNING", "CANCELLED"):
            await in_flight(engine)
        if state == "CANCELLED":
            await app.jobs.cancel(job.id)
        if state != "ASSEMBLING":
            assembling.set()
        if state != "PENDING":
            await passing(app, job, clock, until_state=JobState(state))
        await app.jobs.delete(job.id)
        assert engine.in_flight == []
        with pytest.raises(NotFound):
            await app.jobs.get(job.id)
        with pytest.raises(Forbidden):
            await app.files.content(f"batch-{job.id}")
        assembling.set()

        async def nothing_left() -> bool:
            clock.advance(seconds=60)
            await asyncio.sleep(0.005)
            try:
                names = [list(app.blobs.names(folder)) for folder in ("jobs", "outputs", "inputs", "indexes")]
            except FileNotFoundError:  # it is being removed this moment
                return False
            return not any(names) and await app.store.jobs_to_forget(limit=9) == []

        await until(nothing_left)


async def passing(app, job, clock, *, until_state: JobState) -> None:
    async def reached() -> bool:
        clock.advance(seconds=0.1)
        await asyncio.sleep(0.005)
        return (await app.jobs.get(job.id)).state is until_state

    await until(reached)


async def test_a_job_whose_deletion_is_broken_off_does_not_run_on_unseen(start, monkeypatch):
    """Between stopping and hiding the process may die: what is stopped and seen can be deleted again."""
    engine = ScriptedEngine(delay_seconds=FOREVER)
    async with start(engine) as app:
        job = await submit(app, line("x"))
        await in_flight(engine)

        async def broken_off(job_id: str) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(app.store, "delete_job", broken_off)
        with pytest.raises(asyncio.CancelledError):
            await app.jobs.delete(job.id)
        assert (await ended(app, job)).state is JobState.CANCELLED
