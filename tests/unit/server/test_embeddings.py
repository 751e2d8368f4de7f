"""Embeddings over HTTP: one, several, and batches of them."""

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

V = "/v1beta/models"
EMBED = f"{V}/gemini-embedding-001"
NO_EMBEDDING = "makes embeddings and writes no text"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    """One model that writes, and one that embeds."""
    engines = {
        "writes": ScriptedEngine(model_version="writes-1"),
        "embeds": ScriptedEngine(model_version="embeds-1", dimensions=8),
    }
    price = PriceConfig(input=1_000_000, output=0)
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={
            "writer": ModelConfig(path="writes", aliases=("gemini-*",)),
            "embedder": ModelConfig(
                path="embeds", kind=Kind.EMBEDDING, aliases=("gemini-embedding-*",), price=price
            ),
        },
        limits=LIMITS,
    )
    async with open_app(config, make_engine=lambda entry: engines[entry.path]) as app:
        yield app


def asked(text: str, **options: object) -> dict[str, object]:
    return {"content": {"parts": [{"text": text}], "role": "user"}, **options}


def line(key: str, text: str, **options: object) -> bytes:
    return json.dumps({"key": key, "request": asked(text, **options)}).encode() + b"\n"


def writing(key: str, text: str) -> bytes:
    return json.dumps({"key": key, "request": {"contents": [{"parts": [{"text": text}]}]}}).encode() + b"\n"


async def create(client: httpx.AsyncClient, config: dict[str, object], **headers: str) -> httpx.Response:
    body = {"batch": {"displayName": "emb", "inputConfig": config}}
    return await client.post(f"{EMBED}:asyncBatchEmbedContent", json=body, headers=headers)


async def online(client: httpx.AsyncClient, text: str, **options: object) -> list[float]:
    reply = await client.post(f"{EMBED}:embedContent", json=asked(text, **options))
    assert reply.status_code == 200, reply.text
    values: list[float] = reply.json()["embedding"]["values"]
    return values


async def results(client: httpx.AsyncClient, operation: dict) -> list[dict]:
    name = operation["metadata"]["output"]["responsesFile"]
    downloaded = await client.get(f"/v1beta/{name}:download?alt=media")
    return [json.loads(result) for result in downloaded.content.splitlines()]


async def test_one_text(client: httpx.AsyncClient) -> None:
    reply = await client.post(f"{EMBED}:embedContent", json=asked("hello there"))
    assert reply.status_code == 200, reply.text
    assert len(reply.json()["embedding"]["values"]) == 8
    assert reply.json()["usageMetadata"]["promptTokenCount"] == 3


async def test_several_texts_come_in_their_order(client: httpx.AsyncClient) -> None:
    texts = ["one", "two", "one"]
    reply = await client.post(
        f"{EMBED}:batchEmbedContents",
        json={"requests": [asked(text, model="models/gemini-embedding-001") for text in texts]},
    )
    assert reply.status_code == 200, reply.text
    assert [each["values"] for each in reply.json()["embeddings"]] == [
        await online(client, text) for text in texts
    ]
    assert reply.json()["usageMetadata"]["promptTokenCount"] == 6


async def test_fewer_dimensions_and_no_more_than_there_are(client: httpx.AsyncClient) -> None:
    assert len(await online(client, "one", outputDimensionality=3)) == 3
    assert len(await online(client, "one", outputDimensionality=8)) == 8
    for verb, body in (
        ("embedContent", asked("one", outputDimensionality=9)),
        ("batchEmbedContents", {"requests": [asked("one"), asked("one", outputDimensionality=9)]}),
    ):
        reply = await client.post(f"{EMBED}:{verb}", json=body)
        assert reply.status_code == 400
        assert "output_dimensionality is 9, and the vectors of embeds-1 have 8" in reply.text


async def test_a_wrong_call_is_refused(client: httpx.AsyncClient) -> None:
    for body in (b"{}", b"{", b'{"contents": []}', json.dumps(asked("")).encode()):
        assert (await client.post(f"{EMBED}:embedContent", content=body)).status_code == 400
    assert (await client.post(f"{V}/nobody:embedContent", json=asked("one"))).status_code == 404


