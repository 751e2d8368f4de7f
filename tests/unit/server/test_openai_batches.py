"""Files and batches in OpenAI's dialect, and one Job seen in both."""

from __future__ import annotations

import json

import pytest

from halfrate.engines.scripted import echo
from tests.unit.server.conftest import finished, until, uploaded

PLAIN, LAYER = "/openai/v1", "/v1beta/openai"


def line(key: str, text: str, **body: object) -> str:
    asked = {"model": "gemini-x", "messages": [{"role": "user", "content": text}], **body}
    return json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": asked})


LINES = "\n".join([line("a", "one two"), line("b", "fail me"), line("c", "three")]) + "\n"


async def sent(client, content: str | bytes, *, prefix: str = PLAIN, purpose: str | None = "batch"):
    data = {} if purpose is None else {"purpose": purpose}
    return await client.post(f"{prefix}/files", data=data, files={"file": ("in.jsonl", content)})


async def created(client, *, prefix: str = PLAIN, content: str = LINES, **fields: object) -> dict:
    file = (await sent(client, content, prefix=prefix)).json()
    reply = await client.post(
        f"{prefix}/batches",
        json={
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            **fields,
        },
    )
    assert reply.status_code == 200, reply.text
    return reply.json()


async def ended(client, batch: dict, prefix: str = PLAIN) -> dict:
    shown: dict = {}

    async def is_over() -> bool:
        reply = await client.get(f"{prefix}/batches/{batch['id'].replace('/', '%2F')}")
        assert reply.status_code == 200, reply.text
        shown.update(reply.json())
        return shown["status"] in {"completed", "failed", "cancelled", "expired"}

    await until(is_over)
    return shown


async def read(client, name: str, prefix: str = PLAIN) -> list[dict]:
    reply = await client.get(f"{prefix}/files/{name.replace('/', '%2F')}/content")
    assert reply.status_code == 200, reply.text
    return [json.loads(one) for one in reply.text.splitlines()]


@pytest.mark.parametrize("prefix", [PLAIN, LAYER, "/v1/openai"])
async def test_a_batch_from_its_upload_to_its_results(client, prefix):
    batch = await created(client, prefix=prefix, metadata={"for": "me"})
    names = ("file-", "batch_") if prefix == PLAIN else ("files/", "batches/")
    assert batch["id"].startswith(names[1])
    assert batch["status"] in {"validating", "in_progress"}
    assert batch["expires_at"] - batch["created_at"] == 24 * 3_600
    batch = await ended(client, batch, prefix)
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert batch["metadata"] == {"for": "me"}
    assert batch["model"] == "gemini-x"
    assert batch["usage"]["total_tokens"] == 8
    assert batch["completed_at"] >= batch["created_at"]
    assert batch["output_file_id"].startswith(names[0])
    answers = await read(client, batch["output_file_id"], prefix)
    assert [one["custom_id"] for one in answers] == ["a", "c"]
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"] == "one two"
    (failed,) = await read(client, batch["error_file_id"], prefix)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 500)


async def test_a_job_of_this_dialect_is_seen_in_the_other(client):
    batch = await created(client)
    job_id = batch["id"].removeprefix("batch_")
    operation = await finished(client, f"batches/{job_id}")
    stats = operation["metadata"]["batchStats"]
    assert (stats["requestCount"], stats["successfulRequestCount"]) == ("3", "2")
    file = operation["response"]["responsesFile"]
    lines = [json.loads(one) for one in (await client.get(f"/v1/{file}:download")).text.splitlines()]
    assert [one["key"] for one in lines] == ["a", "b", "c"]
    assert lines[0]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "one two"
    listed = (await client.get("/v1beta/batches")).json()
    assert [one["name"] for one in listed["operations"]] == [f"batches/{job_id}"]
    # What programs of Gemini's layer do: the results of this dialect, with the client of the other one.
    layer = (await client.get(f"{LAYER}/batches/batches%2F{job_id}")).json()
    for path in ("/v1beta/", "/download/v1beta/"):
        reply = await client.get(f"{path}{layer['output_file_id']}:download?alt=media")
        assert [json.loads(one)["custom_id"] for one in reply.text.splitlines()] == ["a", "c"]


async def test_what_failed_is_tried_again_in_its_own_dialect(client, engine):
    batch = await ended(client, await created(client))
    engine._script = echo
    job_id = batch["id"].removeprefix("batch_")
    again = (await client.post(f"/v1beta/batches/{job_id}:retry")).json()["name"].removeprefix("batches/")
    batch = await ended(client, {"id": f"batch_{again}"})
    (answer,) = await read(client, batch["output_file_id"])
    assert answer["custom_id"] == "b"
    assert answer["response"]["body"]["choices"][0]["message"]["content"] == "fail me"
    assert (await client.get(f"{PLAIN}/files/{batch['input_file_id']}/content")).text == line(
        "b", "fail me"
    ) + "\n"


