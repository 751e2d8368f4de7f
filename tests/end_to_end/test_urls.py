"""Prompts name pages, and are answered from what those say: the real application, a host on the loopback."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google import genai
from google.genai import types

from halfrate.app import open_app
from halfrate.config import Config, ModelConfig, UrlsConfig
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.lookup import page_reader
from tests.fakes import ended, results, submit, text_of
from tests.support.processes import serving
from tests.support.receiver import Received, answered, receiving

TEXT = "Otters of page {0} sleep in the water and hold each other by their hands. " * 4


def page(call: Received) -> bytes:
    number = call.path.rpartition("/")[2]
    if call.path == "/robots.txt" or number == "404":
        return answered(404)
    return answered(200, "Content-Type: text/html\r\n", f"<article><p>{TEXT.format(number)}</p></article>")


@pytest.fixture
async def host():
    async with receiving() as host:
        host.answer = page
        yield host


@asynccontextmanager
async def application(folder: Path, engine: ScriptedEngine):
    config = Config(
        data_dir=str(folder),
        models={"pocket-1": ModelConfig(path="pocket-1.gguf")},
        urls=UrlsConfig(allow=("127.0.0.1",), host_delay_seconds=0.0),
    )
    async with open_app(config, make_engine=lambda entry: engine) as app:
        yield app


def asks(*urls: str, key: str) -> bytes:
    request = {
        "contents": [{"parts": [{"text": f"What of {' and '.join(urls)}?"}]}],
        "tools": [{"urlContext": {}}],
    }
    return json.dumps({"key": key, "request": request}).encode()


async def test_a_job_reads_each_page_once_and_says_what_came_of_it(host, tmp_path):
    at = f"http://127.0.0.1:{host.port}"
    lines = [asks(f"{at}/{n % 5}", key=f"k{n}") for n in range(30)]
    lines.append(asks(f"{at}/0", f"{at}/404", "http://10.0.0.1/", key="mixed"))
    async with application(tmp_path, ScriptedEngine(echo)) as app:
        job = await ended(app, await submit(app, *lines))
        said = {result["key"]: result["response"] for result in await results(app, job)}
    for n in range(30):
        response = said[f"k{n}"]
        assert f"Otters of page {n % 5} sleep" in response["candidates"][0]["content"]["parts"][0]["text"]
        assert response["candidates"][0]["urlContextMetadata"] == {
            "urlMetadata": [
                {"retrievedUrl": f"{at}/{n % 5}", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"}
            ]
        }
        usage = response["usageMetadata"]
        assert usage["toolUsePromptTokenCount"] > 40 > usage["promptTokenCount"] > 0
        assert usage["totalTokenCount"] == (
            usage["promptTokenCount"] + usage["toolUsePromptTokenCount"] + usage["candidatesTokenCount"]
        )
    statuses = [
        each["urlRetrievalStatus"].removeprefix("URL_RETRIEVAL_STATUS_")
        for each in said["mixed"]["candidates"][0]["urlContextMetadata"]["urlMetadata"]
    ]
    assert statuses == ["SUCCESS", "ERROR", "UNSAFE"]
    asked = Counter(call.path for call in host.calls)
    assert asked == {f"/{n}": 1 for n in range(5)} | {"/404": 1, "/robots.txt": 1}


async def test_a_restart_reads_no_page_again(host, tmp_path):
    at = f"http://127.0.0.1:{host.port}"
    async with application(tmp_path, ScriptedEngine(echo, delay_seconds=3_600)) as app:
        job = await submit(app, *(asks(f"{at}/{n}", key=f"k{n}") for n in range(4)))
        async with asyncio.timeout(20):
            while len(list(app.blobs.names(f"jobs/{job.id}/pages"))) < 4:
                await asyncio.sleep(0.01)
    before = len(host.calls)
    async with application(tmp_path, ScriptedEngine(echo)) as app:
        job = await ended(app, job)
        assert all("Otters of page" in text_of(result) for result in await results(app, job))
    assert len(host.calls) == before


async def test_no_lane_is_held_for_the_web(host, tmp_path):
    """Requests whose pages never come keep no others waiting."""
    host.answer = lambda call: None if call.path.startswith("/slow") else page(call)
    at = f"http://127.0.0.1:{host.port}"
    slow = [asks(f"{at}/slow{n}", key=f"a{n}") for n in range(4)]
    async with application(tmp_path, ScriptedEngine(echo, lanes=2)) as app:
        job = await submit(app, *slow, *(asks(f"{at}/{n % 3}", key=f"b{n}") for n in range(10)))
        async with asyncio.timeout(20):
            while (await app.jobs.get(job.id)).counts.succeeded < 10:
                await asyncio.sleep(0.01)
        await app.jobs.cancel(job.id)
        job = await ended(app, job)
        assert (job.counts.succeeded, job.counts.failed) == (10, 4)


async def test_a_page_is_cut_to_what_the_model_has_room_for(host, tmp_path):
    long = "<article><p>" + " ".join(f"word{n}" for n in range(20_000)) + "</p></article>"
    host.answer = lambda call: (
        answered(404) if "robots" in call.path else answered(200, "Content-Type: text/html\r\n", long)
    )
    engine = ScriptedEngine(echo)
    async with application(tmp_path, engine) as app:
        context = (await engine.ready()).context_tokens
        job = await ended(app, await submit(app, asks(f"http://127.0.0.1:{host.port}/", key="a")))
        (result,) = await results(app, job)
    usage = result["response"]["usageMetadata"]
    assert context // 4 < usage["toolUsePromptTokenCount"] < context
    assert "[the rest is left out]" in text_of(result)


async def test_a_file_that_names_no_page_is_answered_as_ever(tmp_path):
    async with application(tmp_path, ScriptedEngine(echo)) as app:
        job = await ended(app, await submit(app, asks("nothing", key="a")))
        (result,) = await results(app, job)
    assert "urlContextMetadata" not in result["response"]["candidates"][0]
    assert "toolUsePromptTokenCount" not in result["response"]["usageMetadata"]


async def test_where_nothing_reads_pages_the_request_says_what_to_install(host, tmp_path, monkeypatch):
    monkeypatch.setattr(page_reader, "find_spec", lambda name: None)
    async with application(tmp_path, ScriptedEngine(echo)) as app:
        job = await ended(app, await submit(app, asks(f"http://127.0.0.1:{host.port}/1", key="a")))
        (result,) = await results(app, job)
    assert result["error"]["code"] == 12
    assert "pip install 'halfrate[urls]'" in result["error"]["message"]
    assert host.calls == []


async def test_the_official_sdk_asks_about_a_page(host, toy, tmp_path):
    settings = tmp_path / "halfrate.toml"
    settings.write_text(f"[models.toy]\npath = '{toy}'\n[urls]\nallow = ['127.0.0.1']\n")
    with serving("--data", tmp_path / "data", "--config", settings) as server:
        client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=server.url)).aio
        answer = await client.models.generate_content(
            model="toy",
            contents=f"What is on http://127.0.0.1:{host.port}/7 ?",
            config=types.GenerateContentConfig(
                tools=[types.Tool(url_context=types.UrlContext())], max_output_tokens=5
            ),
        )
    (read,) = answer.candidates[0].url_context_metadata.url_metadata
    assert read.url_retrieval_status is types.UrlRetrievalStatus.URL_RETRIEVAL_STATUS_SUCCESS
    assert answer.usage_metadata.tool_use_prompt_token_count > 0
