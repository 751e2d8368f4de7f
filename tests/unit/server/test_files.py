"""Files over HTTP: every step of an upload, and what is done with Files."""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from tests.unit.server.conftest import LIMITS, uploaded

LINE = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n'
START = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}


async def start(client: httpx.AsyncClient, **fields: object) -> str:
    reply = await client.post("/upload/v1/files", headers=START, json={"file": fields})
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-goog-upload-status"] == "active"
    return reply.headers["x-goog-upload-url"]


async def step(
    client: httpx.AsyncClient, url: str, command: str, content: bytes = b"", offset: int | None = None
) -> httpx.Response:
    headers = {"X-Goog-Upload-Command": command}
    if offset is not None:
        headers["X-Goog-Upload-Offset"] = str(offset)
    reply = await client.post(url, headers=headers, content=content)
    assert "x-goog-upload-status" in reply.headers, "SDKs send a chunk again when the status is missing"
    return reply


def said(reply: httpx.Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    assert error["code"] == reply.status_code
    return reply.status_code, error["status"], error["message"]


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_an_upload_in_one_step(client, version):
    headers = START | {
        "X-Goog-Upload-Header-Content-Length": str(len(LINE)),
        "X-Goog-Upload-Header-Content-Type": "jsonl",
    }
    body = {"file": {"display_name": "d", "mime_type": "jsonl", "size_bytes": len(LINE)}}
    begun = await client.post(f"/upload/{version}/files", headers=headers, json=body)
    url = begun.headers["x-goog-upload-url"]
    assert url.startswith(f"http://localhost:8080/upload/{version}/files?upload_id=")
    # Newer SDKs repeat the headers of the start on every chunk, and say that raw bytes are JSON.
    repeated = headers | {
        "X-Goog-Upload-Command": "upload, finalize",
        "X-Goog-Upload-Offset": "0",
        "Content-Type": "application/json",
    }
    done = await client.post(url, headers=repeated, content=LINE)
    assert done.status_code == 200
    assert done.headers["x-goog-upload-status"] == "final"
    file = done.json()["file"]
    assert file["displayName"] == "d"
    assert file["mimeType"] == "jsonl"
    assert file["sizeBytes"] == str(len(LINE))
    assert file["state"] == "ACTIVE"
    assert file["uri"] == f"http://localhost:8080/{version}/{file['name']}"
    assert base64.b64decode(file["sha256Hash"]).decode() == hashlib.sha256(LINE).hexdigest()
    assert (await client.get(f"/{version}/{file['name']}")).json() == file


async def test_an_upload_in_many_steps(client):
    content = LINE * 100
    url = await start(client, mimeType="jsonl", sizeBytes=str(len(content)))
    half = len(content) // 2
    first = await step(client, url, "upload", content[:half], 0)
    assert first.headers["x-goog-upload-status"] == "active"
    assert first.headers["x-goog-upload-size-received"] == str(half)
    again = await step(client, url, "upload", content[:half], 0)
    assert again.headers["x-goog-upload-size-received"] == str(half), "a repeated chunk changes nothing"
    asked = await step(client, url, "query")
    assert asked.headers["x-goog-upload-size-received"] == str(half)
    overlapping = await step(client, url, "upload", content[half - 10 :], half - 10)
    assert overlapping.headers["x-goog-upload-size-received"] == str(len(content))
    done = await step(client, url, "finalize")
    assert done.headers["x-goog-upload-status"] == "final"
    name = done.json()["file"]["name"]
    assert (await client.get(f"/v1/{name}:download?alt=media")).content == content


async def test_a_client_that_did_not_hear_of_the_end_is_told_again(client):
    url = await start(client, mimeType="jsonl", sizeBytes=str(len(LINE)))
    done = await step(client, url, "upload, finalize", LINE, 0)
    for again in (
        await step(client, url, "query"),
        await step(client, url, "upload, finalize", LINE, 0),
        await step(client, url, "upload, finalize", b"", len(LINE)),
    ):
        assert again.status_code == 200
        assert again.headers["x-goog-upload-status"] == "final"
        assert again.headers["x-goog-upload-size-received"] == str(len(LINE))
        assert again.json() == done.json()


async def test_an_empty_file(client):
    url = await start(client, mimeType="text/plain", sizeBytes=0)
    done = await step(client, url, "upload, finalize", b"", 0)
    assert done.json()["file"]["name"].startswith("files/")
    assert "sizeBytes" not in done.json()["file"]


async def test_a_cancelled_upload_is_gone(client):
    url = await start(client, mimeType="jsonl")
    assert (await step(client, url, "cancel")).headers["x-goog-upload-status"] == "cancelled"
    gone = await step(client, url, "query")
    assert said(gone)[:2] == (404, "NOT_FOUND")
    assert gone.headers["x-goog-upload-status"] == "final"


@pytest.mark.parametrize(
    ("command", "offset", "content", "says"),
    [
        ("upload", 5, b"x", "offset 5"),
        ("upload", None, b"x", "X-Goog-Upload-Offset"),
        ("explode", 0, b"x", "X-Goog-Upload-Command"),
        ("", 0, b"x", "X-Goog-Upload-Command"),
        ("upload, finalize", 0, b"x", "announced with 10 bytes and 1 have arrived"),
        ("upload", 0, b"x" * 11, "announced with 10 bytes and more have arrived"),
    ],
)
async def test_a_wrong_step_is_refused(client, command, offset, content, says):
    url = await start(client, mimeType="jsonl", sizeBytes=10)
    reply = await step(client, url, command, content, offset)
    assert said(reply)[:2] == (400, "INVALID_ARGUMENT")
    assert says in said(reply)[2]
    assert reply.headers["x-goog-upload-status"] == "final"


async def test_a_refused_step_tells_how_much_has_arrived(client):
    url = await start(client, mimeType="jsonl", sizeBytes=10)
    await step(client, url, "upload", b"0123", 0)
    for command, content, offset in (
        ("upload", b"x", 5),
        ("upload", b"0123456789x", 0),
        ("finalize", b"", None),
        ("upload, finalize", b"", 4),
    ):
        refused = await step(client, url, command, content, offset)
        assert said(refused)[:2] == (400, "INVALID_ARGUMENT")
        assert refused.headers["x-goog-upload-size-received"] == "4"


async def test_damaged_bytes_are_refused_with_what_was_expected_and_what_came(client):
    expected, got = hashlib.sha256(LINE).hexdigest(), hashlib.sha256(LINE[:-1] + b" ").hexdigest()
    url = await start(client, mimeType="jsonl", sha256Hash=base64.b64encode(expected.encode()).decode())
    refused = await step(client, url, "upload, finalize", LINE[:-1] + b" ", 0)
    assert said(refused)[:2] == (400, "INVALID_ARGUMENT")
    assert expected in said(refused)[2]
    assert got in said(refused)[2]
    assert (await client.get("/v1/files")).json() == {}
    assert said(await step(client, url, "query"))[0] == 404


@pytest.mark.parametrize(("content", "status"), [(LINE, 200), (LINE[1:], 400)])
async def test_a_hash_may_come_with_the_last_step_or_with_a_raw_upload(client, content, status):
    digest = {"X-Goog-Hash": f"md5={base64.b64encode(hashlib.md5(LINE).digest()).decode()}"}
    url = await start(client, mimeType="jsonl")
    last = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
    assert (await client.post(url, headers=last | digest, content=content)).status_code == status
    raw = {"X-Goog-Upload-Protocol": "raw", "Content-Type": "application/jsonl"}
    reply = await client.post("/upload/v1/files", headers=raw | digest, content=content)
    assert reply.status_code == status


async def test_an_unknown_upload_is_refused(client):
    reply = await step(client, "/upload/v1/files?upload_id=nope", "upload, finalize", b"x", 0)
    assert said(reply)[:2] == (404, "NOT_FOUND")


async def test_a_file_that_is_too_large_is_refused(client):
    announced = await client.post(
        "/upload/v1/files", headers=START, json={"file": {"sizeBytes": LIMITS.file_bytes + 1}}
    )
    assert said(announced)[:2] == (400, "INVALID_ARGUMENT")
    url = await start(client, mimeType="jsonl")
    unannounced = await step(client, url, "upload", b"x" * (LIMITS.file_bytes + 1), 0)
    assert said(unannounced)[:2] == (400, "INVALID_ARGUMENT")


async def test_a_chosen_name_is_kept_and_taken_once(client):
    assert await uploaded(client, LINE, name="files/my-name") == "files/my-name"
    again = await client.post("/upload/v1/files", headers=START, json={"file": {"name": "my-name"}})
    assert said(again)[:2] == (409, "ALREADY_EXISTS")


async def test_a_raw_upload(client):
    reply = await client.post(
        "/upload/v1/files",
        headers={"X-Goog-Upload-Protocol": "raw", "Content-Type": "application/jsonl"},
        content=LINE,
    )
    assert reply.status_code == 200
    file = reply.json()["file"]
    assert file["mimeType"] == "application/jsonl"
    assert (await client.get(f"/v1/{file['name']}:download")).content == LINE


async def test_other_protocols_and_types_are_refused(client):
    other = await client.post("/upload/v1/files", headers={"X-Goog-Upload-Protocol": "carrier-pigeon"})
    assert said(other)[:2] == (400, "INVALID_ARGUMENT")
    assert "may be resumable, multipart or raw" in said(other)[2]
    reply = await client.post("/upload/v1/files", headers=START, json={"file": {"mimeType": "bad/mime_type"}})
    assert said(reply)[0] == 400
    assert "Unsupported MIME" in said(reply)[2]


RELATED = {"Content-Type": 'multipart/related; boundary="=== b 1"'}


def related(document: bytes, content: bytes, newline: bytes = b"\r\n", headers: bytes = b"") -> bytes:
    return newline.join([
        b"--=== b 1", b"Content-Type: application/json", b"", document,
        b"--=== b 1", b"Content-Type: text/plain" + headers, b"", content, b"--=== b 1--", b"",
    ])  # fmt: skip


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("content", [LINE, b"", b"\r", b"\r\n--=== b", b"0" * 300_000])
async def test_a_multipart_upload(client, newline, content):
    body = related(b'{"file": {"display_name": "d", "name": "files/mine"}}', content, newline)
    headers = RELATED | {"X-Goog-Upload-Protocol": "multipart"}

    async def in_pieces():
        for start in range(0, len(body), 1_000):
            yield body[start : start + 1_000]

    reply = await client.post("/upload/v1/files", headers=headers, content=in_pieces())
    assert reply.status_code == 200, reply.text
    file = reply.json()["file"]
    assert (file["name"], file["displayName"], file["mimeType"]) == ("files/mine", "d", "text/plain")
    assert (await client.get("/v1/files/mine:download")).content == content


async def test_a_form_is_a_multipart_upload_too(client):
    parts = {"metadata": (None, b"{'file': {'mimeType': 'jsonl'}}", "application/json"), "file": LINE}
    reply = await client.post("/upload/v1/files?uploadType=multipart", files=parts)
    assert reply.status_code == 200, reply.text
    assert reply.json()["file"]["mimeType"] == "jsonl"
    assert (await client.get(f"/v1/{reply.json()['file']['name']}:download")).content == LINE


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (related(b"{}", LINE)[:-20], RELATED, "ends before its last part does"),
        (b"--=== b 1\r\n\r\n{}\r\n--=== b 1--", RELATED, "ends before the content"),
        (b"", RELATED, "ends before the content"),
        (related(b"{}", LINE), {"Content-Type": "multipart/related"}, "names its boundary"),
        (related(b"{}", b"\r\n--=== b 1\r\n"), RELATED, "a third part"),
        (related(b'{"foo": 1}', LINE), RELATED, 'Unknown name "foo"'),
        (related(b"{}", LINE, headers=b"\r\nContent-Transfer-Encoding: base64"), RELATED, "as it is"),
        (b"x" * 200_000, RELATED, "no second part within its first 131072 bytes"),
        (related(b'{"file": {"sizeBytes": 9999}}', LINE), RELATED, "announced with 9999 bytes"),
        (related(b"{}", b"x" * (LIMITS.file_bytes + 1)), RELATED, "at most 3000000 are taken"),
    ],
)
async def test_a_wrong_multipart_upload_leaves_nothing(client, app, body, headers, says):
    reply = await client.post("/upload/v1/files?uploadType=multipart", headers=headers, content=body)
    assert said(reply)[0] == 400
    assert says in said(reply)[2]
    assert (await client.get("/v1/files")).json() == {}
    assert await app.store.uploads_begun_before(float("inf"), limit=9) == []