async def test_results_so_far_can_be_read_while_it_runs(client, engine):
    engine._delay_seconds = 0.05
    batch = await created(client, content="".join(line(str(n), f"text {n}") + "\n" for n in range(200)))
    name = f"file-batch-output-{batch['id'].removeprefix('batch_')}"

    async def has_some() -> bool:
        reply = await client.get(f"{PLAIN}/files/{name}/content")
        return reply.status_code == 200 and '"custom_id"' in reply.text

    await until(has_some)
    await client.post(f"{PLAIN}/batches/{batch['id']}/cancel")
    await ended(client, batch)


@pytest.mark.parametrize("which", ["output_file_id", "error_file_id"])
async def test_results_can_be_read_in_parts(client, which):
    batch = await ended(client, await created(client))
    url = f"{PLAIN}/files/{batch[which]}/content"

    async def part(wanted, seen=None):
        return await client.get(url, headers={"Range": wanted} | ({"If-Range": seen} if seen else {}))

    whole = await client.get(url)
    etag, size = whole.headers["etag"], len(whole.content)
    assert whole.content.count(b"\n") >= 1
    for start, stop in [(0, 1), (5, 60), (size - 1, size), (100, size)]:
        reply = await part(f"bytes={start}-{stop - 1}", etag)
        assert (reply.status_code, reply.content) == (206, whole.content[start:stop])
        assert reply.headers["content-length"] == str(stop - start)
        assert reply.headers["content-range"].startswith(f"bytes {start}-{stop - 1}/")
    rest = await part("bytes=7-")
    assert (rest.content, rest.headers["content-range"]) == (whole.content[7:], f"bytes 7-{size - 1}/{size}")
    assert (await part("bytes=-9")).content == whole.content[-9:]
    beyond = await part(f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert beyond.json()["error"]["type"] == "invalid_request_error"
    other = await part("bytes=5-9", '"other"')
    assert (other.status_code, other.content) == (200, whole.content)
    native = await client.get(f"/v1beta/files/batch-{batch['id'].removeprefix('batch_')}:download")
    assert (await part("bytes=5-9", native.headers["etag"])).status_code == 200, "those are other bytes"


async def test_a_job_of_the_other_dialect_is_seen_in_this_one(client):
    native = b"".join(
        json.dumps({"key": key, "request": {"contents": [{"parts": [{"text": text}]}]}}).encode() + b"\n"
        for key, text in [("x", "hello"), ("y", "fail me")]
    )
    name = await uploaded(client, native)
    reply = await client.post(
        "/v1beta/models/gemini-x:batchGenerateContent", json={"batch": {"inputConfig": {"fileName": name}}}
    )
    job_id = reply.json()["name"].removeprefix("batches/")
    batch = await ended(client, {"id": f"batch_{job_id}"})
    assert batch["input_file_id"] == name.replace("files/", "file-")
    assert [one["custom_id"] for one in await read(client, batch["output_file_id"])] == ["x"]
    assert [one["custom_id"] for one in await read(client, f"file-batch-{job_id}")] == ["x"]
    assert [one["custom_id"] for one in await read(client, batch["error_file_id"])] == ["y"]
    assert [one["id"] for one in (await client.get(f"{PLAIN}/batches")).json()["data"]] == [batch["id"]]


async def test_a_cancelled_batch(client, engine):
    engine._delay_seconds = 60  # nothing is answered in this test's time
    batch = await created(client)
    reply = await client.post(f"{PLAIN}/batches/{batch['id']}/cancel")
    assert reply.json()["status"] in {"cancelling", "cancelled"}
    batch = await ended(client, batch)
    assert batch["status"] == "cancelled"
    assert batch["cancelled_at"]
    answered = [] if batch["output_file_id"] is None else await read(client, batch["output_file_id"])
    never = await read(client, batch["error_file_id"])
    assert len(answered) + len(never) == 3
    assert {one["error"]["code"] for one in never if one["error"]} == {"batch_cancelled"}


async def test_lists_go_on_after_an_id(client):
    batches = [(await created(client))["id"] for _ in range(3)]
    first = (await client.get(f"{PLAIN}/batches?limit=2")).json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (batches[:0:-1], True)
    rest = (await client.get(f"{PLAIN}/batches?limit=2&after={first['last_id']}")).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (batches[:1], False)
    files = (await client.get(f"{LAYER}/files?limit=2&purpose=batch")).json()
    assert (len(files["data"]), files["has_more"]) == (2, True)
    rest = (await client.get(f"{LAYER}/files?after={files['last_id'].replace('/', '%2F')}")).json()
    assert len(rest["data"]) == 1
    assert (await client.get(f"{PLAIN}/files?purpose=user_data")).json()["data"] == []


async def test_a_file(client):
    file = (await sent(client, LINES)).json()
    assert file["object"] == "file"
    assert (file["bytes"], file["filename"], file["purpose"]) == (len(LINES), "in.jsonl", "batch")
    one = f"{PLAIN}/files/{file['id']}"
    assert (await client.get(one)).json() == file
    assert (await client.get(f"{one}/content")).text == LINES
    part = await client.get(f"{one}/content", headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.text) == (206, LINES[2:6])
    assert (await client.get(f"/v1beta/files/{file['id'].removeprefix('file-')}")).status_code == 200
    assert (await client.delete(one)).json() == {"id": file["id"], "object": "file", "deleted": True}
    gone = await client.get(one)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")


async def test_a_large_file_arrives_as_it_was_sent(client):
    content = b"".join(b'{"line": %d}\r\n--boundary\n' % number for number in range(60_000))
    file = (await sent(client, content)).json()
    reply = await client.get(f"{PLAIN}/files/{file['id']}/content")
    assert reply.content == content


async def test_a_file_over_the_bound_is_refused_and_nothing_stays(client, app):
    reply = await sent(client, b"x" * 3_000_001)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert list(app.blobs.names("uploads")) == []


@pytest.mark.parametrize(
    ("purpose", "param"), [("nonsense", "purpose"), (None, "purpose")], ids=["unknown", "missing"]
)
async def test_an_upload_says_what_it_is_for(client, app, purpose, param):
    reply = await sent(client, LINES, purpose=purpose)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert list(app.blobs.names("uploads")) == []
    assert (await client.get(f"{PLAIN}/files")).json()["data"] == []


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/json", b"{}", "multipart/form-data"),
        ("multipart/form-data", b"", "boundary"),
        ("multipart/form-data; boundary=b", b"nonsense", "cannot be read"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n{}',
            "cut off",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n',
            "Missing required parameter: 'file'",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="foo"\r\n\r\nx\r\n--b--\r\n',
            "Unknown parameter",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n'
            + b"x" * 65_537
            + b"\r\n--b--\r\n",
            "more than 65536 bytes",
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", "header size"),
    ],
)
async def test_a_form_that_is_none(client, app, content_type, body, says):
    reply = await client.post(f"{PLAIN}/files", headers={"Content-Type": content_type}, content=body)
    assert reply.status_code == 400, reply.text
    assert says in reply.json()["error"]["message"]
    assert list(app.blobs.names("uploads")) == []


