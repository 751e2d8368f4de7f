"""A receiver of webhooks on the loopback interface, which tests steer."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11


@dataclass(frozen=True)
class Received:
    """One call, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came so far. ``answer`` is sent, as it is, to each call; None says nothing and keeps the line."""

    port: int = 0
    calls: list[Received] = field(default_factory=list)
    answer: Callable[[Received], bytes | None] = lambda call: answered(200)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_for(self, count: int) -> list[Received]:
        """Return the calls once there are so many."""
        async with asyncio.timeout(20):
            while len(self.calls) < count:
                self.came.clear()
                await self.came.wait()
        return self.calls


def answered(status: int, head: str = "", body: str = "") -> bytes:
    """An answer as bytes."""
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{head}\r\n{body}".encode()


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Take calls until left."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            receiver.calls.append(call := await _call(reader))
            receiver.came.set()
            said = receiver.answer(call)
            if said is None:
                await asyncio.Event().wait()
            else:
                writer.write(said)
                await writer.drain()
        except (ConnectionError, h11.RemoteProtocolError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call(reader: asyncio.StreamReader) -> Received:
    connection = h11.Connection(h11.SERVER)
    path, headers, body = "", {}, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            path = event.target.decode()
            headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return Received(path, headers, body)
        else:
            raise ConnectionError("closed")