async def test_an_upload_in_steps_of_the_older_protocol(client):
    size = str(len(LINE))
    begun = await client.post(
        "/upload/v1/files?uploadType=resumable",
        headers={"X-Upload-Content-Type": "jsonl", "X-Upload-Content-Length": size},
        json={"file": {"displayName": "d"}},
    )
    url = begun.headers["location"]

    async def put(content: bytes, range: str | None) -> httpx.Response:
        headers = {} if range is None else {"Content-Range": range}
        return await client.put(url, headers=headers, content=content)

    nothing_yet = await put(b"", f"bytes */{size}")
    assert (nothing_yet.status_code, nothing_yet.headers.get("range")) == (308, None)
    first = await put(LINE[:10], "bytes 0-9/*")
    assert (first.status_code, first.headers["range"]) == (308, "bytes=0-9")
    asked = await put(b"", "bytes */*")
    assert (asked.status_code, asked.headers["range"]) == (308, "bytes=0-9")
    gap = await put(LINE[20:], f"bytes 20-{len(LINE) - 1}/{size}")
    assert said(gap)[0] == 400
    wrong = await put(LINE[10:], "bytes ten-/?")
    assert "Content-Range is" in said(wrong)[2]
    last = await put(LINE[10:], f"bytes 10-{len(LINE) - 1}/{size}")
    assert last.status_code == 200
    file = last.json()["file"]
    assert (file["displayName"], file["mimeType"], file["sizeBytes"]) == ("d", "jsonl", size)
    again = await put(b"", f"bytes */{size}")
    assert again.json()["file"] == file, "for a client that did not hear of the end"
    assert (await client.get(f"/v1/{file['name']}:download")).content == LINE


