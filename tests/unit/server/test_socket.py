"""What only a real socket shows: header names as they are sent, and clients that go away."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from halfrate.config import ServerConfig
from halfrate.serve import asgi_of
from halfrate.server.patience import patient_protocol
from halfrate.server.spelling import Spelled
from tests.fakes import open_files, until, upload

LINE = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n'
ASK = json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode()


@asynccontextmanager
async def listening(app, settings: ServerConfig) -> AsyncIterator[int]:
    """Serve on a free port, as `halfrate serve` does."""
    asgi = asgi_of(app, server=settings)
    config = uvicorn.Config(
        Spelled(asgi), http=patient_protocol(settings), log_level="warning", lifespan="off"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


@pytest.fixture
async def port(app) -> AsyncIterator[int]:
    async with listening(app, ServerConfig()) as port:
        yield port


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Wire:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(
        self, target: str, body: bytes = b"", *, length: int | None = None, **headers: str
    ) -> None:
        lines = [f"POST {target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body) if length is None else length}", "", ""]
        self._writer.write("\r\n".join(lines).encode() + body)
        await self._writer.drain()

    async def answer(self) -> tuple[str, bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.splitlines() if line.lower().startswith("content-length: "))
        return head, await self._reader.readexactly(int(length.split()[1]))

    async def call(self, target: str, body: bytes = b"", **headers: str) -> tuple[str, bytes]:
        await self.send(target, body, **headers)
        return await self.answer()

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ended(self) -> bytes:
        """What still comes until the server closes the connection."""
        async with asyncio.timeout(20):
            return await self._reader.read()

    def abort(self) -> None:
        self._writer.transport.abort()


async def begin(wire: Wire, size_bytes: int) -> str:
    head, _ = await wire.call(
        "/upload/v1/files",
        X_Goog_Upload_Command="start",
        X_Goog_Upload_Header_Content_Length=str(size_bytes),
    )
    (url,) = [line.split(": ")[1] for line in head.splitlines() if line.startswith("X-Goog-Upload-URL: ")]
    return url.removeprefix("http://localhost")


async def received(port: int, target: str) -> int:
    head, _ = await (await Wire.to(port)).call(target, X_Goog_Upload_Command="query")
    (size,) = [
        line.split()[1] for line in head.splitlines() if line.startswith("X-Goog-Upload-Size-Received")
    ]
    return int(size)


async def test_header_names_keep_their_capitals(port):
    """One SDK's tests look them up case-sensitively."""
    wire = await Wire.to(port)
    target = await begin(wire, len(LINE))
    head, _ = await wire.call(
        target, LINE, X_Goog_Upload_Command="upload, finalize", X_Goog_Upload_Offset="0"
    )
    assert head.startswith("HTTP/1.1 200 ")
    assert "\r\nContent-Type: application/json; charset=UTF-8\r\n" in head
    assert "\r\nX-Goog-Upload-Status: final\r\n" in head
    head, _ = await wire.call("/v1/models/nope:generateContent", ASK)
    assert "\r\nContent-Type: application/json; charset=UTF-8\r\n" in head


async def test_a_shaped_answer_to_a_packed_call_with_an_escaped_path(port):
    wire = await Wire.to(port)
    batch = {"batch": {"inputConfig": {"requests": {"requests": [{"request": json.loads(ASK)}]}}}}
    target = "/v1beta/models/gemini-x%3AbatchGenerateContent?fields=metadata(state)&prettyPrint=true"
    head, body = await wire.call(target, gzip.compress(json.dumps(batch).encode()), Content_Encoding="gzip")
    assert head.startswith("HTTP/1.1 200 ")
    assert "\r\nContent-Type: application/json; charset=UTF-8\r\n" in head
    assert head.lower().count("content-length") == 1
    assert body == b'{\n  "metadata": {\n    "state": "BATCH_STATE_PENDING"\n  }\n}\n'
    head, body = await wire.call("/v1/files", X_HTTP_Method_Override="GET")
    assert (head.split()[1], body) == ("200", b"{}"), "the connection goes on"


async def test_a_client_that_leaves_frees_the_engine(port, engine):
    engine._delay_seconds = 3600
    wire = await Wire.to(port)
    await wire.send("/v1/models/gemini-x:generateContent", ASK)

    async def busy() -> bool:
        return len(engine.in_flight) == 1

    async def idle() -> bool:
        return not engine.in_flight

    await until(busy)
    wire.abort()
    await until(idle)