async def test_a_model_that_writes_does_not_embed_and_the_other_way_round(client: httpx.AsyncClient) -> None:
    refusals = [
        await client.post(f"{V}/writer:embedContent", json=asked("one")),
        await client.post(f"{V}/gemini-2.5-pro:batchEmbedContents", json={"requests": [asked("one")]}),
        await client.post(
            f"{V}/writer:asyncBatchEmbedContent",
            json={"batch": {"inputConfig": {"requests": {"requests": [{"request": asked("one")}]}}}},
        ),
    ]
    for reply in refusals:
        assert reply.status_code == 400
        assert "writes text and makes no embeddings. Ask for one that does: embedder." in reply.text
    contents = {"contents": [{"parts": [{"text": "one"}]}]}
    refusals = [
        await client.post(f"{EMBED}:generateContent", json=contents),
        await client.post(f"{EMBED}:streamGenerateContent?alt=sse", json=contents),
        await client.post(
            f"{EMBED}:batchGenerateContent",
            json={"batch": {"inputConfig": {"requests": {"requests": [{"request": contents}]}}}},
        ),
    ]
    for reply in refusals:
        assert reply.status_code == 400
        assert f"{NO_EMBEDDING}. Ask a model that writes: writer." in reply.text


async def test_a_file_is_embedded_line_by_line_in_order(client: httpx.AsyncClient) -> None:
    lines = [
        line("long", "a rather longer text than the others"),
        line("a", "one"),
        line("short", "one", output_dimensionality=2),
        line("b", "one", taskType="RETRIEVAL_DOCUMENT", title="T"),
        line("twin", "one"),
        line("empty", ""),
        line("wide", "one", outputDimensionality=9),
        b'{"content": {"parts": [{"text": "bare"}]}}\n',
    ]
    name = await uploaded(client, b"".join(lines))
    created = await create(client, {"file_name": name})  # as both SDKs spell it
    assert created.status_code == 200, created.text
    shown = created.json()["metadata"]
    assert shown["@type"].endswith(".EmbedContentBatch")
    assert shown["inputConfig"] == {"fileName": name}

    done = await finished(client, created.json()["name"])
    assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert done["response"]["@type"].endswith(".EmbedContentBatchOutput")
    assert done["metadata"]["batchStats"] == {
        "requestCount": "8",
        "successfulRequestCount": "6",
        "failedRequestCount": "2",
    }
    # 8 + 5 * 2 tokens at a dollar a million, half of it for a batch; the failed ones cost nothing.
    assert done["metadata"]["halfrate"]["costUsd"] == "0.000009"
    found = await results(client, done)
    keys = ["long", "a", "short", "b", "twin", "empty", "wide", None]
    assert [each.get("key") for each in found] == keys
    assert found[1]["response"]["embedding"]["values"] == await online(client, "one")
    assert found[1]["response"]["tokenCount"] == "2"
    assert found[2]["response"]["embedding"]["values"] == await online(client, "one", outputDimensionality=2)
    titled = await online(client, "one", taskType="RETRIEVAL_DOCUMENT", title="T")
    assert (
        found[3]["response"]["embedding"]["values"] == titled != found[1]["response"]["embedding"]["values"]
    )
    assert found[4]["response"] == found[1]["response"]
    assert found[5]["error"] == {"code": 3, "message": "content is empty. There is nothing to embed."}
    assert found[6]["error"]["code"] == 3
    assert "8 dimensions" in found[6]["error"]["message"]


async def test_equal_texts_are_embedded_once(app: App, client: httpx.AsyncClient) -> None:
    name = await uploaded(client, b"".join(line(str(n), f"text {n % 3}") for n in range(30)))
    created = await create(client, {"file_name": name})
    done = await finished(client, created.json()["name"])
    assert done["metadata"]["batchStats"]["successfulRequestCount"] == "30"
    engine = app.models.resolve("embedder").engine
    assert isinstance(engine, ScriptedEngine)
    assert len(engine.answered) == 3


async def test_inline_texts_come_back_where_sdks_look_for_them(client: httpx.AsyncClient) -> None:
    items = [
        {"request": asked("one"), "metadata": {"tag": "x"}},
        {"request": asked("two", outputDimensionality=9)},
    ]
    created = await create(client, {"requests": {"requests": items}})
    assert created.status_code == 200, created.text
    done = await finished(client, created.json()["name"])
    assert "inlinedResponses" not in done["metadata"]["output"]
    first, second = done["metadata"]["output"]["inlinedEmbedContentResponses"]["inlinedResponses"]
    assert first["metadata"] == {"tag": "x"}
    assert first["response"]["embedding"]["values"] == await online(client, "one")
    assert second["error"]["code"] == 3
    assert (
        done["response"]["inlinedEmbedContentResponses"]
        == (done["metadata"]["output"]["inlinedEmbedContentResponses"])
    )
    listed = (await client.get("/v1beta/batches")).json()["operations"]
    assert listed[0]["metadata"]["@type"].endswith(".EmbedContentBatch")
    assert "output" not in listed[0]["metadata"]