async def test_everything_in_one_step_of_the_older_protocol(client):
    begun = await client.post("/upload/v1/files?uploadType=resumable", content=b"")
    done = await client.put(begun.headers["location"], content=LINE)
    assert done.json()["file"]["sizeBytes"] == str(len(LINE))


@pytest.mark.parametrize(
    ("file_id", "says"),
    [
        ("x" * 41, "(name excluding 'files/') cannot be more than 40 characters."),
        ("No", "must be lowercase letters, digits and dashes, with no dash at either end."),
        ("-no", "must be lowercase letters, digits and dashes, with no dash at either end."),
        ("no-", "must be lowercase letters, digits and dashes, with no dash at either end."),
        ("n.o", "must be lowercase letters, digits and dashes, with no dash at either end."),
    ],
)
async def test_what_no_file_can_be_called_is_refused(client, file_id, says):
    for message, method, path in (
        ("Get", "GET", ""),
        ("Delete", "DELETE", ""),
        ("Download", "GET", ":download"),
    ):
        reply = await client.request(method, f"/v1/files/{file_id}{path}")
        assert said(reply) == (400, "INVALID_ARGUMENT", f"* {message}FileRequest.name: File ID {says}")
    created = await client.post("/upload/v1/files", headers=START, json={"file": {"name": file_id}})
    assert said(created)[2].startswith("* CreateFileRequest.file.name: File ID ")


