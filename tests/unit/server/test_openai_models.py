"""Chat completions and models in OpenAI's dialect, under each of its prefixes."""

from __future__ import annotations

import json

import pytest

from halfrate.domain.outcome import Cause, Failed
from halfrate.server.openai_models import last_events
from halfrate.wire.openai.completions import CompletionStream

PREFIXES = ["/v1/openai", "/v1beta/openai", "/openai/v1"]
ASK = {"model": "gemini-x", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_an_answer(client, prefix):
    reply = await client.post(f"{prefix}/chat/completions", json=ASK)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["choices"][0]["message"]["content"] == "one two three"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["prompt_tokens"] == 4
    assert body["created"] > 1e9


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\r\n") if line]


async def test_a_stream(client):
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    reply = await client.post("/openai/v1/chat/completions", json=ASK | stream)
    assert reply.headers["content-type"] == "text/event-stream"
    *chunks, usage, done = events(reply.text)
    read = [json.loads(chunk) for chunk in chunks]
    assert read[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in read) == "one two three"
    assert len(read) == 5  # who speaks, three words, why it ends
    assert read[-1]["choices"][0]["finish_reason"] == "stop"
    assert json.loads(usage)["usage"]["completion_tokens"] == 3
    assert done == "[DONE]"


async def test_a_stream_without_usage_does_not_speak_of_it(client):
    reply = await client.post("/openai/v1/chat/completions", json=ASK | {"stream": True})
    assert "usage" not in reply.text
    assert events(reply.text)[-1] == "[DONE]"


def test_what_fails_half_way_is_told_as_an_event():
    stream = CompletionStream(id="1", model="m", created=1, candidates=1, include_usage=True)
    (event,) = last_events(stream, Failed(Cause.ENGINE_DIED, "It died."))
    assert json.loads(event)["error"]["message"] == "It died."


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_at_once_is_an_error_and_no_stream(client, stream):
    fails = ASK | {"messages": [{"role": "user", "content": "fail me"}], "stream": stream}
    reply = await client.post("/openai/v1/chat/completions", json=fails)
    assert reply.status_code == 500
    assert reply.json()["error"]["type"] == "server_error"


async def test_errors_are_in_the_form_of_the_prefix(client):
    wrong = ASK | {"temperature": 9}
    plain = await client.post("/openai/v1/chat/completions", json=wrong)
    assert plain.status_code == 400
    error = plain.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "temperature", None)
    assert "not from 0 to 2" in error["message"]
    layer = await client.post("/v1beta/openai/chat/completions", json=wrong)
    assert layer.status_code == 400
    assert layer.json() == [
        {"error": {"code": 400, "message": error["message"], "status": "INVALID_ARGUMENT"}}
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/responses", 404),
        ("PUT", "/chat/completions", 404),
        ("GET", "/models/nobody", 404),
    ],
)
async def test_what_is_not_there(client, method, path, status):
    for prefix in PREFIXES:
        reply = await client.request(method, prefix + path)
        assert reply.status_code == status
        said = reply.json()
        assert isinstance(said, list) == (prefix != "/openai/v1")


async def test_a_name_may_hold_anything_and_is_refused_in_its_form(client):
    for path in ("models/a%0Ab", "files/a%0A", "batches/a%0Ab/cancel", "nothing%0A"):
        plain = await client.get(f"/openai/v1/{path}")
        assert (plain.status_code, plain.json()["error"]["code"]) == (404, "not_found")
        layer = await client.get(f"/v1beta/openai/{path}")
        assert (layer.status_code, layer.json()[0]["error"]["status"]) == (404, "NOT_FOUND")


async def test_an_unknown_model_is_refused(client):
    reply = await client.post("/openai/v1/chat/completions", json=ASK | {"model": "gpt-99"})
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"
    assert "scripted" in reply.json()["error"]["message"]


async def test_models(client):
    listed = (await client.get("/v1beta/openai/models")).json()
    assert [model["id"] for model in listed["data"]] == ["scripted", "other-name"]
    one = (await client.get("/v1beta/openai/models/models%2Fgemini-x")).json()
    assert (one["id"], one["object"], one["owned_by"]) == ("gemini-x", "model", "halfrate")
