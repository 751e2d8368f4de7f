"""The doctor finds every kind of damage, says where it is, and finds none where there is none."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from halfrate.app import App, open_inspector
from halfrate.clock import WallClock
from halfrate.config import Config, ModelConfig, PriceConfig
from halfrate.domain.cache import Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import ConfigError, CorruptData
from halfrate.domain.job import Job, JobState
from halfrate.domain.request import Message, Role
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.upkeep.flaws import Flaw, Tour
from tests.fakes import ended, line, submit, until
from tests.faults.conftest import Mount, Start

FLIPS = 40
LINES = [
    line(f"say {number} fail" if number % 9 == 0 else f"say {number}", f"k{number}") for number in range(60)
]


async def inspected(data: Path, *, quick: bool = False, price: PriceConfig | None = None) -> list[Flaw]:
    model = ModelConfig(path="pocket-1.gguf", price=price or PriceConfig())
    config = Config(data_dir=str(data), models={"pocket-1": model})
    with open_inspector(config, quick=quick) as inspector:
        return [flaw async for flaw in inspector.flaws()]


async def harm(data: Path, **options: bool) -> list[str]:
    return [f"{flaw.where}: {flaw.what}" for flaw in await inspected(data, **options) if flaw.harmful]


@pytest.fixture
async def jobs(start: Start) -> dict[str, Job]:
    """A Job of each kind: done, made inline, cancelled half-way, and one that the end of the process cut."""
    async with start(ScriptedEngine(failing("fail"))) as app:
        done = await ended(app, await submit(app, *LINES))
        inline = await ended(
            app, await app.jobs.create_inline(model="pocket-1", items=LINES[:30], display_name="", priority=0)
        )
    async with start(ScriptedEngine(failing("fail"), lanes=2, delay_seconds=0.005)) as app:
        cancelled = await submit(app, *LINES)
        await until_some_are_answered(app, cancelled)
        await app.jobs.cancel(cancelled.id)
        cancelled = await ended(app, cancelled)
        cut = await submit(app, *LINES)
        await until_some_are_answered(app, cut)
    async with start(ScriptedEngine(lanes=1, delay_seconds=60)) as app:
        cut = await app.jobs.get(cut.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.counts.succeeded < 50
    assert cut.counts.pending
    return {"done": done, "inline": inline, "cancelled": cancelled, "cut": cut}


async def until_some_are_answered(app: App, job: Job) -> None:
    async def some() -> bool:
        return (await app.jobs.get(job.id)).counts.succeeded >= 8

    await until(some)


def change(data: Path, statement: str, *values: object) -> None:
    """Change a row behind halfrate's back."""
    with sqlite3.connect(data / "halfrate.db") as database:
        assert database.execute(statement, values).rowcount > 0
    database.close()


def segments_of(data: Path, job: Job) -> list[tuple[Path, int]]:
    """A Job's Segments and how much of each is settled."""
    database = sqlite3.connect(data / "halfrate.db")
    rows = database.execute(
        "SELECT shard, token, settled_bytes FROM segment WHERE job_id = ?", (job.id,)
    ).fetchall()
    database.close()
    folder = data / "blobs" / "jobs" / job.id / "segments"
    return [(folder / f"{shard:06}-{token}", settled) for shard, token, settled in rows]


def covered(data: Path, jobs: dict[str, Job]) -> list[tuple[Path, int]]:
    """Every stored file that has a checksum, and how much of it the checksum covers."""
    segments = [segment for job in jobs.values() for segment in segments_of(data, job)]
    blobs = data / "blobs"
    whole = [
        *(blobs / "outputs").iterdir(),
        *(path for path in (blobs / "inputs").iterdir()),
        *(blobs / "indexes" / "inputs").iterdir(),
    ]
    inline = blobs / jobs["inline"].input_blob  # of a Job that has ended: it may be gone
    return segments + [
        (path, path.stat().st_size) for path in whole if path != inline and path.stem != inline.name
    ]


async def test_a_store_that_was_left_alone_has_no_flaw(data: Path, jobs: dict[str, Job]) -> None:
    assert await inspected(data) == []
    assert await inspected(data, quick=True) == []


async def test_every_flipped_bit_is_found_and_placed(data: Path, jobs: dict[str, Job]) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    inline = data / "blobs" / jobs["inline"].input_blob
    files = [*covered(data, jobs), (inline, inline.stat().st_size)]
    kinds = {path.relative_to(data / "blobs").parts[0] for path, _ in files}
    assert kinds == {"inputs", "indexes", "jobs", "outputs"}
    for _ in range(FLIPS):
        path, size_bytes = chance.choice(files)
        place, bit = chance.randrange(size_bytes), 1 << chance.randrange(8)
        whole = path.read_bytes()
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        found = await harm(data)
        path.write_bytes(whole)
        name = path.relative_to(data / "blobs").as_posix()
        assert any(name in sentence for sentence in found), f"bit {bit} of byte {place} of {name}"
    assert await inspected(data) == []