async def test_a_name_of_forty_characters_and_a_display_name_of_512(client):
    name = "a" + "-" * 38 + "9"
    assert await uploaded(client, LINE, name=name, displayName="d" * 512) == f"files/{name}"
    too_long = await client.post("/upload/v1/files", headers=START, json={"file": {"displayName": "d" * 513}})
    assert "is longer than 512 characters" in said(too_long)[2]


async def test_a_file_without_content_is_told_where_to_go(client):
    reply = await client.post("/v1beta/files", json={"file": {"displayName": "d"}})
    assert said(reply)[:2] == (400, "INVALID_ARGUMENT")
    assert "POST /upload/v1beta/files" in said(reply)[2]


async def test_lists_have_ten_files_and_a_hundred_at_most(client):
    for _ in range(12):
        await uploaded(client, LINE)
    assert len((await client.get("/v1/files")).json()["files"]) == 10
    page = await client.get("/v1/files?page_size=5")
    assert len(page.json()["files"]) == 5
    rest = await client.get(
        "/v1/files", params={"pageSize": "1000", "page_token": page.json()["nextPageToken"]}
    )
    assert len(rest.json()["files"]) == 7


@pytest.mark.parametrize(
    "mime_type",
    ["jsonl", "application/jsonl", "application/json", "Text/Plain", "application/x-ndjson", "text/csv",
     "application/jsonlines", "application/json-lines", "text/html", "application/pdf", "image/png",
     "text/plain; charset=utf-8"],
)  # fmt: skip
async def test_types_are_kept_as_they_were_sent(client, mime_type):
    name = await uploaded(client, LINE, mimeType=mime_type)
    assert (await client.get(f"/v1/{name}")).json()["mimeType"] == mime_type


