"""Files that prompts point at, over HTTP."""

from __future__ import annotations

import base64
import json

import pytest

from tests.unit.lookup.pdfs import pdf
from tests.unit.server.conftest import finished, uploaded

GENERATE = "/v1/models/gemini-x:generateContent"


def about(uri, *, before="Read", after="and tell", **fields):
    parts = [{"text": before}, {"fileData": {"fileUri": uri, **fields}}, {"text": after}]
    return {"contents": [{"parts": parts}]}


def text_of(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["candidates"][0]["content"]["parts"][0]["text"]


@pytest.mark.parametrize("prefix", ["", "http://localhost:8080/v1beta/"])
async def test_a_text_stands_where_the_part_stands(client, prefix):
    name = await uploaded(client, b"\xef\xbb\xbf<p>page</p>", mimeType="text/html")
    assert text_of(await client.post(GENERATE, json=about(prefix + name))) == "Read\n<p>page</p>\nand tell"


async def test_a_pdf_is_read_from_a_file_and_from_the_request(client):
    name = await uploaded(client, pdf("Hello page"), mimeType="application/pdf")
    assert text_of(await client.post(GENERATE, json=about(name))) == "Read\nHello page\nand tell"
    data = base64.b64encode(pdf("Inside")).decode()
    part = {"inlineData": {"mimeType": "application/pdf", "data": data}}
    answer = await client.post(GENERATE, json={"contents": [{"parts": [part, {"text": "x"}]}]})
    assert text_of(answer) == "Inside\nx"


async def test_the_type_given_goes_before_the_files_own(client):
    name = await uploaded(client, b"a,b", mimeType="application/octet-stream")
    assert (
        text_of(await client.post(GENERATE, json=about(name, mimeType="text/csv"))) == "Read\na,b\nand tell"
    )
    refused = await client.post(GENERATE, json=about(name))
    assert refused.status_code == 400
    assert "is of type application/octet-stream" in refused.text


async def test_an_image_stays_attached(client, engine):
    name = await uploaded(client, b"\x89PNG", mimeType="image/png")
    text_of(await client.post(GENERATE, json=about(name)))
    (attached,) = engine.answered[-1].messages[0].attachments
    assert (attached.at, attached.mime_type, attached.data, attached.uri) == (
        4,
        "image/png",
        b"\x89PNG",
        None,
    )


@pytest.mark.parametrize(
    ("uri", "status", "says"),
    [
        ("files/nosuch", 403, "You do not have permission to access the File nosuch or it may not exist."),
        ("gs://bucket/thing", 400, "is not the name of a file"),
    ],
)
async def test_what_is_not_there_is_refused(client, uri, status, says):
    refused = await client.post(GENERATE, json=about(uri))
    assert refused.status_code == status
    assert says in refused.json()["error"]["message"]
    counted = await client.post("/v1/models/gemini-x:countTokens", json=about(uri))
    assert counted.status_code == status


async def test_what_cannot_be_read_says_why(client):
    name = await uploaded(client, b"\xff\xfe", mimeType="text/plain", displayName="odd")
    refused = await client.post(GENERATE, json=about(name))
    assert refused.status_code == 400
    assert f"{name} (odd) is of type text/plain and not UTF-8: byte 0." in refused.json()["error"]["message"]


async def test_a_file_deleted_while_a_call_waits_is_unknown(client):
    name = await uploaded(client, b"text", mimeType="text/plain")
    await client.delete(f"/v1/{name}")
    assert (await client.post(GENERATE, json=about(name))).status_code == 403


async def test_lines_of_a_batch_point_at_files(client):
    name = await uploaded(client, b"the text", mimeType="text/plain")
    requests = [
        {"request": about(name)},
        {"request": about("files/nosuch")},
        {"request": about(name, before="B")},
    ]
    body = {"batch": {"inputConfig": {"requests": {"requests": requests}}}}
    batch = await client.post("/v1/models/gemini-x:batchGenerateContent", json=body)
    done = await finished(client, batch.json()["name"])
    first, second, third = done["response"]["inlinedResponses"]["inlinedResponses"]
    assert "Read\\nthe text\\nand tell" in json.dumps(first)
    assert second["error"]["code"] == 7
    assert "B\\nthe text\\nand tell" in json.dumps(third)


async def test_a_cached_content_keeps_what_a_file_said(client, engine):
    words = " ".join(f"w{number}" for number in range(40))
    name = await uploaded(client, words.encode(), mimeType="text/plain")
    cache = await client.post("/v1/cachedContents", json={"model": "models/gemini-x", **about(name)})
    assert cache.status_code == 200, cache.text
    await client.delete(f"/v1/{name}")
    text_of(
        await client.post(
            GENERATE, json={"contents": [{"parts": [{"text": "q"}]}], "cachedContent": cache.json()["name"]}
        )
    )
    assert engine.answered[-1].messages[0].text == f"Read\n{words}\nand tell"