async def test_what_arrived_before_a_client_left_is_kept(port):
    target = await begin(await Wire.to(port), len(LINE))
    wire = await Wire.to(port)
    chunk = {"X_Goog_Upload_Command": "upload, finalize", "X_Goog_Upload_Offset": "0"}
    await wire.send(target, LINE[:30], length=len(LINE), **chunk)
    await asyncio.sleep(0.1)
    wire.abort()

    async def kept() -> bool:
        return await received(port, target) == 30

    await until(kept)
    chunk["X_Goog_Upload_Offset"] = "30"
    _, body = await (await Wire.to(port)).call(target, LINE[30:], **chunk)
    assert json.loads(body)["file"]["sizeBytes"] == str(len(LINE))


async def test_a_client_that_goes_silent_does_not_hold_its_upload(app):
    async with listening(app, ServerConfig(silence_seconds=0.2)) as port:
        target = await begin(await Wire.to(port), len(LINE))
        silent = await Wire.to(port)
        chunk = {"X_Goog_Upload_Command": "upload", "X_Goog_Upload_Offset": "0"}
        await silent.send(target, LINE[:30], length=len(LINE), **chunk)
        head, body = await asyncio.wait_for(silent.answer(), 10)
        assert head.startswith("HTTP/1.1 408 ")
        assert "too slowly: 30 bytes" in json.loads(body)["error"]["message"]
        assert "\r\nX-Goog-Upload-Status: final\r\n" in head
        assert "\r\nX-Goog-Upload-Size-Received: 30\r\n" in head
        assert await received(port, target) == 30


async def test_a_client_that_asks_again_does_not_wait_for_its_old_connection(port, app):
    """It was cut off without the server's having heard of it."""
    target = await begin(await Wire.to(port), 2 << 20)
    upload_id = parse_qs(urlsplit(target).query)["upload_id"][0]
    lost = await Wire.to(port)
    chunk = {"X_Goog_Upload_Command": "upload", "X_Goog_Upload_Offset": "0"}
    await lost.send(target, b"x" * (1 << 20), length=2 << 20, **chunk)

    async def arrived() -> bool:
        return bool(app.uploads.received_bytes(upload_id))

    await until(arrived)
    assert await asyncio.wait_for(received(port, target), 10) == 1 << 20
    head, body = await lost.answer()
    assert head.startswith("HTTP/1.1 400 ")
    assert "Another call about this upload" in json.loads(body)["error"]["message"]


async def test_a_body_that_drips_is_refused_although_it_never_stops(app):
    async with listening(app, ServerConfig(silence_seconds=0.3, bytes_per_second=1_000_000)) as port:
        wire = await Wire.to(port)
        await wire.send("/v1/models/gemini-x:generateContent", b"{", length=1_000)

        async def drip() -> None:
            while True:
                await wire.write(b" ")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        head, body = await asyncio.wait_for(wire.answer(), 10)
        dripping.cancel()
        assert head.startswith("HTTP/1.1 408 ")
        assert "DEADLINE_EXCEEDED" in body.decode()


@pytest.mark.parametrize(
    "begins",
    [b"", b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nX: ", b"\r\n\r\n"],
    ids=["nothing", "half a head", "empty lines"],
)
async def test_a_head_that_does_not_come_is_not_waited_for(app, begins):
    async with listening(app, ServerConfig(head_seconds=0.2)) as port:
        wire = await Wire.to(port)
        await wire.write(begins)
        assert await wire.ended() == b""
        slow = await Wire.to(port)
        await slow.call("/v1/models/nope:generateContent", ASK)
        await slow.write(begins)
        assert await slow.ended() == b""


async def test_the_rest_of_a_refused_body_is_not_taken_for_ever(app):
    async with listening(app, ServerConfig(head_seconds=0.2)) as port:
        wire = await Wire.to(port)
        await wire.send("/v1/models/nope:generateContent", b"x", length=1 << 40)
        head, _ = await wire.answer()
        assert head.startswith("HTTP/1.1 404 ")

        async def closed() -> bool:
            try:
                await wire.write(b"x" * 1_000)
            except ConnectionError:
                return True
            return False

        await until(closed)


async def test_an_answer_that_takes_long_is_waited_for(app, engine):
    engine._delay_seconds = 0.5
    async with listening(app, ServerConfig(head_seconds=0.1, silence_seconds=0.1)) as port:
        head, _ = await (await Wire.to(port)).call("/v1/models/gemini-x:generateContent", ASK)
        assert head.startswith("HTTP/1.1 200 ")


async def test_a_head_without_end_is_refused(port):
    wire = await Wire.to(port)
    await wire.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + b"X: %s\r\n" % (b"x" * 1_000) * 66)
    assert (await wire.ended()).startswith(b"HTTP/1.1 431 ")


