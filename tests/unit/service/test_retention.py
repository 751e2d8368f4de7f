"""How long things are kept: never shorter than was said, never while a Job needs them, and not for ever."""

import json

import pytest

from halfrate.config import Limits
from halfrate.domain.cache import Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import (
    CorruptData,
    Forbidden,
    HalfrateError,
    InvalidArgument,
    ResourceExhausted,
)
from halfrate.domain.job import JobState
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Attachment, Message, Request, Role
from halfrate.engines.scripted import ScriptedEngine
from halfrate.ingest.inputs import Inputs
from halfrate.lookup.contents import write_contents
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.upkeep import pruner
from tests.fakes import ended, line, submit, text_of, until, upload
from tests.fakes import results as results_of

HOUR = 3_600.0
DAY = 24 * HOUR
LIMITS = Limits(job_hours=100 * 24)


async def blobs(app, *folders: str) -> list[str]:
    """What is in these folders."""
    return [name for folder in folders for name in app.blobs.names(folder)]


async def gone(app, *folders: str) -> None:
    """Have a round, after which nothing is to be left in these folders."""
    await app.pruner.prune()
    assert await blobs(app, *folders) == []


async def inline(app, *lines: bytes):
    return await app.jobs.create_inline(model="pocket-1", items=lines, display_name="", priority=0)


async def test_inline_requests_are_kept_as_long_as_a_file_and_then_removed(start, clock):
    async with start(clock=clock, limits=LIMITS) as app:
        await ended(app, await inline(app, line("x")))
        clock.advance(seconds=47 * HOUR)
        await app.pruner.prune()
        assert len(await blobs(app, "inputs")) == 1
        clock.advance(seconds=HOUR)
        await gone(app, "inputs", "indexes")


async def test_inline_requests_are_kept_over_a_restart(start, clock):
    async with start(clock=clock, limits=LIMITS) as app:
        await ended(app, await inline(app, line("x")))
        kept = await blobs(app, "inputs")
    async with start(clock=clock, limits=LIMITS) as app:
        await app.pruner.prune_orphans()
        assert await blobs(app, "inputs") == kept != []


async def test_an_input_outlives_its_file_while_its_job_needs_it_and_no_longer(start, clock):
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=LIMITS) as app:
        job = await submit(app, line("x", "a"))
        clock.advance(seconds=48 * HOUR)
        await app.pruner.prune()
        with pytest.raises(Forbidden):
            await app.files.get(job.input_file)
        assert len(await blobs(app, "inputs")) == 1
    async with start(clock=clock, limits=LIMITS) as app:
        job = await ended(app, job)
        assert text_of((await results_of(app, job))[0]) == "x"
        await gone(app, "inputs", "indexes")


@pytest.mark.parametrize("how", ["its row", "its row and its bytes"])
async def test_a_file_that_goes_while_a_job_is_made_from_it_makes_none(start, monkeypatch, how):
    """The Pruner may come between the look at the File and the Job that would have kept its bytes."""
    summary_within = Inputs.summary_within

    async with start() as app:
        file = await upload(app, line("x"))

        async def overtaken(inputs, seconds, blob):
            if how == "its row":
                summary = await summary_within(inputs, seconds, blob)
            await app.files.delete(file.id)
            return summary if how == "its row" else await summary_within(inputs, seconds, blob)

        monkeypatch.setattr(Inputs, "summary_within", overtaken)
        with pytest.raises(Forbidden, match=file.id):
            await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        assert await app.jobs.list(page_size=10, page_token=None) == ([], None)


async def test_when_an_output_expires_all_of_the_job_goes_but_its_row(start, clock):
    async with start(clock=clock, limits=LIMITS) as app:
        job = await ended(app, await submit(app, line("x", "a")))
        expires_at = job.output_expires_at
        assert expires_at == pytest.approx(clock.now() + 42 * DAY, abs=120)
        clock.advance(seconds=expires_at - clock.now() - 120)
        await app.pruner.prune()
        assert len(await results_of(app, job)) == 1
        assert len(await app.store.segments(job.id)) == 1
        clock.advance(seconds=120)
        with pytest.raises(Forbidden, match=f"The results of batches/{job.id} were kept until 20"):
            await app.files.download(f"batch-{job.id}")
        await gone(app, "outputs", "jobs")

        assert await app.store.segments(job.id) == []
        kept = await app.jobs.get(job.id)
        assert (kept.state, kept.counts, kept.output_expires_at) == (
            JobState.SUCCEEDED,
            job.counts,
            expires_at,
        )
        assert await app.store.check_integrity() == []


