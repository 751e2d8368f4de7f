"""Answers sent while they are written."""

from __future__ import annotations

import asyncio
import json

import pytest

from halfrate.domain.outcome import Answered, Delta, Finish
from halfrate.domain.usage import Usage
from halfrate.server import streams

ASK = {"contents": [{"parts": [{"text": "one two  three"}]}]}
SSE = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
ARRAY = "/v1beta/models/gemini-x:streamGenerateContent"


def events(text: str) -> list[dict]:
    """Read as the strictest of the official SDKs does: nothing but data and empty lines."""
    read = []
    for line in text.split("\r\n"):
        if line:
            assert line.startswith("data: "), line
            read.append(json.loads(line.removeprefix("data: ")))
    return read


def said(pieces: list[dict]) -> str:
    return "".join(
        part.get("text", "") for piece in pieces for part in piece["candidates"][0]["content"]["parts"]
    )


async def test_pieces_say_what_the_whole_answer_says(client):
    whole = (await client.post("/v1beta/models/gemini-x:generateContent", json=ASK)).json()
    reply = await client.post(SSE, json=ASK)
    assert reply.headers["content-type"] == "text/event-stream"
    pieces = events(reply.text)
    assert len(pieces) == 4
    assert said(pieces) == said([whole]) == "one two  three"
    *before, last = pieces
    assert not any("finishReason" in piece["candidates"][0] or "usageMetadata" in piece for piece in before)
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == whole["usageMetadata"]
    assert len({piece["responseId"] for piece in pieces}) == 1


async def test_without_sse_it_is_one_array(client):
    reply = await client.post(ARRAY, json=ASK)
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"
    assert said(reply.json()) == "one two  three"


async def test_every_candidate_is_told_by_its_index(client):
    reply = await client.post(SSE, json=ASK | {"generationConfig": {"candidateCount": 2}})
    pieces = events(reply.text)
    texts = ["", ""]
    for piece in pieces:
        for candidate in piece["candidates"]:
            texts[candidate["index"]] += candidate["content"]["parts"][0]["text"]
    assert texts == ["one two  three"] * 2
    assert [c["finishReason"] for c in pieces[-1]["candidates"]] == ["STOP", "STOP"]


async def test_a_call_of_a_function_comes_last(client):
    asked = {
        "tools": [{"functionDeclarations": [{"name": "look"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    }
    (last,) = events((await client.post(SSE, json=ASK | asked)).text)
    assert last["candidates"][0]["content"]["parts"] == [{"functionCall": {"name": "look", "args": {}}}]


@pytest.mark.parametrize(
    ("path", "text", "status"),
    [(SSE, "fail me", 500), (ARRAY, "fail me", 500), (SSE.replace("gemini-x", "none"), "x", 404)],
)
async def test_what_fails_before_the_first_piece_fails_as_any_call(client, path, text, status):
    reply = await client.post(path, json={"contents": [{"parts": [{"text": text}]}]})
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == status


async def test_what_fails_later_ends_the_stream_with_the_error(client, engine, monkeypatch):
    async def fall_silent(request, *, interactive, wrote):
        wrote(Delta("begun"))
        return engine._script(request)

    monkeypatch.setattr(engine, "answer", fall_silent)
    reply = await client.post(SSE, json={"contents": [{"parts": [{"text": "fail me"}]}]})
    begun, error = events(reply.text)
    assert said([begun]) == "begun"
    assert next(iter(error)) == "error"
    assert error["error"]["code"] == 500


async def test_a_silent_stream_is_kept_alive(client, engine, monkeypatch):
    """Between two pieces; before the first one there is no stream yet."""
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.01)

    async def slow(request, *, interactive, wrote):
        wrote(Delta("a"))
        await asyncio.sleep(0.1)
        return Answered.of("ab", Finish.STOP, Usage(1, 1))

    monkeypatch.setattr(engine, "answer", slow)
    reply = await client.post(SSE, json=ASK)
    assert "\r\n\r\n\r\n" in reply.text
    assert said(events(reply.text)) == "ab"
    assert said((await client.post(ARRAY, json=ASK)).json()) == "ab"