async def test_a_connection_too_many_is_turned_away(app):
    async with listening(app, ServerConfig(connections=2)) as port:
        first, second = await Wire.to(port), await Wire.to(port)
        await first.call("/v1/models/nope:generateContent", ASK)
        await second.call("/v1/models/nope:generateContent", ASK)
        third = await Wire.to(port)
        assert (await third.ended()).startswith(b"HTTP/1.1 503 ")
        first.abort()

        async def admitted() -> bool:
            try:
                head, _ = await (await Wire.to(port)).call("/v1/models/nope:generateContent", ASK)
            except (ConnectionError, asyncio.IncompleteReadError):
                return False
            return head.startswith("HTTP/1.1 404 ")

        await until(admitted)


async def test_a_refused_body_is_not_waited_for(port):
    wire = await Wire.to(port)
    await wire.send("/v1/models/gemini-x:generateContent", b"{", length=1 << 40)
    head, body = await asyncio.wait_for(wire.answer(), 10)
    assert head.startswith("HTTP/1.1 400 ")
    assert "exceeds the limit" in json.loads(body)["error"]["message"]


STREAM = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"


def long_ask(words: int) -> dict[str, object]:
    return {"contents": [{"parts": [{"text": "word " * words}]}]}


async def test_the_first_piece_leaves_before_the_last_is_written(port, engine):
    engine.word_seconds = 0.02
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("POST", STREAM, json=long_ask(50)) as reply,
    ):
        arrived = [piece async for piece in reply.aiter_raw()]
    assert len(arrived) > 10
    assert b'"text":"word"' in arrived[0]
    assert b"finishReason" in arrived[-1]
    assert not any(b"finishReason" in piece for piece in arrived[:-1])


async def test_a_client_that_leaves_a_stream_stops_the_engine(port, engine, monkeypatch):
    engine.word_seconds = 0.02
    answer, stopped = engine.answer, asyncio.Event()

    async def watched(*args, **kwargs):
        try:
            return await answer(*args, **kwargs)
        except asyncio.CancelledError:
            stopped.set()
            raise

    monkeypatch.setattr(engine, "answer", watched)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        async with client.stream("POST", STREAM, json=long_ask(3_000)) as reply:
            await anext(reply.aiter_raw())
        async with asyncio.timeout(20):
            await stopped.wait()


DOWNLOAD_BYTES = 2_900_000


async def download(port: int, file_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a download on a connection on which the system keeps little of it."""
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    asking.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=asking, limit=1 << 12)
    writer.write(f"GET /v1beta/files/{file_id}:download HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


def small_buffers(monkeypatch) -> None:
    """Have the system keep little of what is sent, too: it takes some megabytes on its own."""
    connection_made = HttpToolsProtocol.connection_made

    def made(self, transport) -> None:
        connection_made(self, transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)

    monkeypatch.setattr(HttpToolsProtocol, "connection_made", made)


def open_sockets() -> int:
    """How many sockets this process has open."""
    return sum(name.startswith("socket:") for name in open_files())


async def test_a_download_that_is_not_taken_is_cut_off(app, monkeypatch):
    """Without a bound a client that stops reading would hold its connection, and a blob, for ever."""
    small_buffers(monkeypatch)
    file = await upload(app, LINE.ljust(DOWNLOAD_BYTES))
    async with listening(app, ServerConfig(silence_seconds=0.2, bytes_per_second=1)) as port:
        before = open_sockets()
        _, writer = await download(port, file.id)

        async def connected() -> bool:
            return open_sockets() == before + 2

        async def cut_off() -> bool:
            return open_sockets() == before + 1

        await until(connected)
        await until(cut_off)
        writer.close()


async def test_a_download_that_is_taken_slowly_goes_on(app, monkeypatch):
    small_buffers(monkeypatch)
    file = await upload(app, LINE.ljust(DOWNLOAD_BYTES))
    async with listening(app, ServerConfig(silence_seconds=0.2, bytes_per_second=1)) as port:
        reader, writer = await download(port, file.id)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(29):
            await reader.readexactly(DOWNLOAD_BYTES // 29)
            await asyncio.sleep(0.02)  # all of it takes longer than a silence, and none of it is one
        writer.close()
