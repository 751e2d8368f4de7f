"""Embeddings in OpenAI's dialect: in a call, and in batches."""

from __future__ import annotations

import base64
import json
import struct

import httpx
import pytest

from tests.unit.server.test_embeddings import app as app  # noqa: PLC0414
from tests.unit.server.test_embeddings import online
from tests.unit.server.test_openai_batches import PLAIN, ended, read, sent

ASK = {"model": "gemini-embedding-001", "input": ["hello there", "other"]}


async def test_vectors_are_those_of_the_other_dialect(client: httpx.AsyncClient) -> None:
    reply = await client.post(f"{PLAIN}/embeddings", json=ASK)
    assert reply.status_code == 200, reply.text
    said = reply.json()
    assert [each["index"] for each in said["data"]] == [0, 1]
    assert said["data"][0]["embedding"] == pytest.approx(await online(client, "hello there"))
    assert said["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert said["model"] == "embeds"


async def test_base64_is_floats_of_32_bits_little_endian(client: httpx.AsyncClient) -> None:
    asked = {"model": "gemini-embedding-001", "input": "hello there", "dimensions": 4}
    plain = (await client.post(f"{PLAIN}/embeddings", json=asked)).json()
    packed = (await client.post(f"{PLAIN}/embeddings", json=asked | {"encoding_format": "base64"})).json()
    values = struct.unpack("<4f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(values) == plain["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ["x"] * 2_049}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": " "}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"model": "gemini-x"}, None),
    ],
)
async def test_what_cannot_be_embedded_is_refused(client: httpx.AsyncClient, fields, param) -> None:
    reply = await client.post(f"{PLAIN}/embeddings", json=ASK | fields)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def line(key: str, **body: object) -> str:
    asked = {"model": "gemini-embedding-001", "input": "hello there", **body}
    return json.dumps({"custom_id": key, "method": "POST", "url": "/v1/embeddings", "body": asked})


async def create(client: httpx.AsyncClient, *lines: str, endpoint: str = "/v1/embeddings") -> httpx.Response:
    file = (await sent(client, "\n".join(lines) + "\n")).json()
    asked = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"}
    return await client.post(f"{PLAIN}/batches", json=asked)


async def test_a_batch(client: httpx.AsyncClient) -> None:
    reply = await create(client, line("a"), line("b", input=["x", "y"]), line("c", encoding_format="base64"))
    assert reply.status_code == 200, reply.text
    batch = await ended(client, reply.json())
    assert batch["endpoint"] == "/v1/embeddings"
    (answer,) = await read(client, batch["output_file_id"])
    body = answer["response"]["body"]
    assert answer["custom_id"] == "a"
    assert body["data"][0]["embedding"] == pytest.approx(await online(client, "hello there"))
    assert (body["model"], body["usage"]["prompt_tokens"]) == ("gemini-embedding-001", 3)
    failed = await read(client, batch["error_file_id"])
    messages = [one["response"]["body"]["error"]["message"] for one in failed]
    assert "Write a line for each" in messages[0]
    assert "lists of numbers" in messages[1]


async def test_a_batch_is_for_one_endpoint(client: httpx.AsyncClient) -> None:
    reply = await create(client, line("a"), endpoint="/v1/chat/completions")
    assert reply.status_code == 400
