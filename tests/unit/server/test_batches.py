"""Batches over HTTP, from create to results."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from halfrate.server import batches
from tests.unit.server.conftest import LIMITS, finished, until, uploaded


def line(key: str, text: str) -> bytes:
    return json.dumps({"key": key, "request": {"contents": [{"parts": [{"text": text}]}]}}).encode() + b"\n"


def create(client, batch: dict, model: str = "gemini-3.5-flash", version: str = "v1beta", **headers: str):
    return client.post(
        f"/{version}/models/{model}:batchGenerateContent", json={"batch": batch}, headers=headers
    )


async def test_a_file_is_answered_line_by_line_in_order(client):
    lines = [line("a", "one"), line("b", "fail me"), line("c", "three")]
    name = await uploaded(client, b"".join(lines))
    created = await create(client, {"displayName": "nightly", "inputConfig": {"fileName": name}})
    assert created.status_code == 200, created.text
    operation = created.json()
    assert operation["metadata"]["state"] == "BATCH_STATE_PENDING"
    assert operation["metadata"]["model"] == "models/gemini-3.5-flash"
    assert operation["metadata"]["inputConfig"] == {"fileName": name}
    assert operation["metadata"]["batchStats"]["requestCount"] == "3"
    assert "done" not in operation

    done = await finished(client, operation["name"])
    job_id = operation["name"].removeprefix("batches/")
    assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert done["metadata"]["batchStats"] == {
        "requestCount": "3",
        "successfulRequestCount": "2",
        "failedRequestCount": "1",
    }
    assert done["metadata"]["output"] == {"responsesFile": f"files/batch-{job_id}"}
    assert done["response"]["responsesFile"] == f"files/batch-{job_id}"
    assert float(done["metadata"]["halfrate"]["costUsd"]) > 0

    file = (await client.get(f"/v1beta/files/batch-{job_id}")).json()
    assert file["source"] == "GENERATED"
    downloaded = await client.get(file["downloadUri"])
    results = [json.loads(result) for result in downloaded.content.splitlines()]
    assert [result["key"] for result in results] == ["a", "b", "c"]
    assert results[0]["response"]["candidates"][0]["content"]["parts"] == [{"text": "one"}]
    assert results[0]["response"]["modelVersion"] == "scripted-1"
    assert results[1]["error"]["code"] == 13
    assert results[2]["response"]["candidates"][0]["content"]["parts"] == [{"text": "three"}]


async def test_inline_requests_are_answered_with_their_metadata(client):
    request = {"contents": [{"parts": [{"text": "hello"}]}]}
    items = [
        {"request": request, "metadata": {"key": "k1", "some_tag": "x"}},
        {"request": request},
        {"request": request | {"tools": [{"googleSearch": {}}]}, "metadata": {"key": "k3"}},
        {"request": request | {"model": "models/other-name"}},
    ]
    created = await create(client, {"input_config": {"requests": {"requests": items}}})
    assert created.status_code == 200, created.text
    assert "inputConfig" not in created.json()["metadata"]
    done = await finished(client, created.json()["name"])
    assert done["metadata"]["output"] == {"inlinedResponses": done["response"]["inlinedResponses"]}
    results = done["response"]["inlinedResponses"]["inlinedResponses"]
    assert [result.get("metadata") for result in results] == [
        {"key": "k1", "some_tag": "x"},
        None,
        {"key": "k3"},
        None,
    ]
    assert results[0]["response"]["candidates"][0]["content"]["parts"] == [{"text": "hello"}]
    assert results[2]["error"]["code"] == 12
    assert "google_search" in results[2]["error"]["message"]
    assert results[3]["response"]["candidates"][0]["content"]["parts"] == [{"text": "hello"}]
    assert all(set(result.get("error", {})) <= {"code", "message"} for result in results)
    (listed,) = (await client.get("/v1beta/batches")).json()["operations"]
    assert "output" not in listed["metadata"]
    assert "response" not in listed


async def test_many_inline_results_are_whole_compressed_or_not(client):
    items = [
        {"request": {"contents": [{"parts": [{"text": f"text {n} " * 40}]}]}, "metadata": {"n": str(n)}}
        for n in range(2_000)
    ]
    created = await create(client, {"inputConfig": {"requests": {"requests": items}}})
    packed = await finished(client, created.json()["name"])
    plain = await client.get(f"/v1/{created.json()['name']}", headers={"Accept-Encoding": "identity"})
    assert plain.json() == packed
    results = packed["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
    assert [result["metadata"]["n"] for result in results] == [str(n) for n in range(2_000)]
    assert packed["response"]["inlinedResponses"]["inlinedResponses"] == results


async def test_bad_lines_refuse_the_batch_with_their_numbers_unless_skipped(client):
    name = await uploaded(client, line("a", "x") + b'{"key": "b", "request": {"foo": 1}}\n' + b"{\n")
    refused = await create(client, {"inputConfig": {"fileName": name}})
    assert refused.status_code == 400
    assert "Error on line 2: invalid JSON, near column 26: no such field: 'foo'" in refused.text
    assert "Error on line 3: invalid JSON" in refused.text
    skipped = await create(client, {"inputConfig": {"fileName": name}}, **{"X-Halfrate-On-Invalid": "skip"})
    assert skipped.status_code == 200, skipped.text
    done = await finished(client, skipped.json()["name"])
    assert done["metadata"]["batchStats"]["failedRequestCount"] == "2"


@pytest.mark.parametrize(
    ("batch", "model", "status", "says"),
    [
        ({"inputConfig": {"fileName": "files/nope"}}, "gemini-x", 403, "File nope or it may not exist"),
        ({"inputConfig": {"fileName": "nope"}}, "gemini-x", 400, "is not the name of a file"),
        ({"inputConfig": {"foo": 1}}, "gemini-x", 400, "Unknown name \\\"foo\\\" at 'batch.input_config'"),
        ({}, "gemini-x", 400, "either file_name or requests"),
        ({"inputConfig": {"requests": {"requests": [{"request": {}}]}}}, "llama", 404, "models/llama"),
        ({"inputConfig": {"requests": {"requests": [{"request": {}}]}}}, "google/x", 404, "not found"),
    ],
)
async def test_a_wrong_create_is_refused(client, batch, model, status, says):
    reply = await create(client, batch, model)
    assert reply.status_code == status, reply.text
    assert says in reply.text


async def test_the_faults_of_inline_requests_are_told_within_bounds(client):
    items = [{"request": {"foo": 1}}] * 30
    refused = await create(client, {"inputConfig": {"requests": {"requests": items}}})
    error = refused.json()["error"]
    sentences = error["message"].splitlines()
    assert "'batch.input_config.requests.requests[0].request'" in sentences[0]
    assert (len(sentences), sentences[-1]) == (21, "... and 10 more.")
    assert len(error["details"][0]["fieldViolations"]) == 20


async def test_a_body_that_is_too_large_is_refused(client):
    request = {"contents": [{"parts": [{"text": "x" * LIMITS.inline_bytes}]}]}
    reply = await create(client, {"inputConfig": {"requests": {"requests": [{"request": request}]}}})
    assert reply.status_code == 400
    message = reply.json()["error"]["message"]
    assert message.startswith("Request payload size exceeds the limit: 2000000 bytes.")

    async def endless():
        while True:
            yield b" " * 65536

    reply = await client.post("/v1beta/models/gemini-x:batchGenerateContent", content=endless())
    assert reply.status_code == 400


async def test_large_bodies_take_turns(client):
    request = {"contents": [{"parts": [{"text": "x" * 700_000}]}]}
    batch = {"inputConfig": {"requests": {"requests": [{"request": request}, {"request": request}]}}}
    replies = await asyncio.gather(*(create(client, batch) for _ in range(3)))
    assert [reply.status_code for reply in replies] == [200, 200, 200]


async def test_lists_are_paged_newest_first(client):
    items = [{"request": {"contents": [{"parts": [{"text": "x"}]}]}}]
    names = [
        (await create(client, {"inputConfig": {"requests": {"requests": items}}})).json()["name"]
        for _ in range(3)
    ]
    first = (await client.get("/v1alpha/batches?pageSize=2")).json()
    rest = (await client.get(f"/v1/batches?pageSize=2&pageToken={first['nextPageToken']}")).json()
    assert [entry["name"] for entry in first["operations"] + rest["operations"]] == names[::-1]
    assert "nextPageToken" not in rest


async def test_cancel_keeps_what_was_answered(client, engine):
    engine._delay_seconds = 3600
    name = await uploaded(client, b"".join(line(str(n), f"text {n}") for n in range(20)))
    batch = (await create(client, {"inputConfig": {"fileName": name}})).json()["name"]

    async def started() -> bool:
        return engine.calls > 0

    await until(started)
    for body in (b"", b"{}"):
        cancelled = await client.post(f"/v1/{batch}:cancel", content=body)
        assert (cancelled.status_code, cancelled.json()) == (200, {})
    done = await finished(client, batch)
    assert done["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert done["error"]["code"] == 1
    output = done["metadata"]["output"]["responsesFile"]
    results = (await client.get(f"/v1/{output}:download?alt=media")).content.splitlines()
    assert [json.loads(result)["key"] for result in results] == [str(n) for n in range(20)]
    assert {json.loads(result)["error"]["code"] for result in results} == {1}


async def test_a_deleted_batch_is_gone(client):
    items = [{"request": {"contents": [{"parts": [{"text": "x"}]}]}}]
    name = (await create(client, {"inputConfig": {"requests": {"requests": items}}})).json()["name"]
    await finished(client, name)
    assert (await client.delete(f"/v1/{name}")).json() == {}
    for reply in (
        await client.get(f"/v1/{name}"),
        await client.post(f"/v1/{name}:cancel"),
        await client.delete(f"/v1/{name}"),
    ):
        assert reply.status_code == 404
        assert reply.json()["error"]["status"] == "NOT_FOUND"
    assert (await client.get("/v1/batches")).json() == {}


async def test_results_can_be_read_while_the_job_runs(client, engine):
    name = await uploaded(client, b"".join(line(str(n), "x") for n in range(3)) + line("slow", "slow"))
    gate = asyncio.Event()
    answer_many = engine.answer_many

    async def slowly(requests, took):
        held = []

        def take(position, outcome):
            if requests[position].messages[-1].text == "slow":
                held.append((position, outcome))
            else:
                took(position, outcome)

        await answer_many(requests, take)
        await gate.wait()
        for position, outcome in held:
            took(position, outcome)

    engine.answer_many = slowly
    batch = (await create(client, {"inputConfig": {"fileName": name}})).json()["name"]
    partial = f"/v1/files/batch-{batch.removeprefix('batches/')}:download?alt=media"

    async def three_lines() -> bool:
        return len((await client.get(partial)).content.splitlines()) == 3

    await until(three_lines)
    assert (await client.get(f"/v1/{batch}")).json()["metadata"]["state"] == "BATCH_STATE_RUNNING"
    gate.set()
    await finished(client, batch)
    assert len((await client.get(partial)).content.splitlines()) == 4


async def test_a_batch_may_be_given_a_deadline(client):
    name = await uploaded(client, line("a", "one"))
    request = {"contents": [{"parts": [{"text": "hello"}]}]}
    inline = {"inputConfig": {"requests": {"requests": [{"request": request}]}}}
    for batch in ({"inputConfig": {"fileName": name}}, inline):
        default = (await create(client, batch)).json()["metadata"]
        own = (await create(client, batch, **{"X-Halfrate-Deadline": "3600"})).json()["metadata"]
        for metadata, hours in ((default, 48), (own, 1)):
            created = datetime.fromisoformat(metadata["createTime"])
            deadline = datetime.fromisoformat(metadata["halfrate"]["deadline"])
            assert deadline - created == timedelta(hours=hours)
        for wrong, says in (("soon", "number of seconds"), ("999999", "at most 48 hours"), ("0", "ahead")):
            refused = await create(client, batch, **{"X-Halfrate-Deadline": wrong})
            assert refused.status_code == 400
            assert says in refused.json()["error"]["message"]


async def test_what_failed_is_tried_again_as_a_batch_that_says_so(client):
    name = await uploaded(client, line("a", "one") + line("b", "fail me") + line("c", "fail me too"))
    first = (await create(client, {"displayName": "nightly", "inputConfig": {"fileName": name}})).json()
    await finished(client, first["name"])
    made = await client.post(f"/v1/{first['name']}:retry", headers={"X-Halfrate-Deadline": "60"})
    assert made.status_code == 200, made.text
    metadata = made.json()["metadata"]
    assert metadata["halfrate"]["retryOf"] == first["name"]
    assert metadata["displayName"] == "nightly (retry)"
    assert metadata["batchStats"]["requestCount"] == "2"
    again = await client.post(f"/v1beta/{first['name']}:retry", json={})
    assert again.json()["name"] == made.json()["name"]
    ended = await finished(client, made.json()["name"])
    results = await client.get(f"/v1/{ended['response']['responsesFile']}:download")
    assert [json.loads(result)["key"] for result in results.content.splitlines()] == ["b", "c"]
    for job, status in (("batches/none", 404), (first["name"], 200)):
        assert (await client.post(f"/v1/{job}:retry")).status_code == status
    good = (
        await create(client, {"inputConfig": {"fileName": await uploaded(client, line("a", "x"))}})
    ).json()
    await finished(client, good["name"])
    refused = await client.post(f"/v1/{good['name']}:retry")
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


async def test_inline_results_that_have_expired_leave_the_batch_to_be_shown(client, app):
    request = {"contents": [{"parts": [{"text": "hello"}]}]}
    created = await create(client, {"inputConfig": {"requests": {"requests": [{"request": request}]}}})
    done = await finished(client, created.json()["name"])
    own = done["metadata"]["halfrate"]
    assert own["promise"]["holds"] is True
    assert own["resultsExpireTime"] > done["metadata"]["endTime"]
    app.blobs.delete(f"outputs/{created.json()['name'].removeprefix('batches/')}")
    shown = (await client.get(f"/v1beta/{created.json()['name']}")).json()
    assert shown["done"] is True
    assert "output" not in shown["metadata"]
    assert shown["metadata"]["halfrate"] == own


async def test_a_list_tells_of_few_unfinished_batches_why_they_wait(client, engine, monkeypatch):
    """Each looks at all that go before it, and there may be very many."""
    monkeypatch.setattr(batches, "OUTLOOKS_MAX", 2)
    engine._delay_seconds = 3_600
    name = await uploaded(client, b'{"request": {"contents": [{"parts": [{"text": "hello"}]}]}}')
    for _ in range(4):
        await create(client, {"inputConfig": {"fileName": name}})
    listed = (await client.get("/v1beta/batches")).json()["operations"]
    told = ["promise" in operation["metadata"]["halfrate"] for operation in listed]
    assert told == [True, True, False, False]


async def test_a_created_batch_and_each_in_a_list_say_what_they_wait_for(client, engine):
    await engine.die()
    name = await uploaded(client, b'{"request": {"contents": [{"parts": [{"text": "hello"}]}]}}')
    created = (await create(client, {"inputConfig": {"fileName": name}})).json()["metadata"]["halfrate"]
    assert created["waitingCode"] in ("planning", "engine_down", "queued")
    assert created["promise"]["by"] > "2026"
    (listed,) = (await client.get("/v1beta/batches")).json()["operations"]
    assert "promise" in listed["metadata"]["halfrate"]


async def test_a_line_may_name_its_model_by_any_of_its_names(client):
    def request(model):
        return {"request": {"model": model, "contents": [{"parts": [{"text": "hi"}]}]}}

    requests = [request(name) for name in ("models/scripted", "other-name", "gemini-y")]
    body = {"batch": {"inputConfig": {"requests": {"requests": requests}}}}
    batch = await client.post("/v1/models/gemini-x:batchGenerateContent", json=body)
    done = await finished(client, batch.json()["name"])
    answered = done["response"]["inlinedResponses"]["inlinedResponses"]
    assert len(answered) == 3
    assert all("response" in each for each in answered)
