"""A server on the loopback interface that lists one model and answers whatever else as a test wants it to."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

MODEL = "hostile-1"


@dataclass(frozen=True)
class Asked:
    """A call as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Act = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def respond(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """The bytes of a whole HTTP answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + content


def saying(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Act:
    """Answer with this, and hang up if asked to."""

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        closing = asked.headers.get("connection") == "close"
        named = (headers or {}) | ({"Connection": "close"} if closing else {})
        writer.write(respond(body, status=status, headers=named))
        if closing:
            writer.close()

    return act


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunked(data: bytes) -> bytes:
    """One chunk of a body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def completion(text: str = "Hello.", finish: str = "stop") -> dict[str, object]:
    """A chat completion."""
    return {
        "id": "1",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


def event(text: str = "", finish: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


class HostileServer:
    """Listens while entered. ``act`` answers what is asked of the model, ``models`` the list of models.

    ``asked`` are the calls for the model, ``connections`` how many there ever were, ``open`` those that still
    are, and ``hung_up`` is set whenever one ends.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.act: Act = saying(completion())
        self.models: Act = saying({"data": [{"id": MODEL, "owned_by": "somebody"}]})
        self.asked: list[Asked] = []
        self.arrived = asyncio.Event()
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.hung_up = asyncio.Event()
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        origin = "http://127.0.0.1" if self._tls is None else "https://localhost"
        return f"{origin}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Hang up on everybody and listen no more."""
        self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop_listening(self) -> None:
        """Let nobody in any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def none_open(self) -> None:
        """Wait until every connection is closed."""
        while self.open:
            self.hung_up.clear()
            await self.hung_up.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever called has hung up, or the test is over
        finally:
            writer.transport.abort()
            self.open.discard(writer)
            self._tasks.discard(task)
            self.hung_up.set()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            method, path, _ = first.split(" ")
            asked = Asked(
                method, path, headers, await reader.readexactly(int(headers.get("content-length", 0)))
            )
            if path == "/v1/models":
                await self.models(asked, writer)
            else:
                self.asked.append(asked)
                self.arrived.set()
                await self._act(asked, reader, writer)

    async def _act(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Act until the other end hangs up: an act that hangs is over then."""
        acting = asyncio.ensure_future(self.act(asked, writer))
        watching = asyncio.ensure_future(_hang_up(reader))
        try:
            await asyncio.wait([acting, watching], return_when=asyncio.FIRST_COMPLETED)
            if not acting.done():
                raise ConnectionResetError
            await acting
        finally:
            for task in (acting, watching):
                task.cancel()


async def _hang_up(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.002)
