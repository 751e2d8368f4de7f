"""Interactive calls and models over HTTP."""

from __future__ import annotations

import asyncio
import gzip

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request

from halfrate.server.presence import while_present

ASK = {"contents": [{"parts": [{"text": "hello there"}]}]}


@pytest.mark.parametrize(
    "path", ["/v1/models/gemini-x", "/v1beta/models/scripted", "/v1alpha/models/other-name"]
)
async def test_an_answer(client, path):
    reply = await client.post(f"{path}:generateContent?key=K&$.xgafv=2&alt=json&prettyPrint=true", json=ASK)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    body = reply.json()
    assert body["candidates"][0]["content"] == {"parts": [{"text": "hello there"}], "role": "model"}
    assert body["usageMetadata"]["promptTokenCount"] == 3
    assert body["modelVersion"] == "scripted-1"
    assert body["responseId"]


async def test_the_colon_may_be_escaped(client):
    assert (await client.post("/v1/models/gemini-x%3AgenerateContent", json=ASK)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "contents is empty"),
        (b"{", 400, "Invalid JSON payload received"),
        (b'{"foo": 1}', 400, 'Unknown name \\"foo\\": Cannot find field.'),
        (b'{"contents": {"parts": {"text": "x"}}, "tools": [{"googleSearch": {}}]}', 400, "google_search"),
        (b'{"contents": {"parts": {"text": "x"}}, "generationConfig": {"maxOutputTokens": 0}}', 400, "max_"),
        (b'{"contents": {"parts": {"text": "fail me"}}}', 500, "The script fails"),
    ],
)
async def test_a_wrong_call_is_refused(client, body, status, says):
    reply = await client.post("/v1/models/gemini-x:generateContent", content=body)
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status
    assert says in reply.text


async def test_tokens_are_counted_as_they_are_billed(client):
    counted = await client.post("/v1/models/gemini-x:countTokens", json=ASK)
    answered = await client.post("/v1/models/gemini-x:generateContent", json=ASK)
    assert counted.json()["totalTokens"] == answered.json()["usageMetadata"]["promptTokenCount"]
    refused = await client.post("/v1/models/gemini-x:countTokens", json=ASK | {"systemInstruction": {}})
    assert refused.status_code == 400


async def test_models_are_listed_under_every_name_that_is_no_pattern(client):
    listed = (await client.get("/v1/models")).json()["models"]
    assert [model["name"] for model in listed] == ["models/scripted", "models/other-name"]
    first = (await client.get("/v1/models?pageSize=1")).json()
    second = (await client.get(f"/v1/models?pageSize=1&pageToken={first['nextPageToken']}")).json()
    assert first["models"] + second["models"] == listed
    assert "nextPageToken" not in second


async def test_a_model_is_shown_under_the_name_asked_for(client):
    model = (await client.get("/v1/models/gemini-3.5-flash")).json()
    assert model["name"] == "models/gemini-3.5-flash"
    assert model["version"] == "scripted-1"
    assert "batchGenerateContent" in model["supportedGenerationMethods"]
    unknown = await client.get("/v1/models/gpt")
    assert unknown.status_code == 404
    assert "models/gpt is not found" in unknown.text
    assert (await client.post("/v1/models/gpt:generateContent", json=ASK)).status_code == 404
    assert (await client.get("/v1/tunedModels")).json() == {}


async def test_answers_are_compressed_for_whom_accepts_it(client):
    async def fetch(accepted: str) -> httpx.Response:
        async with client.stream("GET", "/v1/models", headers={"Accept-Encoding": accepted}) as reply:
            reply.raw = b"".join([piece async for piece in reply.aiter_raw()])
            return reply

    packed = await fetch("deflate, gzip;q=0.5")
    assert packed.headers["content-encoding"] == "gzip"
    for refused in ("identity", "gzip;q=0", "br"):
        plain = await fetch(refused)
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(packed.raw) == plain.raw


async def test_the_engine_stops_when_the_client_goes_away():
    """The work is cancelled, which is what frees the Engine's memory."""
    stopped = asyncio.Event()

    async def receive() -> dict:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()

    with pytest.raises(ClientDisconnect):
        await while_present(Request({"type": "http"}, receive), work())
    assert stopped.is_set()