async def test_lists_are_paged_newest_first(client):
    names = [await uploaded(client, LINE) for _ in range(5)]
    seen, token = [], ""
    while True:
        reply = (await client.get("/v1/files", params={"pageSize": 2, "pageToken": token})).json()
        assert len(reply["files"]) <= 2
        seen += [file["name"] for file in reply["files"]]
        token = reply.get("nextPageToken", "")
        if not token:
            break
    assert seen == names[::-1]
    assert said(await client.get("/v1/files?pageToken=junk!"))[0] == 400
    assert said(await client.get("/v1/files?pageSize=x"))[0] == 400


async def test_an_empty_list_is_an_empty_object(client):
    reply = await client.get("/v1/files")
    assert (reply.status_code, reply.json()) == (200, {})


async def test_a_deleted_or_unknown_file_is_forbidden(client):
    name = await uploaded(client, LINE)
    deleted = await client.delete(f"/v1/{name}")
    assert (deleted.status_code, deleted.json()) == (200, {})
    for reply in (
        await client.get(f"/v1/{name}"),
        await client.delete(f"/v1/{name}"),
        await client.get(f"/v1/{name}:download?alt=media"),
    ):
        file_id = name.removeprefix("files/")
        assert said(reply) == (
            403,
            "PERMISSION_DENIED",
            f"You do not have permission to access the File {file_id} or it may not exist.",
        )


async def test_downloads_by_either_path_and_in_ranges(client):
    name = await uploaded(client, b"0123456789")
    whole = await client.get(f"/download/v1beta/{name}:download?alt=media")
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-length"] == "10"
    assert whole.headers["accept-ranges"] == "bytes"
    head = await client.head(f"/v1beta/{name}:download?alt=media")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")

    async def part(wanted: str) -> tuple[int, bytes, str | None]:
        reply = await client.get(f"/v1/{name}%3Adownload", headers={"Range": wanted})
        return reply.status_code, reply.content, reply.headers.get("content-range")

    assert await part("bytes=2-4") == (206, b"234", "bytes 2-4/10")
    assert await part("bytes=7-") == (206, b"789", "bytes 7-9/10")
    assert await part("bytes=-3") == (206, b"789", "bytes 7-9/10")
    assert await part("bytes=8-99") == (206, b"89", "bytes 8-9/10")
    assert await part("bytes=1-2,4-5") == (200, b"0123456789", None)
    assert (await part("bytes=10-"))[0] == 416
    assert (await client.get(f"/v1/{name}?alt=media")).content == b"0123456789"


async def test_the_upload_url_follows_the_client_or_the_configuration(connect):
    async def url(client: httpx.AsyncClient, path: str, **headers: str) -> str:
        reply = await client.post(path, headers=START | headers, json={})
        assert reply.status_code == 200, reply.text
        return reply.headers["x-goog-upload-url"].split("?")[0]

    path = "/upload/v1beta/files"
    assert await url(connect(base_url="http://127.0.0.1:9"), path) == f"http://127.0.0.1:9{path}"
    assert await url(connect(base_url="http://[::1]:9"), path) == f"http://[::1]:9{path}"
    client = connect(public_url="https://api.example/batch/")
    assert await url(client, path) == f"https://api.example/batch{path}"
    assert await url(client, f"/batch{path}", Host="api.example") == f"https://api.example/batch{path}"
    client = connect(hosts=["proxy.example"])
    forwarded = {"X-Forwarded-Host": "proxy.example", "X-Forwarded-Proto": "https"}
    assert await url(client, path, **forwarded) == f"https://proxy.example{path}"
    foreign = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    assert await url(client, path, **foreign) == f"http://localhost:8080{path}"
