"""A Job over HTTP: one halfrate in front of another one, which has the model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from halfrate.config import Config, ModelConfig, UpstreamConfig, model_at
from halfrate.domain.job import JobState
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.engines.scripted import ScriptedEngine, failing_first
from halfrate.offline import run_file
from tests.end_to_end.test_parity import varied
from tests.engines import QUICK, eventually, real_model
from tests.support.hostile_server import HostileServer
from tests.support.upstream_server import MODEL, UpstreamServer, upstream_server

COUNT = 64


def in_front_of(server: UpstreamServer) -> Config:
    """Settings under which that server answers."""
    upstream = UpstreamConfig(api="openai", urls=(f"{server.origin}/openai/v1",), model=MODEL)
    return Config(models={"front": ModelConfig(upstream=upstream)})


def written(path: Path, requests: list[dict[str, Any]]) -> Path:
    lines = [json.dumps({"key": str(number), "request": request}) for number, request in enumerate(requests)]
    path.write_text("\n".join(lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of an output, without what names the server that wrote it or tells what was in its cache."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in lines:
        response = line.get("response", {})
        for name in ("modelVersion", "responseId"):
            response.pop(name, None)
        response.get("usageMetadata", {}).pop("cachedContentTokenCount", None)
    return lines


async def test_an_output_over_http_is_that_of_the_model_itself(tmp_path: Path) -> None:
    """Greedy, in all the forms a plain Request may have."""
    source = written(tmp_path / "in.jsonl", [varied(number) for number in range(COUNT)])
    direct, over_http = tmp_path / "direct.jsonl", tmp_path / "http.jsonl"
    path = str(real_model())
    here = Config(models={"here": ModelConfig(path=path)})
    await run_file(
        here, source, direct, model="here", make_engine=lambda _: EmbeddedEngine(path, settings=QUICK)
    )
    async with upstream_server(tmp_path / "there", lambda: EmbeddedEngine(path, settings=QUICK)) as server:
        job = await run_file(in_front_of(server), source, over_http, model="front")
    assert job.counts.succeeded == COUNT
    assert read(over_http) == read(direct)


async def test_a_url_is_all_that_has_to_be_said(tmp_path: Path) -> None:
    """Of a server with one model."""
    source = written(tmp_path / "in.jsonl", [{"contents": [{"parts": [{"text": "Hello?"}]}]}] * 3)
    output = tmp_path / "out.jsonl"
    async with HostileServer() as server:
        name, entry = model_at(server.url)
        await run_file(Config(models={name: entry}), source, output, model=name)
    lines = read(output)
    assert [line["key"] for line in lines] == ["0", "1", "2"]
    texts = [line["response"]["candidates"][0]["content"]["parts"][0]["text"] for line in lines]
    assert texts == ["Hello."] * 3


async def test_a_server_that_goes_away_costs_a_job_time_only(tmp_path: Path) -> None:
    """It says why it waits, and every Request has its Result when the server is back."""
    source = written(
        tmp_path / "in.jsonl", [{"contents": [{"parts": [{"text": f"Prompt {n}"}]}]} for n in range(300)]
    )
    output = tmp_path / "out.jsonl"
    troubles: list[str] = []

    async with upstream_server(
        tmp_path / "there", lambda: ScriptedEngine(failing_first(1), delay_seconds=0.001)
    ) as server:
        config = in_front_of(server)
        upstream = config.models["front"].upstream
        assert upstream is not None
        down = False

        def on_progress(job: Any, outlook: Any) -> None:
            nonlocal down
            if job.counts.succeeded and not down:
                down = True
                tasks.append(asyncio.ensure_future(gone_for_a_moment()))
            if outlook.waiting is not None:
                troubles.append(outlook.waiting.sentence)

        async def gone_for_a_moment() -> None:
            await server.down()
            await eventually(lambda: any("cannot be reached" in why for why in troubles))
            await server.up()

        tasks: list[asyncio.Future[None]] = []
        job = await run_file(config, source, output, model="front", on_progress=on_progress)
        await asyncio.gather(*tasks)
    assert down
    assert job.state is JobState.SUCCEEDED
    assert job.counts.succeeded == 300