async def test_what_a_failed_job_made_goes_when_an_output_would(start, clock):
    async with start(clock=clock, limits=LIMITS) as app:
        job = await submit(app, line("x", "a"))
        await ended(app, job)
    store = SqliteStore(app.config.data_path / "halfrate.db", clock)
    store._connections[-1].execute(
        "UPDATE job SET state = 'FAILED', error = 'x', output_expires_at = NULL; DELETE FROM file"
    )
    store.close()
    async with start(clock=clock, limits=LIMITS) as app:
        clock.advance(seconds=41 * DAY)
        await app.pruner.prune()
        assert await blobs(app, "jobs") != []
        clock.advance(seconds=DAY)
        await gone(app, "jobs")


async def test_a_download_under_way_outlives_what_it_reads(start, clock):
    async with start(clock=clock, limits=LIMITS) as app:
        job = await ended(app, await submit(app, *[line("x" * 60_000) for _ in range(50)]))
        size_bytes, chunks = await app.files.download(f"batch-{job.id}")
        received = len(await anext(chunks))
        assert received < size_bytes
        clock.advance(seconds=42 * DAY)
        await gone(app, "outputs")
        received += sum([len(chunk) async for chunk in chunks])
    assert received == size_bytes


async def test_an_output_that_goes_before_it_is_opened_is_refused_in_words(start):
    async with start() as app:
        job = await ended(app, await submit(app, line("x")))
        app.blobs.delete(f"outputs/{job.id}")
        with pytest.raises(Forbidden, match=f"batch-{job.id}"):
            await app.files.download(f"batch-{job.id}")


async def test_a_deleted_job_takes_its_output_along_at_once(start, clock):
    async with start(clock=clock) as app:
        job = await ended(app, await submit(app, line("x")))
        await app.jobs.delete(job.id)
        with pytest.raises(Forbidden):
            await app.files.download(f"batch-{job.id}")
        await gone(app, "outputs", "jobs")


async def test_a_round_that_is_broken_off_is_taken_up_again(start, clock, monkeypatch):
    """Bytes go before the row that leads to them: a crash between the two leaves nothing behind."""
    async with start(clock=clock) as app:
        job = await ended(app, await submit(app, line("x")))
        with monkeypatch.context() as patched:
            patched.setattr(app.store, "forget_job", crash)
            await app.jobs.delete(job.id)
            with pytest.raises(HalfrateError, match="crashed"):
                await app.pruner.prune()
        assert [left.id for left in await app.store.jobs_to_forget(limit=9)] == [job.id]
        await gone(app, "outputs", "jobs")
        assert await app.store.jobs_to_forget(limit=9) == []


async def crash(job_id: str) -> None:
    raise HalfrateError("crashed")


async def test_a_round_is_bounded_and_the_next_one_follows_soon(start, clock, monkeypatch):
    monkeypatch.setattr(pruner, "ROUND_MAX", 2)
    async with start(clock=clock, limits=Limits(file_hours=1)) as app:
        for n in range(7):
            await upload(app, line(f"x{n}"))
        clock.advance(seconds=HOUR)

        async def left(count: int) -> bool:
            clock.advance(seconds=pruner.BUSY_SECONDS / 100)
            now_left = len(await blobs(app, "inputs"))
            assert now_left >= count, "a round removed more than it may"
            return now_left == count

        # Each look moves the clock by a hundredth of the short pause: the long one would not come in time.
        for count in (5, 3, 1, 0):
            await until(lambda count=count: left(count))


async def test_a_job_that_expires_or_is_cancelled_keeps_its_output_as_long(start, clock):
    engine = ScriptedEngine(delay_seconds=1e9, clock=clock)
    async with start(engine, clock=clock, limits=LIMITS) as app:
        job = await submit(app, line("x", "a"))
        await app.jobs.stop(job, Cause.EXPIRED)
        job = await ended(app, job)
        assert job.output_expires_at == pytest.approx(clock.now() + 42 * DAY, abs=120)


# What Requests name -----------------------------------------------------------------------------------

WORDS = " ".join(map(str, range(40)))


async def cached(app, *, seconds: float = 2 * HOUR):
    contents = Contents((Message(Role.SYSTEM, "brief"), Message(Role.USER, WORDS)))
    return await app.caches.create(
        model="pocket-1", display_name="", contents=contents, expiry=Deadline(seconds)
    )


def naming(cache) -> bytes:
    return line("and?")[:-2] + f', "cachedContent": "cachedContents/{cache.id}"}}}}'.encode()


def reading(file) -> bytes:
    part = {"fileData": {"fileUri": f"files/{file.id}", "mimeType": "text/plain"}}
    return json.dumps({"request": {"contents": [{"parts": [part]}]}}).encode()