async def test_cached_contents_are_held_against_their_checksum(data: Path, start: Start) -> None:
    async with start() as app:
        cache = await app.caches.create(
            model="pocket-1",
            display_name="",
            contents=Contents((Message(Role.USER, "word " * 40),)),
            expiry=Deadline(1e6),
        )
    path = data / "blobs" / cache.blob
    whole = path.read_bytes()
    assert await inspected(data) == []
    for place in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        (found,) = await harm(data)
        assert f"cachedContents/{cache.id}: Blob {cache.blob} is not" in found
        assert await harm(data, quick=True) == []
    path.unlink()
    for quick in (False, True):
        (found,) = await harm(data, quick=quick)
        assert f"Blob {cache.blob} is missing. Delete it" in found


@pytest.mark.parametrize("quick", [False, True])
async def test_what_is_cut_off_or_missing_is_found(data: Path, jobs: dict[str, Job], quick: bool) -> None:
    for path, size_bytes in covered(data, jobs):
        whole, name = path.read_bytes(), path.relative_to(data / "blobs").as_posix()
        if not (quick and "indexes" in name):
            path.write_bytes(whole[: size_bytes - 1])
            assert any(name in sentence for sentence in await harm(data, quick=quick)), name
        path.unlink()
        # An index that is not there is made when it is needed.
        found = [flaw for flaw in await inspected(data, quick=quick) if name in flaw.what]
        assert bool(found) == ("indexes" not in name), name
        path.write_bytes(whole)
    assert await inspected(data) == []


async def test_what_cannot_be_read_is_a_flaw_and_not_the_end(data: Path, jobs: dict[str, Job]) -> None:
    (segment, _), *_ = segments_of(data, jobs["done"])
    output = data / "blobs" / "outputs" / jobs["done"].id
    for path in (segment, output):
        path.unlink()
        path.mkdir()
    found = await harm(data)
    assert sum("cannot be read: Is a directory" in sentence for sentence in found) >= 1
    assert all(any(path.name in sentence for sentence in found) for path in (segment, output))


async def test_changed_inline_requests_are_found(data: Path, jobs: dict[str, Job]) -> None:
    """A retry would ask them again."""
    inline = data / "blobs" / jobs["inline"].input_blob
    inline.write_bytes(inline.read_bytes().replace(b"say 1", b"say 9", 1))
    (found,) = await harm(data)
    assert f"Job {jobs['inline'].id}: Blob {jobs['inline'].input_blob} does not match its SHA-256" in found


async def test_what_lies_behind_the_settled_part_does_not_count(data: Path, jobs: dict[str, Job]) -> None:
    for path, _ in segments_of(data, jobs["done"]):
        path.write_bytes(path.read_bytes() + b"torn")
    assert await inspected(data) == []


CHANGES = {
    "answers": ("job SET succeeded = succeeded - 1, failed = failed + 1 WHERE id", "answers booked"),
    "input tokens": ("job SET input_tokens = input_tokens + 1 WHERE id", "input tokens booked"),
    "output tokens": ("job SET output_tokens = output_tokens - 1 WHERE id", "output tokens booked"),
    "cached tokens": ("job SET cached_tokens = cached_tokens + 7 WHERE id", "cached tokens booked"),
    "requests": ("job SET requests = requests + 1 WHERE id", "Requests, its Shards hold"),
    "results": ("segment SET results = results - 1 WHERE job_id", "Results were settled, and"),
    "a claim": ("segment SET token = token + 100 WHERE job_id", "times, and has a Segment of claim"),
}


@pytest.mark.parametrize("kind", ["done", "cancelled", "cut"])
@pytest.mark.parametrize("what", CHANGES)
async def test_a_row_that_says_something_else_is_found(
    data: Path, jobs: dict[str, Job], what: str, kind: str
) -> None:
    statement, expected = CHANGES[what]
    change(data, f"UPDATE {statement} = ?", jobs[kind].id)
    found = [sentence for sentence in await harm(data) if expected in sentence]
    assert found
    assert all(jobs[kind].id in sentence for sentence in found)


async def test_a_cost_that_was_not_booked_at_todays_price_is_noted(data: Path, jobs: dict[str, Job]) -> None:
    flaws = await inspected(data, price=PriceConfig(output=1))
    assert {flaw.harmful for flaw in flaws} == {False}
    assert sum("pico-USD booked" in flaw.what for flaw in flaws) == len(jobs)
    change(data, "UPDATE job SET cost_picos = cost_picos + 1 WHERE id = ?", jobs["done"].id)
    (flaw,) = await inspected(data)
    assert jobs["done"].id in flaw.where