async def test_an_inline_request_to_write_is_no_embedding(client: httpx.AsyncClient) -> None:
    item = {"request": {"contents": [{"parts": [{"text": "one"}]}]}}
    reply = await create(client, {"requests": {"requests": [item]}})
    assert reply.status_code == 400
    assert "Unknown name \\\"contents\\\" at 'batch.input_config.requests.requests[0].request'" in reply.text


async def test_lines_of_the_wrong_kind_are_refused_with_their_numbers(client: httpx.AsyncClient) -> None:
    mixed = await uploaded(client, line("a", "one") + b"\n" + writing("b", "two") + line("c", "three"))
    reply = await create(client, {"file_name": mixed})
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("Error on line 3: the line asks for a text (contents)")
    reply = await client.post(
        f"{V}/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": mixed}}}
    )
    assert reply.status_code == 400
    said = reply.json()["error"]["message"].splitlines()
    assert [each.split(":")[0] for each in said] == ["Error on line 1", "Error on line 4"]

    many = await uploaded(client, b"".join(line(str(n), "x") for n in range(100)))
    reply = await client.post(
        f"{V}/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": many}}}
    )
    assert reply.json()["error"]["message"].splitlines()[-1] == "... and 80 more."


async def test_a_file_of_requests_to_write_is_no_input_of_embeddings(client: httpx.AsyncClient) -> None:
    name = await uploaded(client, b"\n" + b"".join(writing(str(n), "x") for n in range(100)))
    reply = await create(client, {"file_name": name})
    assert reply.status_code == 400
    said = reply.json()["error"]["message"].splitlines()
    assert said[0].startswith("Error on line 2: the line asks for a text (contents)")
    assert said[19].startswith("Error on line 21: ")
    assert said[-1] == "... and 80 more."


async def test_a_job_that_keeps_going_makes_errors_of_lines_of_the_wrong_kind(
    client: httpx.AsyncClient,
) -> None:
    name = await uploaded(client, line("a", "one") + writing("b", "two"))
    created = await create(client, {"file_name": name}, **{"x-halfrate-on-invalid": "skip"})
    done = await finished(client, created.json()["name"])
    first, second = await results(client, done)
    assert first["response"]["embedding"]["values"] == await online(client, "one")
    assert second["key"] == "b"
    assert second["error"]["code"] == 3
    assert "create the batch with batchGenerateContent" in second["error"]["message"]


async def test_batches_of_embeddings_are_cancelled_deleted_and_tried_again(client: httpx.AsyncClient) -> None:
    name = await uploaded(client, line("a", "one"))
    batch = (await create(client, {"file_name": name})).json()["name"]
    await finished(client, batch)
    assert (await client.post(f"/v1beta/{batch}:cancel")).json() == {}
    assert (await client.post(f"/v1beta/{batch}:retry")).status_code == 400  # nothing failed
    assert (await client.delete(f"/v1beta/{batch}")).json() == {}
    assert (await client.get(f"/v1beta/{batch}")).status_code == 404


async def test_models_say_what_they_do(client: httpx.AsyncClient) -> None:
    shown = (await client.get(f"{V}/gemini-embedding-001")).json()
    assert shown["supportedGenerationMethods"] == [
        "embedContent",
        "batchEmbedContents",
        "countTokens",
        "asyncBatchEmbedContent",
    ]
    assert shown["outputTokenLimit"] == 1
    assert "temperature" not in shown
    listed = {model["name"]: model for model in (await client.get("/v1beta/models")).json()["models"]}
    assert "generateContent" in listed["models/writer"]["supportedGenerationMethods"]
    assert "embedContent" not in listed["models/writer"]["supportedGenerationMethods"]


async def test_tokens_of_a_text_to_embed_are_counted(client: httpx.AsyncClient) -> None:
    contents = {"contents": [{"parts": [{"text": "hello there"}]}]}
    reply = await client.post(f"{EMBED}:countTokens", json=contents)
    assert reply.json()["totalTokens"] == 3
