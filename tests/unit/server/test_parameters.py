"""What may stand around any call: how its answer is to look, how its body is packed, its spelling."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from tests.unit.server.conftest import LIMITS, finished, uploaded

LINE = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n'
GZIP = {"Content-Encoding": "gzip"}
BATCH = {"batch": {"inputConfig": {"requests": {"requests": [{"request": {"contents": [
    {"parts": [{"text": "hi"}]}]}}]}}, "displayName": "d"}}  # fmt: skip
CREATE = "/v1/models/gemini-x:batchGenerateContent"


async def test_an_answer_has_the_fields_that_were_asked_for(client):
    created = await client.post(f"{CREATE}?fields=name,metadata.display_name", json=BATCH)
    name = created.json()["name"]
    assert created.json() == {"name": name, "metadata": {"displayName": "d"}}
    await finished(client, name)
    text = "response/inlinedResponses/inlinedResponses/response/candidates(content/parts/text)"
    done = await client.get(f"/v1/{name}", params={"$fields": text})
    (result,) = done.json()["response"]["inlinedResponses"]["inlinedResponses"]
    assert list(result["response"]["candidates"][0]) == ["content"]
    assert "metadata" not in done.json()


async def test_a_shaped_answer_keeps_its_headers_and_is_compressed_where_that_is_taken(client):
    plain = await client.get("/v1/models?fields=models.name", headers={"Accept-Encoding": "identity"})
    packed = await client.get("/v1/models?fields=models.name")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert plain.json()["models"][0] == {"name": "models/scripted"}
    assert packed.headers["x-content-type-options"] == "nosniff"
    assert packed.headers.get_list("content-type") == ["application/json; charset=UTF-8"]


async def test_an_error_is_shown_whole_and_indented(client):
    reply = await client.get("/v1/batches/nope?fields=name&prettyPrint=true")
    assert reply.status_code == 404
    assert reply.text.startswith('{\n  "error": {\n')
    assert reply.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("alt=proto", "Invalid query parameter 'alt': Invalid value 'proto'; it must be one of json, media,"),
        ("$alt=xml", "'alt'"),
        ("$.xgafv=3", "Invalid query parameter '$.xgafv': Invalid value '3'; it must be one of 1, 2."),
        ("prettyPrint=maybe", "Invalid query parameter 'prettyPrint'"),
        ("fields=a(", "Invalid field mask 'a(', at character 3: a field's name is missing."),
    ],
)  # fmt: skip
async def test_a_wrong_parameter_is_refused(client, query, says):
    reply = await client.get(f"/v1/models?{query}")
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["status"], says in error["message"]) == ("INVALID_ARGUMENT", True)
    assert error["details"][0]["fieldViolations"][0]["field"] in query


async def test_parameters_without_effect_are_taken(client):
    query = (
        "key=k&quotaUser=u&alt=JSON&$.xgafv=1&prettyPrint=false&uploadType=media&upload_protocol=raw&fields="
    )
    assert (await client.get(f"/v1/models?{query}")).json() == (await client.get("/v1/models")).json()
    assert (await client.get("/healthz?alt=xml")).status_code == 200, "no call of the API"


async def test_the_bytes_of_a_file_go_through_as_they_are(client):
    name = await uploaded(client, LINE)
    assert (await client.get(f"/v1/{name}:download?alt=media&fields=key")).content == LINE


async def test_a_post_may_stand_for_another_method(client):
    name = await uploaded(client, LINE)
    get = await client.post(f"/v1/{name}", headers={"X-HTTP-Method-Override": "get"})
    assert get.json()["name"] == name
    ignored = await client.get(f"/v1/{name}", headers={"X-HTTP-Method-Override": "DELETE"})
    assert ignored.json()["name"] == name, "only a POST may stand for another method"
    wrong = await client.post(f"/v1/{name}", headers={"X-HTTP-Method-Override": "TRACE"})
    assert wrong.status_code == 400
    gone = await client.post(f"/v1/{name}", headers={"X-HTTP-Method-Override": "DELETE"})
    assert gone.json() == {}
    assert (await client.get(f"/v1/{name}")).status_code == 403


async def test_bodies_may_be_compressed(client):
    created = await client.post(CREATE, content=gzip.compress(json.dumps(BATCH).encode()), headers=GZIP)
    assert created.json()["metadata"]["displayName"] == "d"
    two = gzip.compress(LINE) + gzip.compress(LINE.replace(b'"a"', b'"b"'))
    raw = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "text/plain"}
    sent = await client.post("/upload/v1/files", content=two, headers=GZIP | raw)
    assert sent.json()["file"]["sizeBytes"] == str(2 * len(LINE)), "two files in gzip, one after the other"


async def test_a_compressed_body_larger_than_its_pieces_is_whole(client):
    content = LINE * 40_000
    raw = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "text/plain"}
    sent = await client.post("/upload/v1/files", content=gzip.compress(content), headers=GZIP | raw)
    assert sent.json()["file"]["sizeBytes"] == str(len(content))
    name = sent.json()["file"]["name"]
    assert (await client.get(f"/v1/{name}:download")).content == content


@pytest.mark.parametrize(
    ("content", "coding", "says"),
    [
        (b"{}", "gzip", "the body of the call is none"),
        (gzip.compress(b"{}")[:-4], "gzip", "ends too early"),
        (b"{}", "br", "it may be gzip or identity"),
    ],
)
async def test_a_body_that_is_wrongly_compressed_is_refused(client, content, coding, says):
    reply = await client.post(CREATE, content=content, headers={"Content-Encoding": coding})
    assert reply.status_code == 400
    assert says in reply.json()["error"]["message"]


async def test_a_bomb_is_refused_by_its_size_unpacked(client):
    bomb = gzip.compress(b" " * (LIMITS.inline_bytes + 1))
    assert len(bomb) < 10_000
    reply = await client.post(CREATE, content=bomb, headers=GZIP)
    assert reply.status_code == 400
    assert "exceeds the limit" in reply.json()["error"]["message"]


async def test_a_colon_may_be_escaped_and_names_spelled_either_way(client: httpx.AsyncClient):
    body = b"{'batch': {'display_name': \"d\", 'inputConfig': {'requests': {'requests': [{'request': {}}]}}}}"
    created = await client.post(CREATE.replace(":", "%3A"), content=body)
    assert created.status_code == 200, created.text
    name = created.json()["name"]
    assert (await client.post(f"/v1/{name}%3acancel")).json() == {}


async def test_an_unknown_field_is_named_with_its_path(client):
    batch = {"batch": {"input_config": {"requests": {"requests": [{"foo": 1}]}}, "bar": 2}}
    error = (await client.post(CREATE, json=batch)).json()["error"]
    assert error["message"] == (
        "Invalid JSON payload received. Unknown name \"bar\" at 'batch': Cannot find field."
    )
    violation = {"field": "batch", "description": error["message"]}
    assert error["details"] == [
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    ]


async def test_a_stream_of_events_goes_through_and_one_as_an_array_is_shaped(client):
    path = "/v1/models/gemini-x:streamGenerateContent"
    ask = {"contents": [{"parts": [{"text": "hello there"}]}]}
    events = await client.post(f"{path}?alt=sse&fields=modelVersion", json=ask)
    assert events.text.startswith("data: {")
    assert "candidates" in events.text
    array = await client.post(f"{path}?fields=modelVersion", json=ask)
    assert array.json()
    assert {tuple(message.items()) for message in array.json()} == {(("modelVersion", "scripted-1"),)}