async def test_a_result_that_is_there_twice_is_found(data: Path, jobs: dict[str, Job]) -> None:
    (path, settled), *_ = segments_of(data, jobs["cut"])
    path.write_bytes(path.read_bytes()[:settled] * 2)
    change(
        data,
        "UPDATE segment SET settled_bytes = 2 * settled_bytes, results = 2 * results "
        "WHERE job_id = ? AND shard = 0",
        jobs["cut"].id,
    )
    assert any("which has one already" in sentence for sentence in await harm(data))


async def test_an_input_that_an_unfinished_job_needs_is_missed(data: Path, jobs: dict[str, Job]) -> None:
    change(data, "DELETE FROM file WHERE id = ?", jobs["cut"].input_file)
    (data / "blobs" / jobs["cut"].input_blob).unlink()
    assert [sentence for sentence in await harm(data) if "Its input: Blob" in sentence]


async def test_blobs_that_belong_to_nothing_are_noted(data: Path, jobs: dict[str, Job]) -> None:
    names = ["inputs/x", "indexes/inputs/x", "outputs/x", "jobs/x/segments/000000-1", "uploads/x"]
    for name in names:
        (data / "blobs" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "blobs" / name).write_bytes(b"12345")
    flaws = await inspected(data)
    assert {flaw.harmful for flaw in flaws} == {False}
    for name in names:
        assert any(f"{name} for one, and take 5 bytes" in flaw.what for flaw in flaws)


async def test_a_damaged_database_is_found(data: Path, jobs: dict[str, Job]) -> None:
    database = data / "halfrate.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:8192] + b"\x7f" * 4096 + whole[12288:])
    (data / "halfrate.db-wal").unlink(missing_ok=True)
    try:
        found = await harm(data)
    except CorruptData as error:
        found = [str(error)]
    assert any("database" in sentence and "backup" in sentence for sentence in found)


async def test_a_running_application_is_looked_at_without_a_false_alarm(start: Start, data: Path) -> None:
    async with start(ScriptedEngine(failing("fail"), lanes=4, delay_seconds=0.001)) as app:
        running = [await submit(app, *LINES) for _ in range(6)]
        looks = 0
        while not (await app.jobs.get(running[-1].id)).state.final:
            assert await asyncio.to_thread(lambda: asyncio.run(harm(data))) == []
            looks += 1
        assert looks > 2
        for job in running[:3]:
            await app.jobs.delete(job.id)
        assert await asyncio.to_thread(lambda: asyncio.run(harm(data))) == []


async def test_a_finished_inline_job_leaves_nothing_that_belongs_to_nobody(start: Start, data: Path) -> None:
    async with start() as app:
        await ended(
            app,
            await app.jobs.create_inline(model="pocket-1", items=LINES[:3], display_name="", priority=0),
        )
    assert await inspected(data) == []


@pytest.mark.parametrize("table", ["job", "file"])
async def test_what_is_removed_while_it_is_looked_at_is_no_flaw(
    data: Path, jobs: dict[str, Job], table: str
) -> None:
    def remove(tour: Tour) -> None:
        """Remove all that is left, rows before bytes, as soon as something of the first one has been read."""
        if tour.read_bytes and (table == "job" or tour.files):
            with sqlite3.connect(data / "halfrate.db") as database:
                database.execute(f"DELETE FROM {table}")
            database.close()
            for path in (data / "blobs").rglob("*"):
                if path.is_file():
                    path.unlink()

    change(data, "UPDATE file SET expires_at = 9e9")
    config = Config(data_dir=str(data), models={})
    with open_inspector(config, on_progress=remove) as inspector:
        assert [flaw async for flaw in inspector.flaws() if table in flaw.where.lower()] == []


def everything(data: Path) -> dict[str, bytes]:
    files = (path for path in data.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


async def test_nothing_is_changed_by_looking(data: Path, jobs: dict[str, Job]) -> None:
    before = everything(data)
    assert await inspected(data) == []
    assert everything(data) == before


async def test_a_read_only_disk_can_be_looked_at(start: Start, mount: Mount, data: Path) -> None:
    disk = mount(data, "16m")
    async with start() as app:
        await ended(app, await submit(app, *LINES))
    for leftover in data.glob("halfrate.db-*"):
        leftover.unlink()
    disk.change("ro")
    assert await inspected(data) == []
    disk.change("rw")


async def test_a_database_of_another_version_is_told(data: Path, jobs: dict[str, Job]) -> None:
    with sqlite3.connect(data / "halfrate.db") as database:
        database.execute("PRAGMA user_version = 0")
    database.close()
    with pytest.raises(ConfigError, match="written by another halfrate"):
        await inspected(data)


async def test_a_job_whose_work_was_removed_with_age_has_no_flaw(data: Path, jobs: dict[str, Job]) -> None:
    """It stays in the list with its counts, when its Segments and its output are long gone."""
    done = jobs["done"].id
    store = SqliteStore(data / "halfrate.db", WallClock())
    await store.clear_job(done)
    store.close()
    shutil.rmtree(data / "blobs" / "jobs" / done)
    assert await inspected(data) == []
