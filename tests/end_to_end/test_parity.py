"""The same Request gets the same answer whichever way it comes in: greedy, two hundred of them, over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from halfrate.app import open_app
from halfrate.config import Config, ModelConfig
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.serve import asgi_of
from tests.engines import QUICK, real_model
from tests.unit.server.conftest import finished, uploaded

MODEL = "/v1beta/models/pocket-1"
COUNT = 200

REVIEWS = [
    f"The {thing} {verdict}."
    for thing in ("lamp", "kettle", "tent", "radio", "chair", "drill", "scarf", "clock")
    for verdict in ("broke after a day", "works well", "is grey", "came late but is lovely", "leaks")
]
SCHEMA = {
    "type": "OBJECT",
    "properties": {"name": {"type": "STRING"}, "price": {"type": "INTEGER"}},
    "required": ["name", "price"],
}


def varied(number: int) -> dict:
    """Return one of the Requests: no two alike, in all the forms a plain one may have."""
    review = REVIEWS[number % len(REVIEWS)]
    config: dict = {"temperature": 0, "maxOutputTokens": 8 + number % 5}
    request: dict = {
        "contents": [{"role": "user", "parts": [{"text": f"{review} Is that good? ({number})"}]}],
        "generationConfig": config,
    }
    match number % 8:
        case 1:
            request["systemInstruction"] = {"parts": [{"text": "Answer with one word."}]}
        case 2:
            request["contents"] = [
                {"role": "user", "parts": [{"text": review}]},
                {"role": "model", "parts": [{"text": "Noted."}]},
                {"parts": [{"text": f"Which number is {number}?"}, {"text": "Be quick."}]},
            ]
        case 3:
            config |= {"responseMimeType": "application/json", "responseSchema": SCHEMA}
            config["maxOutputTokens"] = 40
        case 4:
            config["stopSequences"] = ["e", "."]
        case 5:
            config |= {"presencePenalty": 0.5, "frequencyPenalty": 0.5}
        case 6:
            config["seed"] = number
        case 7:
            config["topK"] = 1
    return request


REQUESTS = [varied(number) for number in range(COUNT)]


Answer = tuple[str, str]
"""What was said, and why it ended."""


def answer_of(response: dict) -> Answer:
    (candidate,) = response["candidates"]
    return text_of(candidate), candidate["finishReason"]


def text_of(candidate: dict) -> str:
    return "".join(part["text"] for part in candidate["content"]["parts"])


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    config = Config(data_dir=str(tmp_path), models={"pocket-1": ModelConfig(path=str(real_model()))})
    async with open_app(config, make_engine=lambda entry: EmbeddedEngine(entry.path, settings=QUICK)) as app:
        transport = httpx.ASGITransport(asgi_of(app))
        base_url = "http://localhost:8080"
        async with httpx.AsyncClient(transport=transport, base_url=base_url, timeout=60) as client:
            yield client


async def one_by_one(client: httpx.AsyncClient) -> list[Answer]:
    replies = [await client.post(f"{MODEL}:generateContent", json=request) for request in REQUESTS]
    return [answer_of(reply.json()) for reply in replies]


async def streamed(client: httpx.AsyncClient) -> list[Answer]:
    answers = []
    for request in REQUESTS:
        reply = await client.post(f"{MODEL}:streamGenerateContent", json=request)
        candidates = [piece["candidates"][0] for piece in reply.json()]
        answers.append(("".join(map(text_of, candidates)), candidates[-1]["finishReason"]))
    return answers


async def in_an_inline_batch(client: httpx.AsyncClient) -> list[Answer]:
    items = [{"request": request} for request in REQUESTS]
    done = await batch(client, {"requests": {"requests": items}})
    results = done["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
    return [answer_of(result["response"]) for result in results]


async def in_a_batch_of_a_file(client: httpx.AsyncClient) -> list[Answer]:
    lines = [json.dumps({"key": str(number), "request": r}) for number, r in enumerate(REQUESTS)]
    done = await batch(client, {"fileName": await uploaded(client, "\n".join(lines).encode())})
    output = await client.get(f"/v1beta/{done['metadata']['output']['responsesFile']}:download?alt=media")
    results = [json.loads(line) for line in output.text.splitlines()]
    assert [result["key"] for result in results] == [str(number) for number in range(COUNT)]
    return [answer_of(result["response"]) for result in results]


async def batch(client: httpx.AsyncClient, input_config: dict) -> dict:
    """Make a batch and wait for its end."""
    created = await client.post(
        f"{MODEL}:batchGenerateContent", json={"batch": {"inputConfig": input_config}}
    )
    assert created.status_code == 200, created.text
    return await finished(client, created.json()["name"])


async def test_every_way_gives_the_same_answers(client: httpx.AsyncClient) -> None:
    answers = await one_by_one(client)
    assert len(answers) == COUNT
    assert len(set(answers)) > COUNT / 10
    assert await streamed(client) == answers
    assert await in_an_inline_batch(client) == answers
    assert await in_a_batch_of_a_file(client) == answers
