"""Bad input, met through the API, the SDK and the command line: what, where, and what to do next."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from google import genai
from google.genai.errors import ClientError

from tests.support.processes import Server, halfrate, serving, wait_until

GOOD = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}\n'

# name: (the file, what the error must say)
FILES = {
    "an empty file": (b"", ["no requests", "one JSON object"]),
    "a file of blank lines": (b"\n\n", ["no requests"]),
    "a CSV file": (
        b"key,prompt\n1,Hello\n",
        ["Error on line 1", "Error on line 2", '{"key": "1", "request"'],
    ),
    "a truncated last line": (GOOD + GOOD[:40], ["Error on line 2", "cut off"]),
    "a repeated key": (GOOD + GOOD, ["Error on line 2", "duplicate key 'a'", "line 1", "key of its own"]),
    "a wrong type": (
        GOOD.replace(b'"Hello"', b"5").replace(b'"a"', b'"b"') + GOOD,
        ["Error on line 1", "near column 59", "expected a string"],
    ),
    "an unknown field": (
        GOOD + GOOD.replace(b'"text"', b'"txet"').replace(b'"a"', b'"b"'),
        ["Error on line 2", "near column 51", "no such field: 'txet'"],
    ),
    "a line of 8 MB": (
        GOOD + b'{"key": "' + b"x" * (8 << 20) + b'"}\n',
        ["Error on line 2", "8,388,6", "at most"],
    ),
    "bytes that are not UTF-8": (GOOD.replace(b"Hello", b"\xff\xfe"), ["Error on line 1"]),
}


def by_api(server: Server, path: Path, model: str) -> str:
    """Upload and create with nothing but HTTP; return the error of the create call."""
    start = urllib.request.Request(
        f"{server.url}/upload/v1beta/files",
        data=b"{}",
        headers={
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(path.stat().st_size),
            "X-Goog-Upload-Header-Content-Type": "jsonl",
        },
    )
    with urllib.request.urlopen(start) as answer:
        url = answer.headers["X-Goog-Upload-URL"]
    headers = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
    with urllib.request.urlopen(urllib.request.Request(url, path.read_bytes(), headers)) as answer:
        name = json.loads(answer.read())["file"]["name"]
    status, body = post(
        f"{server.url}/v1beta/models/{model}:batchGenerateContent",
        {"batch": {"input_config": {"file_name": name}}},
    )
    assert status == body["error"]["code"] >= 400
    return str(body["error"]["message"])


def by_sdk(server: Server, path: Path, model: str) -> str:
    client = genai.Client(api_key="none", http_options={"base_url": server.url})
    uploaded = client.files.upload(file=str(path), config={"mime_type": "jsonl"})
    with pytest.raises(ClientError) as refusal:
        client.batches.create(model=model, src=uploaded.name)
    return str(refusal.value.message)


def by_command(server: Server, path: Path, model: str) -> str:
    ran = halfrate("submit", path, "-m", model, url=server.url)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Traceback" not in ran.stderr
    return ran.stderr


FACES = [by_api, by_sdk, by_command]
Face = Callable[[Server, Path, str], str]


def post(url: str, body: object) -> tuple[int, dict]:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("what", FILES)
def test_a_bad_file_is_refused_with_the_place_and_the_next_step(
    what: str, face: Face, server: Server, tmp_path: Path
) -> None:
    content, told = FILES[what]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    message = face(server, path, "toy")
    for part in told:
        assert part in message


@pytest.mark.parametrize("face", FACES)
def test_an_unknown_model_is_refused_with_the_names_there_are(
    face: Face, tmp_path: Path, toy: Path, make_requests: Callable[[int], Path]
) -> None:
    config = tmp_path / "halfrate.toml"
    config.write_text(f'[models.toy]\npath = "{toy}"\n')
    with serving("--data", tmp_path / "data", "--config", config) as server:
        message = face(server, make_requests(1), "nobody")
    assert "models/nobody is not found" in message
    assert "toy" in message


@pytest.mark.parametrize("face", FACES)
def test_a_full_queue_refuses_and_says_until_when(
    face: Face, tmp_path: Path, toy: Path, make_requests: Callable[..., Path]
) -> None:
    config = tmp_path / "halfrate.toml"
    config.write_text(f'[models.toy]\npath = "{toy}"\n[limits]\nactive_jobs = 1\n')
    with serving("--data", tmp_path / "data", "--config", config) as server:
        name = halfrate("submit", make_requests(3_000, output_tokens=200), url=server.url).stdout.strip()
        message = face(server, make_requests(1), "toy")
        assert "1 batches are pending or running" in message
        assert "Wait until one ends, or cancel one" in message
        halfrate("cancel", name, url=server.url)
        wait_until(lambda: "CANCELLED" in halfrate("jobs", url=server.url).stdout)


def test_a_missing_file_is_named(server: Server, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.jsonl"
    for arguments in (("submit", nowhere), ("validate", nowhere), ("run", nowhere, "-o", tmp_path / "out")):
        ran = halfrate(*arguments, url=server.url)
        assert ran.returncode in (1, 2)
        assert str(nowhere) in ran.stderr
    client = genai.Client(api_key="none", http_options={"base_url": server.url})
    with pytest.raises(ClientError) as refusal:
        client.batches.create(model="toy", src="files/nowhere")
    assert (refusal.value.code, "files/nowhere" in str(refusal.value.message).replace("File ", "files/")) == (
        403,
        True,
    )


def test_an_upload_cut_half_way_can_be_asked_about_and_continued(server: Server) -> None:
    start = urllib.request.Request(
        f"{server.url}/upload/v1/files",
        data=b"{}",
        headers={
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(len(GOOD)),
            "X-Goog-Upload-Header-Content-Type": "jsonl",
        },
    )
    with urllib.request.urlopen(start) as answer:
        url = answer.headers["X-Goog-Upload-URL"]

    def send(command: str, offset: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as answer:
                return answer.status, dict(answer.headers.items()), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers.items()), error.read()

    assert send("upload", 0, GOOD[:30])[0] == 200
    status, headers, body = send("upload, finalize", 30, b"")
    assert status == 400
    assert f"announced with {len(GOOD)} bytes and 30 have arrived" in json.loads(body)["error"]["message"]
    assert "X-Goog-Upload-Status" in {name.title() for name in headers}
    status, headers, _ = send("query", 0, b"")
    received = {name.lower(): value for name, value in headers.items()}["x-goog-upload-size-received"]
    assert (status, received) == (200, "30")
    status, _, body = send("upload, finalize", 30, GOOD[30:])
    assert (status, json.loads(body)["file"]["sizeBytes"]) == (200, str(len(GOOD)))
