"""Files of two gigabytes, and one byte more, against a real server."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from halfrate.config import Limits
from halfrate.engines.embedded.gguf import write_toy
from tests.big.processes import watched
from tests.support.processes import Server, serving

pytestmark = pytest.mark.big

FILE_BYTES = Limits().file_bytes
FILE_LINES = Limits().file_lines
MEBIBYTE = 1 << 20
CHUNK_BYTES = 8 * MEBIBYTE
RSS_BYTES_MAX = 256 * MEBIBYTE
GROWTH_MAX = 1.15
PATIENCE_SECONDS = 3_600


def lines(count: int, size_bytes: int) -> Iterator[bytes]:
    """Lines of a few lengths, ``size_bytes`` in all, with a key each."""
    for number in range(count):
        # What is left is shared out evenly, so that the last line ends at the last byte.
        length = size_bytes * (number + 1) // count - size_bytes * number // count
        head = b'{"key": "%08d", "request": {"contents": [{"parts": [{"text": "' % number
        yield head + b"x" * (length - len(head) - len(_TAIL)) + _TAIL


_TAIL = b'"}]}]}}\n'


def chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        held.append(piece)
        size_bytes += len(piece)
        if size_bytes >= CHUNK_BYTES:
            yield b"".join(held)
            held, size_bytes = [], 0
    yield b"".join(held)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """One connection, kept."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_SECONDS)

    def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, target, body, named)
        answer = self._connection.getresponse()
        spelled = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, spelled, json.loads(answer.read()))

    def begin(self, declared_bytes: int | None) -> Reply:
        length = (
            {} if declared_bytes is None else {"X_Goog_Upload_Header_Content_Length": str(declared_bytes)}
        )
        return self.call("POST", "/upload/v1/files", b"{}", X_Goog_Upload_Command="start", **length)

    def step(self, begun: Reply, command: str, offset: int, body: bytes) -> Reply:
        url = urlsplit(begun.headers["x-goog-upload-url"])
        headers = {"X_Goog_Upload_Command": command, "X_Goog_Upload_Offset": str(offset)}
        return self.call("POST", f"{url.path}?{url.query}", body, **headers)

    def upload(self, pieces: Iterator[bytes], declared_bytes: int | None) -> str:
        begun, offset = self.begin(declared_bytes), 0
        for chunk in chunks(pieces):
            reply = self.step(begun, "upload", offset, chunk)
            offset += len(chunk)
            assert (reply.status, reply.headers["x-goog-upload-size-received"]) == (200, str(offset))
        done = self.step(begun, "upload, finalize", offset, b"")
        assert (done.status, int(done.body["file"]["sizeBytes"])) == (200, offset), done
        return str(done.body["file"]["name"])


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "toy.gguf"
    write_toy(path)
    return path


def peak_of_a_job(toy: Path, folder: Path, *, count: int, size_bytes: int) -> int:
    """Upload a file and make a Job of it; return the memory of the server until the Job runs."""
    with serving("--data", folder, "-m", toy) as server, watched(server.process.pid) as peak:
        client = Client(server)
        file = client.upload(lines(count, size_bytes), size_bytes)
        batch = json.dumps({"batch": {"inputConfig": {"fileName": file}}}).encode()
        job = client.call("POST", "/v1/models/toy:batchGenerateContent", batch)
        assert job.status == 200, job
        waits_until = time.monotonic() + PATIENCE_SECONDS
        while (shown := client.call("GET", f"/v1/{job.body['name']}").body["metadata"])["state"] == (
            "BATCH_STATE_PENDING"
        ):
            assert time.monotonic() < waits_until, shown
            time.sleep(0.2)
        assert shown["batchStats"]["requestCount"] == str(count)
        assert client.call("DELETE", f"/v1/{job.body['name']}").status == 200
    return peak.rss_bytes


def test_a_job_of_ten_million_lines_takes_the_memory_of_a_small_one(toy: Path, tmp_path: Path) -> None:
    small = peak_of_a_job(toy, tmp_path / "small", count=100_000, size_bytes=20 * MEBIBYTE)
    large = peak_of_a_job(toy, tmp_path / "large", count=FILE_LINES, size_bytes=FILE_BYTES)
    told = f"{small / MEBIBYTE:.0f} MiB for 20 MiB, {large / MEBIBYTE:.0f} MiB for 2 GiB"
    print(told)
    assert large < RSS_BYTES_MAX, told
    assert large <= small * GROWTH_MAX, told


def test_one_byte_more_is_refused_when_it_is_announced(toy: Path, tmp_path: Path) -> None:
    with serving("--data", tmp_path, "-m", toy) as server:
        refused = Client(server).begin(FILE_BYTES + 1)
        assert refused.status == 400
        assert f"at most {FILE_BYTES} are taken" in refused.body["error"]["message"]


def test_one_byte_more_is_refused_when_it_comes_unannounced(toy: Path, tmp_path: Path) -> None:
    with serving("--data", tmp_path, "-m", toy) as server:
        client = Client(server)
        begun, blank = client.begin(None), (b" " * (MEBIBYTE - 1) + b"\n") * (CHUNK_BYTES // MEBIBYTE)
        for offset in range(0, FILE_BYTES, CHUNK_BYTES):
            assert client.step(begun, "upload", offset, blank).status == 200
        refused = client.step(begun, "upload", FILE_BYTES, b"\n")
        assert refused.status == 400
        assert f"at most {FILE_BYTES} are taken" in refused.body["error"]["message"]
        assert refused.headers["x-goog-upload-size-received"] == str(FILE_BYTES)
        assert client.step(begun, "finalize", FILE_BYTES, b"").body["file"]["sizeBytes"] == str(FILE_BYTES)