@pytest.mark.parametrize("how", ["deleted", "expired"])
async def test_a_job_has_the_cache_that_was_there_when_it_was_created_until_it_ends(start, clock, how):
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        cache = await cached(app)
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=LIMITS) as app:
        clock.advance(seconds=1)
        job = await inline(app, naming(cache))
        clock.advance(seconds=1)
        await (app.caches.delete(cache.id) if how == "deleted" else app.caches.expire(cache.id, Deadline(5)))
        clock.advance(seconds=DAY)
        await app.pruner.prune()
        with pytest.raises(Forbidden):
            await app.caches.get(cache.id)
        with pytest.raises(
            InvalidArgument, match=f"line 1: cachedContents/{cache.id}: CachedContent not found"
        ):
            await inline(app, naming(cache))
        assert await blobs(app, "caches") == [cache.blob]
    engine = ScriptedEngine()
    async with start(engine, clock=clock, limits=LIMITS) as app:
        await app.pruner.prune_orphans()
        await ended(app, job)
        assert [message.text for message in engine.answered[0].messages] == ["brief", WORDS, "and?"]
        await gone(app, "caches")


async def test_a_job_created_after_a_cache_expired_does_not_keep_it(start, clock):
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        cache = await cached(app)
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=LIMITS) as app:
        clock.advance(seconds=2 * HOUR)
        await inline(app, line("x"))
        await gone(app, "caches")
        assert not await app.store.cache_stored(cache.id)


async def test_the_content_of_a_cache_without_a_row_goes_at_the_next_start(start, clock):
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        cache = await cached(app)
        write_contents(app.blobs, "caches/orphan", Contents((Message(Role.USER, "x"),)))
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        await app.pruner.prune_orphans()
        assert await blobs(app, "caches") == [cache.blob]


async def test_no_more_caches_than_allowed_are_kept(start, clock):
    async with start(ScriptedEngine(), clock=clock, limits=Limits(caches=1)) as app:
        await cached(app)
        with pytest.raises(ResourceExhausted, match="There are 1 cached contents"):
            await cached(app)
        assert len(await blobs(app, "caches")) == 1
        clock.advance(seconds=2 * HOUR)
        await cached(app)


async def test_damaged_content_of_a_cache_is_told_not_used(start, clock):
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        cache = await cached(app)
        with app.blobs.writer(cache.blob) as writer:
            writer.write(b"something else")
            writer.commit()
        with pytest.raises(CorruptData, match="is not the cached content it was"):
            await app.models.answer("pocket-1", Request((Message(Role.USER, "x"),), cache=cache.id))


async def test_a_cache_whose_content_is_being_removed_is_gone(start, clock):
    async with start(ScriptedEngine(), clock=clock, limits=LIMITS) as app:
        cache = await cached(app)
        app.blobs.delete(cache.blob)
        outcome, _ = await app.models.answer("pocket-1", Request((Message(Role.USER, "x"),), cache=cache.id))
        assert outcome == Failed(Cause.FORBIDDEN, "CachedContent not found (or permission denied)")


async def test_a_job_accepted_before_its_input_was_indexed_fails_if_a_cache_was_not_there(start, monkeypatch):
    async def not_yet(inputs, seconds, blob):
        return None

    monkeypatch.setattr(Inputs, "summary_within", not_yet)
    async with start(ScriptedEngine(), limits=LIMITS) as app:
        request = line("and?", "a")[:-2] + b', "cachedContent": "cachedContents/nosuch"}}'
        job = await ended(app, await submit(app, request))
        assert job.state is JobState.FAILED
        assert "Error on line 1: cachedContents/nosuch: CachedContent not found" in job.error


async def test_no_more_is_read_of_a_file_than_allowed(start):
    async with start(ScriptedEngine(), limits=Limits(prompt_file_bytes=4)) as app:
        file = await upload(app, b"12345")
        asked = Request(
            (Message(Role.USER, "", attachments=(Attachment(0, "text/plain", uri=f"files/{file.id}"),)),)
        )
        outcome, _ = await app.models.answer("pocket-1", asked)
        assert outcome == Failed(
            Cause.INVALID,
            f"files/{file.id} has 5 bytes, and at most 4 are read into a prompt (limits.prompt_file_bytes). "
            "Use a smaller one.",
        )


async def test_a_file_that_expires_stays_for_the_jobs_that_read_files(start, clock):
    async with start(ScriptedEngine(broken="no"), clock=clock, limits=LIMITS) as app:
        file = await upload(app, b"the text")
        clock.advance(seconds=1)
        job = await inline(app, reading(file))
        await until(lambda: planned(app, job))
        clock.advance(seconds=3 * DAY)
        await app.pruner.prune()
        with pytest.raises(Forbidden):
            await app.files.get(file.id)
    engine = ScriptedEngine()
    async with start(engine, clock=clock, limits=LIMITS) as app:
        await ended(app, job)
        assert engine.answered[0].messages[0].text == "the text"
        await app.pruner.prune()
        assert await app.store.stored_files(limit=10, after="") != []
        assert file.id not in {each.id for each in await app.store.stored_files(limit=10, after="")}


async def planned(app, job) -> bool:
    return (await app.jobs.get(job.id)).planned
