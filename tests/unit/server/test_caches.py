"""Cached contents over HTTP, and their use in calls and batches."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from halfrate.app import open_app
from halfrate.config import Config, ModelConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine
from halfrate.serve import asgi_of
from tests.unit.server.conftest import finished, uploaded

WORDS = " ".join(f"word{number}" for number in range(40))
NEW = {
    "model": "models/gemini-x",
    "displayName": "the manual",
    "systemInstruction": {"parts": [{"text": "be brief"}], "role": "user"},
    "contents": [{"parts": [{"text": WORDS}], "role": "user"}],
}
UNKNOWN = "CachedContent not found (or permission denied)"


async def created(client, **fields):
    answer = await client.post("/v1/cachedContents", json=NEW | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask(name, text="and now?", **fields):
    return {"contents": [{"parts": [{"text": text}]}], "cachedContent": name, **fields}


def lifetime(cache):
    minutes = [
        int(cache[field][14:16]) + 60 * int(cache[field][11:13]) for field in ("createTime", "expireTime")
    ]
    return (minutes[1] - minutes[0]) % (24 * 60)


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_one_is_created_shown_listed_changed_and_deleted(client, version):
    answer = await client.post(f"/{version}/cachedContents", json=NEW)
    cache = answer.json()
    assert answer.status_code == 200
    assert cache["name"].startswith("cachedContents/")
    assert cache["model"] == "models/gemini-x"
    assert cache["displayName"] == "the manual"
    assert cache["usageMetadata"]["totalTokenCount"] > 40
    assert lifetime(cache) == 60
    assert "contents" not in cache
    assert "systemInstruction" not in cache
    one = f"/{version}/{cache['name']}"
    assert (await client.get(one)).json() == cache
    assert (await client.get(f"/{version}/cachedContents")).json() == {"cachedContents": [cache]}
    changed = await client.patch(one, json={"ttl": "7200s"})
    assert lifetime(changed.json()) == 120
    assert (await client.get(one)).json() == changed.json()
    assert (await client.delete(one)).json() == {}
    assert (await client.get(f"/{version}/cachedContents")).json() == {}


async def test_what_is_gone_is_not_told_from_what_is_not_there(client):
    gone = await created(client)
    assert (await client.delete(f"/v1/{gone['name']}")).status_code == 200
    for name in (gone["name"], "cachedContents/nosuch"):
        one = f"/v1/{name}"
        calls = [
            client.get(one),
            client.delete(one),
            client.patch(one, json={"ttl": "60s"}),
            client.post("/v1/models/gemini-x:generateContent", json=ask(name)),
            client.post("/v1/models/gemini-x:streamGenerateContent?alt=sse", json=ask(name)),
            client.post(
                "/v1/models/gemini-x:countTokens",
                json={"generateContentRequest": {"model": "models/gemini-x", **ask(name)}},
            ),
        ]
        for call in calls:
            refused = await call
            assert refused.status_code == 403
            assert refused.json()["error"]["message"] == UNKNOWN
            assert refused.json()["error"]["status"] == "PERMISSION_DENIED"


async def test_they_are_listed_by_pages_newest_first(client):
    names = [(await created(client))["name"] for _ in range(3)]
    first = (await client.get("/v1/cachedContents?pageSize=2")).json()
    second = (
        await client.get("/v1/cachedContents", params={"pageSize": 2, "pageToken": first["nextPageToken"]})
    ).json()
    assert [each["name"] for each in first["cachedContents"] + second["cachedContents"]] == names[::-1]
    assert "nextPageToken" not in second


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": None}, 400, "model: is None"),
        ({"model": "gemini-x"}, 400, "name a model as in"),
        ({"model": "models/nobody"}, 404, "models/nobody is not found"),
        ({"displayName": "x" * 129}, 400, "longer than 128"),
        ({"ttl": "60s", "expireTime": "2999-01-01T00:00:00Z"}, 400, "cannot both be set"),
        ({"ttl": "60"}, 400, "it must be seconds with an 's'"),
        ({"ttl": "0s"}, 400, "must be ahead"),
        ({"ttl": "-5s"}, 400, "must be ahead"),
        ({"ttl": "999999999999s"}, 400, "at most ten years"),
        ({"expireTime": "2020-01-01T00:00:00Z"}, 400, "must be ahead"),
        ({"expireTime": "soon"}, 400, "an instant with its zone"),
        ({"contents": [], "systemInstruction": None}, 400, "contents: is empty"),
        ({"contents": [{"role": "judge", "parts": [{"text": "x"}]}]}, 400, "valid role"),
        ({"tools": [{"googleSearch": {}}]}, 400, "google_search cannot be used yet"),
        ({"foo": 1}, 400, "foo"),
        (
            {"contents": [{"parts": [{"fileData": {"fileUri": "files/nosuch"}}]}]},
            403,
            "File nosuch or it may not exist",
        ),
    ],
)
async def test_what_cannot_be_kept_is_refused(client, fields, status, says):
    answer = await client.post("/v1/cachedContents", json=NEW | fields)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]
    assert (await client.get("/v1/cachedContents")).json() == {}


async def test_too_small_names_both_counts(client):
    small = [{"parts": [{"text": "one two three"}]}]
    answer = await client.post("/v1/cachedContents", json=NEW | {"contents": small})
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    counted = re.search(
        r"Cached content is too small\. total_token_count=(\d+), min_total_token_count=32 ", message
    )
    assert 0 < int(counted[1]) < 32


@pytest.mark.parametrize("contents", [None, [{"parts": [{"text": "hi"}]}]])
async def test_a_long_system_instruction_is_enough(client, contents):
    system = {"parts": [{"text": WORDS}]}
    cache = await created(client, contents=contents, systemInstruction=system)
    assert cache["usageMetadata"]["totalTokenCount"] >= 40


@pytest.mark.parametrize(
    ("mask", "body", "says"),
    [
        ("", {}, "set one of them"),
        ("", {"ttl": "60s", "expireTime": "2999-01-01T00:00:00Z"}, "cannot both be set"),
        ("?updateMask=displayName", {"displayName": "x"}, "only ttl and expire_time"),
        ("", {"displayName": "x"}, "cannot be changed"),
        ("", {"contents": NEW["contents"], "ttl": "60s"}, "cannot be changed"),
    ],
)
async def test_only_the_expiry_can_be_changed(client, mask, body, says):
    cache = await created(client)
    answer = await client.patch(f"/v1/{cache['name']}{mask}", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert (await client.get(f"/v1/{cache['name']}")).json() == cache


@pytest.mark.parametrize("mask", ["ttl", "expireTime", "expire_time"])
async def test_a_mask_of_the_expiry_is_taken(client, mask):
    cache = await created(client)
    answer = await client.patch(f"/v1/{cache['name']}?updateMask={mask}", json={"ttl": "60s"})
    assert lifetime(answer.json()) == 1


async def test_an_answer_is_what_it_would_be_with_all_of_it_said(client, engine):
    tools = [{"functionDeclarations": [{"name": "look", "description": "Looks."}]}]
    cache = await created(client, tools=tools)
    named = await client.post("/v1/models/other-name:generateContent", json=ask(cache["name"]))
    assert named.status_code == 200, named.text
    said = {
        "systemInstruction": NEW["systemInstruction"],
        "contents": NEW["contents"] + ask("")["contents"],
        "tools": tools,
    }
    whole = await client.post("/v1/models/gemini-x:generateContent", json=said)
    assert named.json()["usageMetadata"] == whole.json()["usageMetadata"]
    assert engine.answered[-2] == engine.answered[-1]
    counted = await client.post(
        "/v1/models/gemini-x:countTokens",
        json={"generateContentRequest": {"model": "models/gemini-x", **ask(cache["name"])}},
    )
    assert counted.json()["totalTokens"] == whole.json()["usageMetadata"]["promptTokenCount"]
    assert counted.json()["cachedContentTokenCount"] == cache["usageMetadata"]["totalTokenCount"]
    streamed = await client.post("/v1/models/gemini-x:streamGenerateContent?alt=sse", json=ask(cache["name"]))
    assert streamed.status_code == 200
    assert engine.answered[-1] == engine.answered[-2]


async def test_a_malformed_name_and_what_cannot_stand_beside_one(client):
    name = (await created(client))["name"]
    for fields, says in (
        ({"cachedContent": "nosuch"}, "Name it as cachedContents/ID"),
        ({"systemInstruction": {"parts": [{"text": "x"}]}}, "can not be used with GenerateContent request"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}, "can not be used with"),
    ):
        answer = await client.post("/v1/models/gemini-x:generateContent", json=ask(name) | fields)
        assert answer.status_code == 400
        assert says in answer.json()["error"]["message"]
    assert (await client.get("/v1/cachedContents/No_Such")).status_code == 400


async def test_functions_kept_and_an_answer_in_a_form_do_not_go_together(client):
    tools = [{"functionDeclarations": [{"name": "look", "description": "Looks."}]}]
    cache = await created(client, tools=tools)
    config = {"responseMimeType": "application/json"}
    answer = await client.post(
        "/v1/models/gemini-x:generateContent", json=ask(cache["name"], generationConfig=config)
    )
    assert answer.status_code == 400
    assert "The cached content has functions" in answer.text


async def test_what_only_the_server_says_is_passed_over(client):
    said = {"name": "cachedContents/mine", "createTime": "x", "usageMetadata": {"totalTokenCount": 1}}
    cache = await created(client, **said)
    assert cache["name"] != said["name"]
    assert cache["usageMetadata"]["totalTokenCount"] > 40


async def test_only_the_model_it_was_made_for_uses_it(tmp_path):
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={
            "one": ModelConfig(path="one", aliases=("gemini-x",)),
            "other": ModelConfig(path="other"),
            "embeds": ModelConfig(path="embeds", kind=Kind.EMBEDDING),
        },
    )
    async with open_app(config, make_engine=lambda _: ScriptedEngine()) as app:
        transport = httpx.ASGITransport(asgi_of(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            cache = await created(client)
            says = "has to be the same as that of its CachedContent: models/gemini-x has"
            for path, body in (
                ("generateContent", ask(cache["name"])),
                ("batchGenerateContent", inline(ask(cache["name"]))),
            ):
                assert (await client.post(f"/v1/models/one:{path}", json=body)).status_code == 200
                refused = await client.post(f"/v1/models/other:{path}", json=body)
                assert refused.status_code == 400
                assert says in refused.json()["error"]["message"]
            no_writer = await client.post("/v1/cachedContents", json=NEW | {"model": "models/embeds"})
            assert no_writer.status_code == 400


def inline(*requests):
    return {"batch": {"inputConfig": {"requests": {"requests": [{"request": each} for each in requests]}}}}


async def test_inline_lines_of_a_batch_use_it(client, engine):
    cache = await created(client)
    body = inline(ask(cache["name"], "one"), ask(cache["name"], "two"))
    batch = (await client.post("/v1/models/gemini-x:batchGenerateContent", json=body)).json()
    done = await finished(client, batch["name"])
    responses = done["response"]["inlinedResponses"]["inlinedResponses"]
    assert [each["response"]["candidates"][0]["content"]["parts"][0]["text"] for each in responses] == [
        "one",
        "two",
    ]
    assert all(len(request.messages) == 3 for request in engine.answered)


async def test_a_batch_has_it_though_it_is_deleted_in_between(client, engine):
    cache = await created(client)
    lines = b"".join(
        json.dumps({"key": str(number), "request": ask(cache["name"], f"q{number}")}).encode() + b"\n"
        for number in range(20)
    )
    name = await uploaded(client, lines)
    batch = (
        await client.post(
            "/v1/models/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": name}}}
        )
    ).json()
    assert (await client.delete(f"/v1/{cache['name']}")).status_code == 200
    done = await finished(client, batch["name"])
    assert done["metadata"]["batchStats"]["successfulRequestCount"] == "20"


async def test_the_creation_of_a_batch_names_the_lines_whose_cache_is_not_there(client):
    cache = await created(client)
    lines = [ask(cache["name"]), ask("cachedContents/nosuch"), ask("cachedContents/neither")]
    refused = await client.post("/v1/models/gemini-x:batchGenerateContent", json=inline(*lines))
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].splitlines() == [
        f"Error on line 2: cachedContents/nosuch: {UNKNOWN}",
        f"Error on line 3: cachedContents/neither: {UNKNOWN}",
    ]


async def test_a_batch_that_keeps_going_fails_those_lines(client):
    lines = [{"key": "a", "request": ask("cachedContents/nosuch")}, {"key": "b", "request": ask("")}]
    del lines[1]["request"]["cachedContent"]
    name = await uploaded(client, b"".join(json.dumps(each).encode() + b"\n" for each in lines))
    batch = await client.post(
        "/v1/models/gemini-x:batchGenerateContent",
        json={"batch": {"inputConfig": {"fileName": name}}},
        headers={"X-Halfrate-On-Invalid": "skip"},
    )
    done = await finished(client, batch.json()["name"])
    output = await client.get(f"/v1/{done['response']['responsesFile']}:download?alt=media")
    first, second = map(json.loads, output.text.splitlines())
    assert first == {"key": "a", "error": {"code": 7, "message": UNKNOWN}}
    assert "response" in second


async def test_a_file_that_names_very_many_is_refused(client):
    lines = b"".join(
        json.dumps({"key": str(number), "request": ask(f"cachedContents/c{number}")}).encode() + b"\n"
        for number in range(101)
    )
    name = await uploaded(client, lines)
    refused = await client.post(
        "/v1/models/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": name}}}
    )
    assert refused.status_code == 400
    assert "more than 100 cached contents" in refused.text
