"""What a Job answered, read while it runs: as Snapshots that stay what they are."""

import json
import random

import pytest

from halfrate.config import DispatchConfig
from halfrate.domain.errors import Forbidden, InvalidArgument
from halfrate.domain.job import JobState
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Snapshot
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.service.content import Rendering, Renderings
from halfrate.service.snapshots import snapshot_of, token_of
from tests.fakes import ended, line, make_job, submit, until, upload

QUICK = DispatchConfig(shard_requests=7, backoff_seconds=0.001)


async def joined(chunks) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def keys(output: bytes) -> list[str]:
    return [json.loads(text)["key"] for text in output.splitlines()]


async def settled(app, job, at_least):
    async def so_many() -> bool:
        counts = (await app.jobs.get(job.id)).counts
        return counts.succeeded + counts.failed >= at_least

    await until(so_many)


async def begun(app, count: int = 60):
    """A Job of which some is answered, and much is not."""
    job = await submit(app, *[line(f"say {n:03}", f"k{n:03}") for n in range(count)])
    await settled(app, job, 10)
    return job, f"batch-{job.id}"


def slow() -> ScriptedEngine:
    return ScriptedEngine(failing(r"say \d\d5"), lanes=3, delay_seconds=0.01)


async def test_a_snapshot_stays_what_it_is_however_much_is_answered_later(start):
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        content = await app.files.content(file)
        first = await joined(content.read())
        assert keys(first) == sorted(keys(first))
        await settled(app, job, 30)
        assert await joined((await app.files.content(file, seen=content.etag)).read()) == first
    async with start(dispatch=QUICK) as app:
        await ended(app, job)
        old = await app.files.content(file, seen=content.etag, from_start=False)
        assert (old.etag, old.ranged, await joined(old.read())) == (content.etag, True, first)
        assert len(keys(await joined((await app.files.content(file)).read()))) == 60


async def test_who_reads_on_reads_what_was_handed_out_last(start):
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        content = await app.files.content(file)
        first = await joined(content.read())
        await settled(app, job, 30)
        rest = await app.files.content(file, from_start=False)
        assert (rest.etag, rest.ranged) == (content.etag, True)
        assert await rest.reach(None) == (len(first), len(first))
        assert await joined(rest.read_part(100, len(first))) == first[100:]
        await ended(app, job)
        rest = await app.files.content(file, from_start=False)
        assert rest.etag == content.etag, "also when the Job has ended meanwhile"
        published = await app.files.content(file)
        rest = await app.files.content(file, from_start=False)
        assert rest.etag == published.etag, "until somebody begins anew"
        pieced_together = f"{published.snapshot}.{content.etag.rpartition('.')[2]}"
        other = await app.files.content(file, seen=pieced_together, from_start=False)
        assert (other.etag, other.ranged) == (published.etag, False)


async def test_who_reads_on_what_nobody_remembers_gets_no_part(start):
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        for seen in (None, "", "of-somebody-else"):
            assert not (await app.files.content(file, seen=seen, from_start=False)).ranged
            app.files._outputs._handed_out.clear()
        await ended(app, job)
        assert (await app.files.content(file, from_start=False)).ranged, "the end is one for all"
        assert not (await app.files.content(file, seen="x", from_start=False)).ranged


async def test_a_part_is_not_given_where_the_model_behind_the_lines_is_another_now(start):
    """Each line names the model: half of one spelling and half of the other are no line."""
    async with start(slow(), dispatch=QUICK) as app:
        _, file = await begun(app)
        content = await app.files.content(file)
        assert (await app.files.content(file, seen=content.etag, from_start=False)).ranged
        app.files._outputs._model_version = lambda _: "another"
        assert not (await app.files.content(file, seen=content.etag, from_start=False)).ranged


async def test_following_gives_every_line_once_across_restarts(start):
    chance = random.Random(7)
    seen: list[str] = []
    token = None
    job = None
    for restart in range(4):
        engine = slow() if restart < 3 else ScriptedEngine(failing(r"say \d\d5"))
        async with start(engine, dispatch=QUICK) as app:
            job, file = (job, f"batch-{job.id}") if job else await begun(app)
            for _ in range(5):
                if token is None:
                    content = await app.files.content(file)
                    token, chunks = content.snapshot, content.read()
                else:
                    token, chunks = await app.files.since(file, token)
                added = keys(await joined(chunks))
                assert added == sorted(added)
                seen += added
                await settled(app, job, min(60, len(seen) + chance.randrange(1, 4)))
            if restart == 3:
                await ended(app, job)
                token, chunks = await app.files.since(file, token)
                seen += keys(await joined(chunks))
                again, chunks = await app.files.since(file, token)
                assert (again, await joined(chunks)) == (token, b"")
    assert sorted(seen) == [f"k{n:03}" for n in range(60)]


