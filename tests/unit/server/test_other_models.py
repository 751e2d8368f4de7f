"""Lines that name another model than their batch, over HTTP and in both dialects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from halfrate.app import App, open_app
from halfrate.config import Config, ModelConfig, PriceConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine
from tests.unit.server.conftest import LIMITS, finished, uploaded
from tests.unit.server.test_openai_batches import created, ended, line, read, sent

V = "/v1beta/models"
OPENAI = "/openai/v1"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """Two models that write, at different prices, and two that embed."""
    engines = {
        "small-1": ScriptedEngine(),
        "big-1": ScriptedEngine(),
        "vectors-1": ScriptedEngine(dimensions=4),
        "wide-1": ScriptedEngine(dimensions=6),
    }
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={
            "small": ModelConfig(path="small-1", aliases=("gemini-*",)),
            "big": ModelConfig(path="big-1", aliases=("gemini-pro-*",), price=PriceConfig(input=9_000_000)),
            "vectors": ModelConfig(path="vectors-1", kind=Kind.EMBEDDING),
            "wide": ModelConfig(path="wide-1", kind=Kind.EMBEDDING),
        },
        limits=LIMITS,
    )
    async with open_app(config, make_engine=lambda entry: engines[entry.path]) as app:
        yield app


def asked(text: str, model: str | None = None) -> dict[str, object]:
    return {"contents": [{"parts": [{"text": text}]}]} | ({"model": model} if model else {})


async def create(client: httpx.AsyncClient, config: dict[str, object], **headers: str) -> httpx.Response:
    body = {"batch": {"displayName": "x", "inputConfig": config}}
    return await client.post(f"{V}/small:batchGenerateContent", json=body, headers=headers)


async def results(client: httpx.AsyncClient, operation: dict) -> list[dict]:
    name = operation["metadata"]["output"]["responsesFile"]
    downloaded = await client.get(f"/v1beta/{name}:download?alt=media")
    return [json.loads(result) for result in downloaded.content.splitlines()]


def versions(answers: list[dict]) -> list[str]:
    return [answer["response"]["modelVersion"] for answer in answers]


async def test_a_line_is_answered_by_the_model_it_names(client: httpx.AsyncClient) -> None:
    """Keyed and bare, with and without the word for all models, by a name and by an alias."""
    lines = [
        {"key": "a", "request": asked("one")},
        {"key": "b", "request": asked("two", "models/gemini-pro-3")},
        {"key": "c", **asked("three", "big")},
        {"key": "d", "request": asked("four", "models/gemini-2")},
    ]
    content = b"\n".join(json.dumps(each).encode() for each in lines)
    batch = await create(client, {"fileName": await uploaded(client, content)})
    done = await finished(client, batch.json()["name"])
    answers = await results(client, done)
    assert [answer["key"] for answer in answers] == list("abcd")
    assert versions(answers) == ["small-1", "big-1", "big-1", "small-1"]
    assert done["metadata"]["model"] == "models/small"


async def test_an_inline_request_is_answered_by_the_model_it_names(client: httpx.AsyncClient) -> None:
    requests = [{"request": asked("one", "models/big"), "metadata": {"n": "1"}}, {"request": asked("two")}]
    batch = await create(client, {"requests": {"requests": requests}})
    done = await finished(client, batch.json()["name"])
    answers = done["response"]["inlinedResponses"]["inlinedResponses"]
    assert versions(answers) == ["big-1", "small-1"]
    assert answers[0]["metadata"] == {"n": "1"}


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("nobody", "models/nobody is not found. This server answers to: big, gemini-*, gemini-pro-*, small"),
        ("vectors", "models/vectors is answered by vectors, which makes embeddings and writes no text."),
    ],
)
async def test_a_model_that_cannot_answer_is_told_with_its_line(
    client: httpx.AsyncClient, model: str, sentence: str
) -> None:
    requests = [{"request": asked("one")}, {"request": asked("two", model)}]
    refused = await create(client, {"requests": {"requests": requests}})
    assert refused.status_code == 400
    assert f"Error on line 2: {sentence}" in refused.json()["error"]["message"]
    content = b"\n".join(json.dumps(each).encode() for each in requests)
    name = await uploaded(client, content)
    assert (await create(client, {"fileName": name})).status_code == 400
    batch = await create(client, {"fileName": name}, **{"X-Halfrate-On-Invalid": "skip"})
    answered, failed = await results(client, await finished(client, batch.json()["name"]))
    assert versions([answered]) == ["small-1"]
    assert failed["error"]["code"] == 3
    assert sentence in failed["error"]["message"]


async def test_a_line_of_openais_dialect_is_answered_by_the_model_it_names(client: httpx.AsyncClient) -> None:
    lines = [
        line("a", "one", model="small"),
        line("b", "two", model="big"),
        line("c", "three", model="gemini-x"),
    ]
    batch = await ended(client, await created(client, content="\n".join(lines)))
    answers = await read(client, batch["output_file_id"])
    assert [(one["custom_id"], one["response"]["body"]["model"]) for one in answers] == [
        ("a", "small-1"),
        ("b", "big-1"),
        ("c", "small-1"),
    ]
    assert batch["request_counts"] == {"total": 3, "completed": 3, "failed": 0}


async def test_a_vector_of_openais_dialect_says_which_model_made_it(client: httpx.AsyncClient) -> None:
    lines = [
        json.dumps(
            {
                "custom_id": model,
                "method": "POST",
                "url": "/v1/embeddings",
                "body": {"model": model, "input": "some text"},
            }
        )
        for model in ("vectors", "wide")
    ]
    file = (await sent(client, "\n".join(lines))).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch = await ended(client, (await client.post(f"{OPENAI}/batches", json=body)).json())
    answers = [one["response"]["body"] for one in await read(client, batch["output_file_id"])]
    assert [len(one["data"][0]["embedding"]) for one in answers] == [4, 6]
    assert [one["model"] for one in answers] == ["vectors", "wide-1"]


async def test_a_model_that_is_not_served_is_told_in_openais_dialect(client: httpx.AsyncClient) -> None:
    content = "\n".join([line("a", "one", model="small"), line("b", "two", model="nobody")])
    file = (await sent(client, content)).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    refused = await client.post(f"{OPENAI}/batches", json=body)
    assert refused.status_code == 400
    assert "Error on line 2: models/nobody is not found" in refused.json()["error"]["message"]
    batch = await client.post(f"{OPENAI}/batches", json=body, headers={"X-Halfrate-On-Invalid": "skip"})
    done = await ended(client, batch.json())
    (error,) = await read(client, done["error_file_id"])
    assert error["custom_id"] == "b"
    assert "models/nobody is not found" in error["response"]["body"]["error"]["message"]


async def test_the_metrics_tell_of_each_engine(client: httpx.AsyncClient) -> None:
    requests = [{"request": asked("one")}, {"request": asked("two", "big")}]
    batch = await create(client, {"requests": {"requests": requests}})
    await finished(client, batch.json()["name"])
    told = (await client.get("/metrics")).text
    for engine in ("small", "big"):
        assert f'halfrate_settle_group_results_count{{engine="{engine}"}} 1.0' in told
