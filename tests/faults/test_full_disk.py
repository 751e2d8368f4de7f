"""A full disk: what needs room waits and says so, and goes on by itself when there is some."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors as genai_errors

from halfrate.app import App
from halfrate.dispatch import troubles
from halfrate.domain.errors import ConfigError
from halfrate.domain.job import Job, JobState
from halfrate.domain.outcome import Outcome
from halfrate.domain.request import Request
from halfrate.domain.shard import Section
from halfrate.domain.waiting import WaitingCode
from halfrate.engines.scripted import Script, ScriptedEngine, always, echo
from halfrate.ingest.inputs import Inputs
from halfrate.store.meta.sqlite import SqliteStore
from tests.engines import toy_model
from tests.fakes import ended, line, make_job, pieces, results, submit, text_of, until, upload
from tests.faults.conftest import Mount, SmallDisk, Start, client_of
from tests.support.processes import serving

LINES = [line(f"say {number}", f"k{number}", temperature=0) for number in range(200)]


async def waits_because_the_disk_is_full(app: App, job: Job) -> str:
    """Wait until a client that asks is told so, and return what it is told."""
    async with client_of(app) as client:
        told: list[str] = []

        async def is_told() -> bool:
            metadata = (await client.get(f"/v1beta/batches/{job.id}")).json()["metadata"]
            told[:] = [metadata.get("halfrate", {}).get("waitingReason", "")]
            return "disk is full" in told[0]

        await until(is_told)
        return told[0]


async def held_up(app: App, job: Job) -> bool:
    waiting = (await app.jobs.outlook(job)).waiting
    return waiting is not None and waiting.code is WaitingCode.DISK


@pytest.fixture
def disk(mount: Mount, data: Path) -> SmallDisk:
    """The disk of everything."""
    return mount(data, "8m")


@pytest.fixture(params=["for bytes", "for rows"])
def full(request: pytest.FixtureRequest, disk: SmallDisk, mount: Mount, data: Path) -> SmallDisk:
    """The disk that will be full: that of the blobs, or that of the database. What is spilled has its own."""
    blobs = mount(data / "blobs", "8m")
    mount(data / "spill", "8m")
    return blobs if request.param == "for bytes" else disk


def filling(disk: SmallDisk, *, after: int) -> Script:
    """Answer, and leave no room on the disk from the answer ``after`` on."""
    answers = count(1)

    def play(request: Request) -> Outcome:
        if next(answers) == after:
            disk.fill()
        return echo(request)

    return play


async def test_a_job_waits_with_the_reason_and_goes_on_when_there_is_room(start: Start, full: SmallDisk):
    # With a database that takes nothing a Shard cannot be given back: its Lease has to lapse.
    lease_seconds = 30 if full.path.name == "data" else 1e6
    async with start(ScriptedEngine(filling(full, after=50), lanes=4), lease_seconds) as app:
        job = await submit(app, *LINES)
        told = await waits_because_the_disk_is_full(app, job)
        assert str(full.path) in told
        assert "goes on by itself" in told
        settled = (await app.jobs.get(job.id)).counts.succeeded
        full.make_room()
        assert (await ended(app, job)).state is JobState.SUCCEEDED
        assert [text_of(result) for result in await results(app, job)] == [f"say {n}" for n in range(200)]
        assert await app.store.check_integrity() == []
    assert settled < 200


async def test_a_job_that_has_not_begun_waits_with_the_reason_too(
    start: Start, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
):
    cut, cuts, there_is_room = Inputs.cut, count(1), asyncio.Event()

    async def cut_the_first(inputs: Inputs, *arguments: Any, **options: Any) -> list[int]:
        if next(cuts) > 1:
            await there_is_room.wait()
        return await cut(inputs, *arguments, **options)

    monkeypatch.setattr(Inputs, "cut", cut_the_first)
    made: list[Job] = []

    def fill_when_both_are_made(request: Request) -> Outcome:
        if len(made) == 2 and not disk.ballast.exists():
            disk.fill()
        return echo(request)

    async with start(ScriptedEngine(fill_when_both_are_made, lanes=1, delay_seconds=0.01)) as app:
        made.append(await submit(app, *LINES))
        made.append(await submit(app, *LINES[:5]))
        await waits_because_the_disk_is_full(app, made[1])
        waiting = await app.jobs.get(made[1].id)
        assert (waiting.state, waiting.planned, waiting.counts.succeeded) == (JobState.PENDING, False, 0)
        jobs, made[:] = made[:], []
        disk.make_room()
        there_is_room.set()
        assert [(await ended(app, job)).state for job in jobs] == [JobState.SUCCEEDED] * 2


async def test_a_job_whose_plan_finds_no_room_waits_with_the_reason(
    start: Start, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
):
    cut = Inputs.cut

    async def fill_and_cut(inputs: Inputs, *arguments: Any, **options: Any) -> list[int]:
        if not planned:
            disk.fill()
        return await cut(inputs, *arguments, **options)

    planned: list[Job] = []
    monkeypatch.setattr(Inputs, "cut", fill_and_cut)
    monkeypatch.setattr(troubles, "FRESH_SECONDS", float("inf"))
    async with start(ScriptedEngine(lanes=1, delay_seconds=0.3)) as app:
        job = await submit(app, *LINES)
        await waits_because_the_disk_is_full(app, job)
        assert not (await app.jobs.get(job.id)).planned
        planned.append(job)
        disk.make_room()

        async def goes_on() -> bool:
            assert (await app.jobs.get(job.id)).counts.succeeded < 20, "a whole Shard was answered"
            return not await held_up(app, await app.jobs.get(job.id))

        await until(goes_on)


async def test_the_reason_is_gone_as_soon_as_the_job_goes_on(
    start: Start, full: SmallDisk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(troubles, "FRESH_SECONDS", float("inf"))
    async with start(ScriptedEngine(filling(full, after=30), lanes=4, delay_seconds=0.005)) as app:
        job = await submit(app, *LINES)
        await waits_because_the_disk_is_full(app, job)
        full.make_room()

        async def goes_on() -> bool:
            seen = await app.jobs.get(job.id)
            assert seen.state is JobState.RUNNING
            return not await held_up(app, seen)

        await until(goes_on)
        await ended(app, job)


async def test_a_server_that_ends_on_a_full_disk_loses_nothing_settled(start: Start, disk: SmallDisk):
    async with start(ScriptedEngine(filling(disk, after=100), lanes=4)) as app:
        job = await submit(app, *LINES)
        await waits_because_the_disk_is_full(app, job)
        settled = (await app.jobs.get(job.id)).counts.succeeded
    disk.make_room()
    later = ScriptedEngine(echo)
    async with start(later) as app:
        assert (await ended(app, job)).state is JobState.SUCCEEDED
    assert later.calls == 200 - settled


async def test_an_output_that_does_not_fit_waits_while_other_jobs_finish(
    start: Start, mount: Mount, data: Path
):
    blobs = mount(data / "blobs", "300k")  # room for all Results, and not for the output as well
    async with start(ScriptedEngine(always("a long answer " * 40))) as app:
        large = await submit(app, *LINES)
        await waits_because_the_disk_is_full(app, large)
        assert (await app.jobs.get(large.id)).state is JobState.ASSEMBLING
        small = await submit(app, *LINES[:5])
        assert (await ended(app, small)).state is JobState.SUCCEEDED
        assert not (await app.jobs.get(large.id)).state.final
        blobs.change("size=8m")
        assert (await ended(app, large)).state is JobState.SUCCEEDED
        assert len(await results(app, large)) == 200
    assert list((data / "blobs" / ".writing").iterdir()) == []


async def test_an_upload_is_refused_where_nothing_can_be_written(start: Start, mount: Mount, data: Path):
    blobs = mount(data / "blobs", "8m")
    async with start() as app, client_of(app) as client:
        blobs.change("ro")
        how = {"X-Goog-Upload-Protocol": "raw"}
        refused = await client.post("/upload/v1beta/files", headers=how, content=LINES[0])
        assert (refused.status_code, refused.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert refused.json()["error"]["message"].startswith("The disk is mounted read-only")
        blobs.change("rw")
        taken = await client.post("/upload/v1beta/files", headers=how, content=LINES[0])
        assert taken.status_code == 200


async def test_an_upload_that_does_not_fit_is_refused_and_goes_on_from_where_it_stands(
    start: Start, mount: Mount, data: Path
):
    content = b"\n".join(line("word " * 300, f"k{number}") for number in range(300))
    blobs = mount(data / "blobs", "192k")
    async with start() as app, client_of(app) as client:
        begun = await client.post("/upload/v1beta/files", headers={"X-Goog-Upload-Command": "start"}, json={})
        url = begun.headers["x-goog-upload-url"]
        last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
        refused = await client.post(url, headers=last, content=content)
        assert (refused.status_code, refused.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert refused.json()["error"]["message"].startswith("The disk is full")
        assert refused.headers["x-goog-upload-status"]
        assert (await client.get("/v1beta/files")).json().get("files", []) == []

        blobs.change("size=8m")
        asked = await client.post(url, headers={"X-Goog-Upload-Command": "query"})
        stands = int(asked.headers["x-goog-upload-size-received"])
        assert stands > 0
        last["X-Goog-Upload-Offset"] = str(stands)
        done = await client.post(url, headers=last, content=content[stands:])
        assert done.status_code == 200, done.text
        file = await app.files.get(done.json()["file"]["name"].removeprefix("files/"))
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        assert (await ended(app, job)).counts.succeeded == 300


def test_the_sdk_is_told_and_the_next_upload_is_taken(mount: Mount, data: Path, tmp_path: Path):
    blobs = mount(data / "blobs", "256k")
    source = tmp_path / "requests.jsonl"
    source.write_bytes(b"\n".join(line("word " * 300, f"k{number}") for number in range(300)))
    with serving("--data", data, "-m", toy_model(tmp_path)) as server:
        sdk = genai.Client(api_key="none", http_options={"base_url": server.url})
        with pytest.raises(genai_errors.ServerError, match=r"503 UNAVAILABLE.*The disk is full"):
            sdk.files.upload(file=str(source), config={"mime_type": "jsonl"})
        assert list(sdk.files.list()) == []
        blobs.change("size=8m")
        assert (
            sdk.files.upload(file=str(source), config={"mime_type": "jsonl"}).size_bytes
            == source.stat().st_size
        )


@pytest.mark.parametrize("full", ["for rows"], indirect=True)
async def test_a_file_whose_row_finds_no_room_is_no_file_and_can_be_finished_later(
    start: Start, full: SmallDisk
):
    content = b"\n".join(LINES)
    async with start() as app:
        begun = await app.uploads.begin(
            file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(content)
        )
        await app.uploads.append(begun.id, offset=0, chunks=pieces(content))
        full.fill()
        with pytest.raises(OSError, match="No space left"):
            await app.uploads.finish(begun.id)
        assert await app.files.list(page_size=10, page_token=None) == ([], None)
        assert (await app.uploads.progress(begun.id)).received_bytes == len(content)
        full.make_room()
        file = await app.uploads.finish(begun.id)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert list(app.blobs.names("uploads")) == []
        assert list(app.blobs.names("inputs")) == [file.blob]
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        assert (await ended(app, job)).counts.succeeded == len(LINES)
        assert list(app.blobs.names("indexes")) == [f"indexes/{file.blob}"]


async def test_a_file_whose_index_finds_no_room_makes_a_job_when_there_is_some(
    start: Start, mount: Mount, data: Path
):
    disk = mount(data / "spill", "1m")
    async with start() as app, client_of(app) as client:
        disk.fill()
        file = await upload(app, b"\n".join(LINES))
        body = {"batch": {"input_config": {"file_name": f"files/{file.id}"}}}
        url = "/v1beta/models/pocket-1:batchGenerateContent"
        refused = await client.post(url, json=body)
        assert (refused.status_code, refused.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert refused.json()["error"]["message"].startswith("The disk is full")
        disk.make_room()
        assert (await client.post(url, json=body)).status_code == 200


async def test_a_server_ends_in_order_on_a_full_disk(start: Start, disk: SmallDisk):
    async with start() as app:
        begun = await app.uploads.begin(file_id=None, display_name="", mime_type="jsonl", declared_bytes=None)
        await app.uploads.append(begun.id, offset=0, chunks=pieces(b"\n".join(LINES)))
        disk.fill()
    disk.make_room()
    async with start() as app:
        assert (await app.uploads.finish(begun.id)).size_bytes == len(b"\n".join(LINES))


@pytest.mark.parametrize("place", ["blobs", "spill"])
async def test_an_inline_job_that_does_not_fit_is_refused_and_leaves_nothing(
    start: Start, mount: Mount, data: Path, place: str
):
    disk = mount(data / place, "1m")
    items = [{"request": {"contents": [{"parts": [{"text": "hello"}]}]}}]
    body = {"batch": {"input_config": {"requests": {"requests": items}}}}
    async with start() as app, client_of(app) as client:
        disk.fill()
        url = "/v1beta/models/pocket-1:batchGenerateContent"
        refused = await client.post(url, json=body)
        assert (refused.status_code, refused.json()["error"]["status"]) == (503, "UNAVAILABLE")
        assert list(app.blobs.names("inputs")) == []
        disk.make_room()
        assert (await client.post(url, json=body)).status_code == 200


async def test_a_change_without_room_fails_alone_and_the_next_one_stands(disk: SmallDisk, clock):
    store = SqliteStore(disk.path / "halfrate.db", clock)
    try:
        disk.fill()
        for number in range(3):
            with pytest.raises(OSError, match="No space left") as raised:
                await store.create_job(make_job(f"lost-{number}"), active_jobs_max=100)
            assert raised.value.filename == str(disk.path / "halfrate.db")
        disk.make_room()
        await store.create_job(make_job("kept"), active_jobs_max=100)
        assert [job.id for job in await store.list_jobs(limit=10, after=None)] == ["kept"]
        assert await store.check_integrity() == []
    finally:
        store.close()


async def test_a_change_too_large_for_the_cache_says_that_the_disk_is_full(disk: SmallDisk, clock):
    """SQLite then undoes the whole group by itself, and what it says afterwards is about savepoints."""
    disk.change("size=2m")
    store = SqliteStore(disk.path / "halfrate.db", clock)
    try:
        await store.create_job(make_job("job"), active_jobs_max=100)
        with pytest.raises(OSError, match="No space left"):
            await store.save_plan("job", [Section("pocket-1", 0, (1,) * 200_000)])
        assert (await store.get_job("job")).planned is False
        await store.save_plan("job", [Section("pocket-1", 0, (3,))])
        assert await store.check_integrity() == []
    finally:
        store.close()


async def test_uploading_and_answering_go_on_side_by_side_after_room_was_made(start: Start, disk: SmallDisk):
    async with start() as app:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            await upload(app, b"\n".join(LINES))
        disk.make_room()
        jobs = [await submit(app, *LINES[:20]) for _ in range(3)]
        assert [(await ended(app, job)).state for job in jobs] == [JobState.SUCCEEDED] * 3


@pytest.mark.parametrize("used_before", [True, False])
async def test_a_start_on_a_full_disk_says_so_and_one_with_room_goes_on(
    start: Start, disk: SmallDisk, used_before: bool
):
    if used_before:
        async with start() as app:
            await ended(app, await submit(app, *LINES[:5]))
    disk.fill()
    with pytest.raises(
        ConfigError, match=r"cannot start in .*The disk is full.*Make room on it.*start again"
    ):
        async with start():
            pass
    disk.make_room()
    async with start() as app:
        jobs, _ = await app.jobs.list(page_size=5, page_token=None)
        assert [job.state for job in jobs] == [JobState.SUCCEEDED] * used_before
