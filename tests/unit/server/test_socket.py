"""What only a real socket shows: header names as they are sent, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from halfrate.server import bodies
from halfrate.server.app import make_asgi
from halfrate.server.spelling import Spelled
from tests.fakes import until

LINE = b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n'
ASK = json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode()


@pytest.fixture
async def port(app) -> AsyncIterator[int]:
    asgi = make_asgi(
        files=app.files,
        uploads=app.uploads,
        jobs=app.jobs,
        retries=app.retries,
        models=app.models,
        monitor=app.monitor,
        limits=app.config.limits,
    )
    server = uvicorn.Server(uvicorn.Config(Spelled(asgi), log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


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


async def test_a_client_that_goes_silent_does_not_hold_its_upload(port, monkeypatch):
    monkeypatch.setattr(bodies, "SILENCE_SECONDS", 0.2)
    target = await begin(await Wire.to(port), len(LINE))
    silent = await Wire.to(port)
    await silent.send(
        target, LINE[:30], length=len(LINE), X_Goog_Upload_Command="upload", X_Goog_Upload_Offset="0"
    )
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(received(port, target), 10) == 30
    head, _ = await silent.answer()
    assert head.startswith("HTTP/1.1 499 ")


async def test_a_refused_body_is_not_waited_for(port):
    wire = await Wire.to(port)
    await wire.send("/v1/models/gemini-x:generateContent", b"{", length=1 << 40)
    head, body = await asyncio.wait_for(wire.answer(), 10)
    assert head.startswith("HTTP/1.1 400 ")
    assert "exceeds the limit" in json.loads(body)["error"]["message"]