@pytest.mark.parametrize("input_is_gone", [False, True])
async def test_following_a_stopped_job_ends_with_the_errors_of_what_was_never_answered(start, input_is_gone):
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        content = await app.files.content(file)
        first = await joined(content.read())
        await settled(app, job, 20)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        if input_is_gone:
            app.blobs.delete(job.input_blob)
        _, chunks = await app.files.since(file, content.snapshot)
        rest = await joined(chunks)
    assert job.state is JobState.CANCELLED
    assert keys(rest) == sorted(keys(rest))
    assert sorted(keys(first) + keys(rest)) == [f"k{n:03}" for n in range(60)]
    lines = [json.loads(text) for text in (first + rest).splitlines()]
    errors = [entry["error"]["code"] for entry in lines if "error" in entry]
    assert errors.count(1) == 60 - job.counts.succeeded - errors.count(13) > 0


async def test_a_token_that_is_not_of_this_job_is_refused(start):
    async with start(slow(), dispatch=QUICK) as app:
        _, file = await begun(app)
        _, other_file = await begun(app)
        theirs = (await app.files.content(other_file)).snapshot
        mine = (await app.files.content(file)).snapshot
        changed = mine[:-1] + ("A" if mine[-1] != "A" else "B")
        for token in ("", "x", "é", "A" * 40, theirs, changed, mine + "=", "!" + mine):
            with pytest.raises(InvalidArgument, match="snapshot"):
                await app.files.since(file, token)
        uploaded = await upload(app, line("x"))
        with pytest.raises(InvalidArgument, match="not the output of a batch"):
            await app.files.since(uploaded.id, mine)
        with pytest.raises(Forbidden):
            await app.files.since("batch-none", mine)


async def test_a_failed_job_gives_no_results(start):
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        token = (await app.files.content(file)).snapshot
        await app.store.fail_job(job.id, "broken")
        for call in (app.files.content(file), app.files.since(file, token)):
            with pytest.raises(Forbidden):
                await call


async def test_few_new_results_of_a_large_job_are_not_looked_for_among_all(start, monkeypatch):
    """A table of all Requests, as assembling makes, would be written to the disk at every look."""
    async with start(slow(), dispatch=QUICK) as app:
        job, file = await begun(app)
        token = (await app.files.content(file)).snapshot
        await settled(app, job, 20)

        def no_table(*_):
            raise AssertionError("a table was made")

        monkeypatch.setattr("halfrate.results.assemble.Ordering", no_table)
        assert keys(await joined((await app.files.since(file, token))[1]))
        monkeypatch.undo()


async def test_many_results_are_found_through_the_table(start, monkeypatch):
    monkeypatch.setattr("halfrate.results.assemble.HELD_BYTES_MAX", 5)
    async with start(slow(), dispatch=QUICK) as app:
        _, file = await begun(app)
        found = keys(await joined((await app.files.content(file)).read()))
    assert len(found) >= 10
    assert found == sorted(found)


def test_a_token_says_what_its_snapshot_says():
    job = make_job()
    unfinished = (SegmentRef("job-1", 3, 0, 0, 0), SegmentRef("job-1", 9, 2, 1 << 40, 1_000))
    for snapshot in (
        Snapshot("job-1"),
        Snapshot("job-1", 10_000, unfinished),
        Snapshot("job-1", 10_000, unfinished, others=((10_000, 10_001), (12_000, 19_000))),
        Snapshot("job-1", ended=True),
    ):
        token = token_of(job, snapshot)
        assert snapshot_of(job, token) == snapshot
        assert len(token) < 80
        assert snapshot_of(make_job(input_blob="inputs/another"), token) is None
        assert snapshot_of(make_job("job-2"), token) is None


def test_a_rendering_is_made_once_and_only_as_far_as_it_is_read(tmp_path):
    made = []

    def chunks():
        for n in range(10):
            made.append(n)
            yield bytes([65 + n]) * 10

    rendering = Rendering(chunks(), tmp_path)
    assert rendering.reach(15) == (20, None)
    assert b"".join(rendering.chunks(5, 15)) == b"AAAAABBBBB"
    assert made == [0, 1]
    assert rendering.reach(None) == (100, 100)
    assert rendering.reach(20) == (100, 100)
    assert made == list(range(10))
    assert list(tmp_path.iterdir()) == []


def test_a_rendering_that_failed_is_not_taken_for_a_whole_one(tmp_path):
    def chunks():
        yield b"x"
        raise OSError("disk")

    rendering = Rendering(chunks(), tmp_path)
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            rendering.reach(None)


def test_only_the_renderings_read_last_are_kept(tmp_path):
    renderings = Renderings(tmp_path, most=2)
    first = renderings.add("a", iter([b"first"]))
    renderings.add("b", iter([]))
    assert renderings.get("a") is first
    renderings.add("c", iter([]))
    assert renderings.get("b") is None
    renderings.add("d", iter([]))
    assert renderings.get("a") is None
    assert first.reach(None) == (5, 5)
    assert b"".join(first.chunks(0, 5)) == b"first", "who still reads it can go on"
