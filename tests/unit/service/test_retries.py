"""The failed Requests of a Job, tried again as a new Job."""

import asyncio
import threading

import pytest

from halfrate.config import Limits
from halfrate.dispatch.planning import Planner
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import (
    CorruptData,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from halfrate.domain.job import Counts, JobState
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.service.retries import Retries
from tests.fakes import FakeClock, ended, line, results, submit, text_of, until, upload


def failing_at(pattern: str) -> ScriptedEngine:
    return ScriptedEngine(failing(pattern))


def files(app) -> list[str]:
    """Every File there is, also those that are not listed."""
    return sorted(row[0] for row in app.store._reader.execute("SELECT id FROM file"))


async def keys_and_texts(app, job):
    answers = await results(app, job)
    return [(answer["key"], text_of(answer) if "response" in answer else None) for answer in answers]


async def test_only_what_failed_is_tried_again_in_its_order_and_with_its_keys(start):
    lines = [line(f"say {n}", f"k{n}") for n in range(12)]
    raw = b"\xef\xbb\xbf\n" + b"\r\n\r\n".join(lines[:6]) + b"\n   \n" + b"\n".join(lines[6:])
    async with start(failing_at("say [159]")) as app:
        file = await upload(app, raw)
        job = await app.jobs.create_from_file(
            model="gemini-x", file_id=file.id, display_name="nightly", priority=3
        )
        job = await ended(app, job)
        assert job.counts == Counts(12, 7, 5)
    async with start() as app:
        again = await app.retries.retry(job.id)
        assert (again.retry_of, again.display_name) == (job.id, "nightly (retry)")
        assert (again.model, again.priority, again.counts.requests) == ("models/gemini-x", 3, 5)
        _, chunks = await app.files.download(again.input_file)
        given = b"".join([chunk async for chunk in chunks])
        assert given == b"".join(lines[n] + b"\n" for n in (1, 5, 9, 10, 11))
        again = await ended(app, again)
        assert await keys_and_texts(app, again) == [(f"k{n}", f"say {n}") for n in (1, 5, 9, 10, 11)]


async def test_what_is_asked_again_is_the_same_job(start):
    async with start(failing_at("bad")) as app:
        job = await ended(app, await submit(app, line("bad", "a"), line("good", "b")))
        first, second = await asyncio.gather(app.retries.retry(job.id), app.retries.retry(job.id))
        assert first == second
        first = await ended(app, first)
        assert await app.retries.retry(job.id) == first
        assert len((await app.jobs.list(page_size=10, page_token=None))[0]) == 2
        chained = await app.retries.retry(first.id)
        assert (chained.retry_of, chained.display_name) == (first.id, "test (retry)")
        await app.jobs.delete(first.id)
        anew = await app.retries.retry(job.id)
        assert anew.id not in (first.id, chained.id)


async def test_the_job_is_made_though_its_client_gave_up_waiting(start, monkeypatch):
    writing, go_on = threading.Event(), threading.Event()
    write = Retries._write

    def held(*arguments):
        writing.set()
        assert go_on.wait(timeout=20)
        return write(*arguments)

    monkeypatch.setattr(Retries, "_write", held)
    async with start(failing_at("bad")) as app:
        job = await ended(app, await submit(app, line("bad", "a")))
        asked = asyncio.create_task(app.retries.retry(job.id))
        await asyncio.to_thread(writing.wait, 20)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        go_on.set()

        async def made() -> bool:
            return await app.store.get_retry(job.id) is not None

        await until(made)


async def test_requests_that_a_stopped_job_never_answered_are_tried_again(start):
    engine = ScriptedEngine(lanes=1, delay_seconds=0.005)
    async with start(engine) as app:
        job = await submit(app, *[line(f"say {n:03}", f"k{n:03}") for n in range(100)])

        async def some() -> bool:
            return (await app.jobs.get(job.id)).counts.succeeded >= 3

        await until(some)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        missing = [key for key, text in await keys_and_texts(app, job) if text is None]
        again = await app.retries.retry(job.id, deadline=Deadline(600))
        assert again.deadline == again.created_at + 600
        again = await ended(app, again)
        assert [key for key, text in await keys_and_texts(app, again) if text] == missing
    assert len(missing) == 100 - job.counts.succeeded


async def test_an_expired_job_can_be_retried(start):
    clock = FakeClock()
    async with start(ScriptedEngine(broken="no"), clock=clock) as app:
        job = await submit(app, line("x", "a"), deadline=Deadline(60))
        clock.advance(seconds=60)
        job = await ended(app, job)
        assert job.state is JobState.EXPIRED
        assert (await app.retries.retry(job.id)).counts.requests == 1


async def test_of_a_job_that_failed_as_a_whole_everything_is_tried_again(start):
    async with start(ScriptedEngine(delay_seconds=3_600)) as app:
        job = await submit(app, line("x", "a"), line("y", "b"))
        await app.store.fail_job(job.id, "a Segment is damaged")
    async with start() as app:
        again = await ended(app, await app.retries.retry(job.id))
        assert await keys_and_texts(app, again) == [("a", "x"), ("b", "y")]


async def test_of_a_job_that_failed_before_it_was_counted_all_that_can_be_read_is_tried_again(
    start, monkeypatch
):
    async def never(*_) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Planner, "_plan_or_fail", never)
    too_long = b'{"key": "' + b"x" * 2_000 + b'"}'
    async with start(ScriptedEngine(broken="no"), limits=Limits(line_bytes=1_000)) as app:
        job = await submit(app, line("x", "a"), too_long, line("y", "b"), keep_going=True)
        await app.store.set_requests(job.id, 0)
        await app.store.fail_job(job.id, "broken")
        assert (await app.retries.retry(job.id)).counts.requests == 2