async def test_the_errors_go_with_the_answers(client):
    batch = await ended(client, await created(client))
    assert (await client.delete(f"{PLAIN}/files/{batch['error_file_id']}")).json()["deleted"]
    assert len(await read(client, batch["output_file_id"])) == 2
    assert (await client.get(f"{PLAIN}/files/{batch['output_file_id']}")).json()["purpose"] == "batch_output"
    assert (await client.delete(f"{PLAIN}/files/{batch['output_file_id']}")).json()["deleted"]
    assert (await client.get(f"{PLAIN}/files/{batch['error_file_id']}/content")).status_code == 404


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"foo": 1}, "foo"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
async def test_a_wrong_batch_is_refused(client, fields, param):
    asked = {"input_file_id": "file-x", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    reply = await client.post(f"{PLAIN}/batches", json=asked | fields)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith(param)


async def test_bad_lines_refuse_the_batch(client):
    file = (await sent(client, '{"custom_id": "a", "url": "/v1/chat/completions"}\n')).json()
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}
    reply = await client.post(f"{PLAIN}/batches", json=asked)
    assert reply.status_code == 400
    assert "line 1" in reply.json()["error"]["message"]


async def test_bad_lines_may_be_passed_over(client):
    file = (await sent(client, LINES + "nonsense\n")).json()
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}
    reply = await client.post(f"{PLAIN}/batches", json=asked, headers={"X-Halfrate-On-Invalid": "skip"})
    batch = await ended(client, reply.json())
    assert batch["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    refused = (await read(client, batch["error_file_id"]))[-1]
    assert (refused["custom_id"], refused["response"]["status_code"]) == (None, 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/batches/batch_nothing"),
        ("POST", "/batches/batch_nothing/cancel"),
        ("GET", "/files/file-nothing"),
        ("GET", "/files/file-batch-output-nothing/content"),
        ("DELETE", "/files/file-nothing"),
        ("GET", "/batches?after=batch_nothing"),
    ],
)
async def test_what_is_not_there(client, method, path):
    reply = await client.request(method, PLAIN + path)
    assert reply.status_code == 404, reply.text
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize("query", ["/batches?limit=0", "/batches?limit=x", "/files?order=asc"])
async def test_a_wrong_list_is_refused(client, query):
    assert (await client.get(PLAIN + query)).status_code == 400
