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
from tests.unit.server import test_openai_batches as openai_batches
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


# OpenAI's dialect -------------------------------------------------------------------------------------

FINISHES = {"stop": "STOP", "length": "MAX_TOKENS"}


def in_openais_dialect(request: dict) -> dict:
    """Return the same Request as OpenAI's clients send it. What it cannot say changes nothing at greedy."""
    config = request["generationConfig"]
    system = request.get("systemInstruction")
    turns = ([system | {"role": "system"}] if system else []) + request["contents"]
    body = {
        "model": "pocket-1",
        "messages": [
            {
                "role": {"model": "assistant"}.get(turn.get("role"), turn.get("role", "user")),
                "content": "\n".join(part["text"] for part in turn["parts"]),
            }
            for turn in turns
        ],
        "temperature": 0,
        "max_tokens": config["maxOutputTokens"],
    }
    names = {
        "stop": "stopSequences",
        "presence_penalty": "presencePenalty",
        "frequency_penalty": "frequencyPenalty",
        "seed": "seed",
    }
    body |= {name: config[theirs] for name, theirs in names.items() if theirs in config}
    if "responseSchema" in config:
        schema = json.loads(json.dumps(SCHEMA).replace('"OBJECT"', '"object"').lower())
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema}}
    return body


def openais_answer_of(completion: dict) -> Answer:
    (choice,) = completion["choices"]
    return choice["message"]["content"], FINISHES[choice["finish_reason"]]


async def one_by_one_in_openais_dialect(client: httpx.AsyncClient) -> list[Answer]:
    bodies = [in_openais_dialect(request) for request in REQUESTS]
    replies = [await client.post("/openai/v1/chat/completions", json=body) for body in bodies]
    return [openais_answer_of(reply.json()) for reply in replies]


async def in_a_batch_in_openais_dialect(client: httpx.AsyncClient) -> list[Answer]:
    url = "/v1/chat/completions"
    lines = "\n".join(
        json.dumps({"custom_id": str(n), "method": "POST", "url": url, "body": in_openais_dialect(request)})
        for n, request in enumerate(REQUESTS)
    )
    batch = await openai_batches.created(client, content=lines)
    done = await openai_batches.ended(client, batch)
    results = await openai_batches.read(client, done["output_file_id"])
    assert [result["custom_id"] for result in results] == [str(number) for number in range(COUNT)]
    return [openais_answer_of(result["response"]["body"]) for result in results]


# Cached contents --------------------------------------------------------------------------------------

BEFORE = [
    {"role": "user", "parts": [{"text": "Here are my notes. " + " ".join(REVIEWS)}]},
    {"role": "model", "parts": [{"text": "Thank you."}]},
]


async def after_notes(client: httpx.AsyncClient, *, cached: bool) -> list[Answer]:
    """Return what each is answered after the same turns, said again or cached."""
    reply = await client.post("/v1beta/cachedContents", json={"model": "models/pocket-1", "contents": BEFORE})
    name = reply.json()["name"]
    answers = []
    for request in REQUESTS:
        asked = {key: value for key, value in request.items() if key != "systemInstruction"}
        asked |= {"cachedContent": name} if cached else {"contents": BEFORE + request["contents"]}
        reply = await client.post(f"{MODEL}:generateContent", json=asked)
        assert reply.status_code == 200, reply.text
        answers.append(answer_of(reply.json()))
    return answers


async def test_every_way_gives_the_same_answers(client: httpx.AsyncClient) -> None:
    answers = await one_by_one(client)
    assert len(answers) == COUNT
    assert len(set(answers)) > COUNT / 10
    assert await streamed(client) == answers
    assert await in_an_inline_batch(client) == answers
    assert await in_a_batch_of_a_file(client) == answers
    assert await one_by_one_in_openais_dialect(client) == answers
    assert await in_a_batch_in_openais_dialect(client) == answers
    assert await after_notes(client, cached=True) == await after_notes(client, cached=False)
