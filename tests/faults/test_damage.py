"""Bytes that rot: the Job they belong to says so and fails, and nobody else's does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from halfrate.domain.errors import ConfigError, CorruptData
from halfrate.domain.job import Job, JobState
from halfrate.engines.scripted import ScriptedEngine
from tests.fakes import ended, line, submit, until
from tests.faults.conftest import Mount, Start, client_of

LINES = [line(f"say {number}", f"k{number}") for number in range(100)]


def flipped(data: bytes) -> bytes:
    place = len(data) // 3
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


DAMAGES = {"flipped bits": flipped, "cut off": cut, "missing": None}


def spoil(path: Path, damage: Callable[[bytes], bytes] | None) -> None:
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))


async def half_answered(start: Start) -> tuple[Job, Job]:
    """Two Jobs, of which the first has settled some and not all when the process ends."""
    async with start(ScriptedEngine(lanes=2, delay_seconds=0.005)) as app:
        jobs = await submit(app, *LINES), await submit(app, *LINES)

        async def some() -> bool:
            return (await app.jobs.get(jobs[0].id)).counts.succeeded >= 10

        await until(some)
        return jobs


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_job_whose_segment_is_damaged_fails_with_the_place_and_others_finish(
    start: Start, data: Path, damage: str
):
    hurt, other = await half_answered(start)
    segment = next((data / "blobs" / "jobs" / hurt.id / "segments").iterdir())
    spoil(segment, DAMAGES[damage])
    async with start() as app:
        failed = await ended(app, hurt)
        assert failed.state is JobState.FAILED
        assert f"jobs/{hurt.id}/segments/{segment.name}" in failed.error
        assert ("at byte" in failed.error) == (damage != "missing")
        assert "backup" in failed.error
        assert (await ended(app, other)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("damage", DAMAGES)
async def test_an_index_is_made_again(start: Start, data: Path, damage: str):
    async with start() as app:
        file = await app.files.get((await submit(app, *LINES)).input_file)
        spoil(data / "blobs" / "indexes" / file.blob, DAMAGES[damage])
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        assert (await ended(app, job)).counts.succeeded == 100


async def test_a_job_whose_input_is_missing_fails_with_its_name(start: Start, data: Path):
    async with start() as app:
        file = await app.files.get((await submit(app, *LINES)).input_file)
        (data / "blobs" / file.blob).unlink()
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        failed = await ended(app, job)
        assert failed.state is JobState.FAILED
        assert file.blob in failed.error


async def test_a_file_that_is_no_database_is_told_at_the_start(start: Start, data: Path):
    data.mkdir()
    (data / "halfrate.db").write_bytes(b"not a database" * 1_000)
    with pytest.raises(CorruptData, match=r"halfrate.db is not a usable database.*backup"):
        async with start():
            pass


async def test_a_page_of_the_database_that_rots_is_told_to_whoever_asks(start: Start, data: Path):
    async with start() as app:
        jobs = [await submit(app, *LINES[:1]) for _ in range(60)]
        for job in jobs:
            await ended(app, job)
    rot_the_rows_of_jobs(data / "halfrate.db")
    async with start() as app:
        async with client_of(app) as client:
            answer = await client.get("/v1beta/batches?pageSize=100")
        assert answer.status_code == 500
        assert "is not a usable database" in answer.json()["error"]["message"]
        assert "backup" in answer.json()["error"]["message"]


def rot_the_rows_of_jobs(database: Path) -> None:
    """Fill every leaf page of the table of Jobs with nonsense."""
    connection = sqlite3.connect(database)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'job'").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with database.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\x7f" * page_bytes)


async def test_a_directory_that_cannot_be_written_is_told_at_the_start(
    start: Start, mount: Mount, data: Path
):
    disk = mount(data, "8m")
    disk.change("ro")
    with pytest.raises(ConfigError, match=r"Read-only file system\. Choose another with --data"):
        async with start():
            pass
