"""A Job in a Job: a real server in front of another one's batches, killed at every stage of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from halfrate.client import Client
from halfrate.client.views import JobView
from halfrate.domain.job import JobState
from halfrate.engines.scripted import ScriptedEngine
from tests.engines import eventually
from tests.support.processes import Server, serving
from tests.support.upstream_server import MODEL, UpstreamServer, upstream_server

REQUESTS = 40
END_SECONDS = 60.0


def write_lines(path: Path) -> Path:
    with path.open("w") as file:
        for number in range(REQUESTS):
            request = {"contents": [{"parts": [{"text": f"Say {number}."}]}]}
            file.write(json.dumps({"key": f"k{number}", "request": request}) + "\n")
    return path


@contextmanager
def front(folder: Path, upstream: UpstreamServer, **batch: float) -> Iterator[Server]:
    """`halfrate serve` before the other one: four Shards of its Jobs become three batches there."""
    quick = {"wait_seconds": 0.3, "requests": 15, "poll_seconds": 0.05, "retry_seconds": 0.05, **batch}
    table = ", ".join(f"{name} = {value}" for name, value in quick.items())
    config = folder / "front.toml"
    config.write_text(
        f"[dispatch]\nshard_requests = 10\n[models.here.upstream]\napi = 'gemini-batch'\n"
        f"urls = ['{upstream.url}']\nmodel = '{MODEL}'\nbatch = {{ {table} }}\n"
    )
    with serving("--config", config, "--data", folder / "front") as server:
        yield server


def results(client: Client, job: JobView) -> dict[str, Any]:
    """What each key was answered."""
    with client.open_results(job) as pieces:
        lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    return {line["key"]: line["response"]["candidates"] for line in lines}


async def run(client: Client, model: str, lines: Path) -> str:
    file = await asyncio.to_thread(client.upload, lines)
    return (await asyncio.to_thread(client.create, model, file.name)).name


async def ended(client: Client, name: str) -> JobView:
    job = await asyncio.to_thread(client.job, name)
    async with asyncio.timeout(END_SECONDS):
        while not job.final:
            await asyncio.sleep(0.05)
            job = await asyncio.to_thread(client.job, name)
    return job


async def jobs_there(upstream: UpstreamServer) -> list[JobView]:
    return list(await asyncio.to_thread(lambda: list(Client(upstream.origin).jobs())))


def asked(upstream: UpstreamServer) -> Counter[str]:
    """How often the model there was asked each."""
    return Counter(request.messages[-1].text for request in upstream.engine.answered)  # type: ignore[union-attr]


ONCE = Counter(f"Say {number}." for number in range(REQUESTS))


@pytest.mark.parametrize(
    "stage",
    [
        ("POST /upload/v1beta/files", "after"),
        (f"POST /v1beta/models/{MODEL}:batchGenerateContent", "before"),
        (f"POST /v1beta/models/{MODEL}:batchGenerateContent", "after"),
        ("GET /v1beta/batches/", "before"),
        ("GET /v1beta/files/batch-", "half"),
    ],
    ids=["uploading", "to be created", "created, not known", "known, not looked at", "half downloaded"],
)
async def test_a_front_that_is_killed_pays_for_nothing_twice(tmp_path: Path, stage: Any) -> None:
    """It goes on with every batch there is, loses nothing, and its output is that of the Job run directly."""
    lines = write_lines(tmp_path / "lines.jsonl")
    async with upstream_server(tmp_path / "there") as upstream:
        upstream.hang_at = stage
        with front(tmp_path, upstream) as server:
            name = await run(Client(server.url), "here", lines)
            await asyncio.to_thread(upstream.hangs.wait, END_SECONDS)
            server.kill()
        assert upstream.hangs.is_set()
        with front(tmp_path, upstream) as server:
            job = await ended(Client(server.url), name)
            assert (job.state, job.counts.succeeded) == ("SUCCEEDED", REQUESTS)
            through = results(Client(server.url), job)
        assert asked(upstream) == ONCE
        names = Counter(there.display_name for there in await jobs_there(upstream))
        assert set(names.values()) == {1}, "a batch was made twice"
        direct = Client(upstream.origin)
        there = await ended(direct, await run(direct, MODEL, lines))
        assert results(direct, there) == through


async def test_a_job_that_is_cancelled_is_cancelled_there(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.jsonl")
    async with upstream_server(tmp_path / "there", lambda: ScriptedEngine(delay_seconds=60.0)) as upstream:
        with front(tmp_path, upstream, abandon_seconds=0.1) as server:
            client = Client(server.url)
            name = await run(client, "here", lines)
            await eventually(lambda: len(upstream.engine.in_flight) > 0)
            await asyncio.to_thread(client.cancel, name)
            assert (await ended(client, name)).state == "CANCELLED"
            async with asyncio.timeout(END_SECONDS):
                while {job.state for job in await jobs_there(upstream)} != {JobState.CANCELLED.name}:
                    await asyncio.sleep(0.05)


async def test_a_server_that_is_stopped_cancels_nothing_there(tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "lines.jsonl")
    async with upstream_server(tmp_path / "there", lambda: ScriptedEngine(delay_seconds=0.5)) as upstream:
        with front(tmp_path, upstream) as server:
            name = await run(Client(server.url), "here", lines)
            await eventually(lambda: len(upstream.engine.in_flight) > 0)
        assert not any(path.endswith(":cancel") for _, path in upstream.calls)
        with front(tmp_path, upstream) as server:
            assert (await ended(Client(server.url), name)).counts.succeeded == REQUESTS
        assert asked(upstream) == ONCE