async def test_an_input_that_does_not_fit_its_results_is_not_tried_again(start):
    async with start(failing_at("bad")) as app:
        job = await ended(app, await submit(app, line("bad", "a"), line("good", "b")))
        with app.blobs.writer(job.input_blob) as writer:
            writer.write(line("bad", "a"))
            writer.commit()
        with pytest.raises(CorruptData, match="1 lines for 2 Requests"):
            await app.retries.retry(job.id)


async def test_inline_requests_are_tried_again_inline_with_their_metadata(start):
    items = [
        b'{"request":{"contents":[{"parts":[{"text":"good"}]}]},"metadata":{"n":"1"}}',
        b'{"request":{"contents":[{"parts":[{"text":"bad"}]}]},"metadata":{"n":"2"}}',
    ]
    async with start(failing_at("bad")) as app:
        job = await app.jobs.create_inline(model="pocket-1", items=items, display_name="", priority=0)
        job = await ended(app, job)
    async with start() as app:
        again = await app.retries.retry(job.id)
        assert (again.input_file, again.display_name) == (None, "(retry)")
        (answer,) = await results(app, await ended(app, again))
    assert (answer["metadata"], text_of(answer)) == ({"n": "2"}, "bad")


async def test_bad_lines_are_left_out_and_said_so_if_there_is_nothing_else(start):
    too_long = b'{"key": "' + b"x" * 2_000 + b'"}'
    limits = Limits(line_bytes=1_000)
    async with start(failing_at("engine"), limits=limits) as app:
        mixed = await submit(
            app, line("ok", "a"), b"nonsense", line("engine", "b"), too_long, line("x", "a"), keep_going=True
        )
        mixed = await ended(app, mixed)
        assert mixed.counts == Counts(5, 1, 4)
        again = await app.retries.retry(mixed.id)
        assert again.counts.requests == 1
        bad = await ended(app, await submit(app, line("ok", "a"), b"nonsense", too_long, keep_going=True))
        before = sorted(app.blobs.names("inputs"))
        with pytest.raises(FailedPrecondition, match=r"is invalid, and would fail again\. Mend the lines"):
            await app.retries.retry(bad.id)
        assert sorted(app.blobs.names("inputs")) == before


async def test_what_cannot_be_retried_says_why(start):
    clock = FakeClock()
    async with start(clock=clock, limits=Limits(file_hours=1, job_hours=2)) as app:
        with pytest.raises(NotFound):
            await app.retries.retry("none")
        good = await submit(app, line("x"))

        async def succeeded() -> bool:
            clock.advance(seconds=0.1)
            await asyncio.sleep(0.005)
            return (await app.jobs.get(good.id)).state.final

        await until(succeeded)
        with pytest.raises(FailedPrecondition, match="all 1 are answered"):
            await app.retries.retry(good.id)
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=Limits(file_hours=1)) as app:
        job = await submit(app, line("x", "a"))
        with pytest.raises(FailedPrecondition, match=r"has not ended\. Wait until it has, or cancel it"):
            await app.retries.retry(job.id)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        app.blobs.delete(job.input_blob)
        with pytest.raises(FailedPrecondition, match=r"input .* is gone: it is kept for 1 hours.*submit"):
            await app.retries.retry(job.id)


async def test_a_retry_that_is_refused_leaves_nothing(start):
    async with start(failing_at("bad"), limits=Limits(active_jobs=1)) as app:
        job = await ended(app, await submit(app, line("bad", "a")))
        before = sorted(app.blobs.names("inputs")), files(app)
        with pytest.raises(InvalidArgument, match="deadline"):
            await app.retries.retry(job.id, deadline=Deadline(0))
        assert (sorted(app.blobs.names("inputs")), files(app)) == before
        engine = app.models.resolve("pocket-1").engine
        engine._delay_seconds = 3_600
        await submit(app, line("x"))
        with pytest.raises(ResourceExhausted):
            await app.retries.retry(job.id)
        assert await app.store.get_retry(job.id) is None
