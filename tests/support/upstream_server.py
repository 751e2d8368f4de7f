"""Servers to be asked: in a thread of their own, on a port of their own, and mortal. And halfrate as one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import uvicorn

from halfrate.app import App, open_app
from halfrate.config import Config, DispatchConfig, Limits, ModelConfig, ServerConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine
from halfrate.serve import asgi_of
from halfrate.server.patience import patient_protocol
from halfrate.server.spelling import Spelled

MODEL = "there"
Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class MortalServer:
    """Serves what `open` gives at ``origin``. It lives from `start` to `stop`.

    `down` ends it as a crash would, as far as clients can tell; `up` has it back. ``calls`` are the methods
    and paths it was called with. By the beginning of such a call, as in ``GET /v1``: what is answered
    ``instead`` (a status, a body, and how often), what is said to be the answer ``afterwards``, when it has
    been done, and ``headers_instead`` of those it has. At the first call that begins with ``hang_at`` it says
    no more, before or after it has done it, or in the middle of its answer, and ``hangs``; or it hangs up,
    and does it then.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.instead: dict[str, tuple[int, bytes, int]] = {}
        self.afterwards: dict[str, tuple[int, bytes, int]] = {}
        self.headers_instead: dict[str, dict[str, str]] = {}
        self.hang_at: tuple[str, Literal["before", "after", "half", "hang up"]] | None = None
        self.hangs = threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self._port}"
        self._asgi: Asgi
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._answers: asyncio.Event
        self._awaited = self._held = 0
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def open(self) -> AbstractAsyncContextManager[Asgi]:
        """Return what is served, for as long as it is entered."""
        raise NotImplementedError

    async def start(self) -> None:
        """Begin, and return when it listens."""
        self._thread.start()
        await asyncio.to_thread(self._started.wait)

    async def stop(self) -> None:
        """End in peace."""
        self._loop.call_soon_threadsafe(self._ended.set)
        await asyncio.to_thread(self._thread.join)

    async def hold(self, calls: int) -> None:
        """Answer nothing that is asked from now on. `crash` will wait until so many calls wait for that."""

        async def hold() -> None:
            self._answers.clear()
            self._awaited, self._held = calls, 0

        await self._there(hold())

    async def crash(self) -> None:
        """Go down with what is held, and come back."""

        async def crash() -> None:
            while self._held < self._awaited:
                await asyncio.sleep(0.001)
            await self._down()
            self._answers.set()
            await self._up()

        await self._there(crash())

    async def down(self) -> None:
        """Hang up on everybody, and listen no more."""
        await self._there(self._down())

    async def up(self) -> None:
        """Listen again."""
        await self._there(self._up())

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended, self._answers = asyncio.Event(), asyncio.Event()
        self._answers.set()
        async with self.open() as self._asgi:
            await self._up()
            self._started.set()
            await self._ended.wait()
            await self._down()

    async def _up(self) -> None:
        config = uvicorn.Config(
            self._noting(self._asgi),
            http=patient_protocol(ServerConfig()),
            log_level="critical",
            lifespan="off",
            port=self._port,
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.001)

    async def _down(self) -> None:
        if self._server is None or self._serving is None:
            return
        for server in self._server.servers:
            server.close()
        self._hang_up()
        self._server.force_exit = self._server.should_exit = True
        await self._serving
        self._server = self._serving = None

    async def _hang(
        self, when: str, inner: Any, scope: MutableMapping[str, Any], receive: Any, send: Any
    ) -> None:
        if when == "after":
            await inner(scope, receive, _unheard)
        elif when == "hang up":
            self._hang_up()
            await inner(scope, receive, _unheard)
        elif when == "half":
            await inner(scope, receive, _half_of(send))
        self.hangs.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    def _hang_up(self) -> None:
        assert self._server is not None
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()  # type: ignore[union-attr]

    def _noting(self, inner: Any) -> Asgi:
        async def noting(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            self.calls.append((scope["method"], scope["path"]))
            self._held += 1
            await self._answers.wait()
            call = f"{scope['method']} {scope['path']}"
            if self.hang_at is not None and call.startswith(self.hang_at[0]):
                when, self.hang_at = self.hang_at[1], None
                await self._hang(when, inner, scope, receive, send)
            elif (instead := _next(self.instead, call)) is not None:
                await _send(send, *instead)
            elif (afterwards := _next(self.afterwards, call)) is not None:
                await inner(scope, receive, _unheard)
                await _send(send, *afterwards)
            else:
                headers = next((h for c, h in self.headers_instead.items() if call.startswith(c)), {})
                await inner(scope, receive, _with(headers, send) if headers else send)

        return noting


def _next(answers: dict[str, tuple[int, bytes, int]], call: str) -> tuple[int, bytes] | None:
    """Return what is to be answered, as often as it is to be."""
    for beginning, (status, body, times) in answers.items():
        if call.startswith(beginning) and times:
            answers[beginning] = (status, body, times - 1)
            return status, body
    return None


def _half_of(send: Any) -> Any:
    """Send the beginning of what is sent."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        body = message.get("body", b"")
        if message["type"] == "http.response.start" or body:
            await send({**message, "body": body[: len(body) // 2], "more_body": True})

    return sent


async def _unheard(_: Any) -> None:
    """Send nothing on."""


async def _send(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with(headers: dict[str, str], send: Any) -> Any:
    """Send other headers than those that are sent."""
    others = [(name.encode(), value.encode()) for name, value in headers.items()]
    names = {name.lower() for name, _ in others}

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [(n, v) for n, v in message["headers"] if n.lower() not in names]
            message = {**message, "headers": [*kept, *others]}
        await send(message)

    return sent


class UpstreamServer(MortalServer):
    """halfrate, with one model, named `MODEL`, which ``engine`` plays."""

    def __init__(self, config: Config, make_engine: Callable[[], ScriptedEngine]) -> None:
        super().__init__()
        self._config = config
        self._make_engine = make_engine
        self.url = f"{self.origin}/v1beta"
        self.engine: ScriptedEngine
        self.app: App

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Asgi]:
        """Run it."""
        self.engine = self._make_engine()
        async with open_app(self._config, make_engine=lambda _: self.engine) as self.app:
            yield Spelled(asgi_of(self.app))


@asynccontextmanager
async def upstream_server(
    data: Path,
    make_engine: Callable[[], ScriptedEngine] = ScriptedEngine,
    *,
    kind: Kind = Kind.GENERATION,
    limits: Limits | None = None,
    dispatch: DispatchConfig | None = None,
) -> AsyncIterator[UpstreamServer]:
    """Have one until left."""
    models = {MODEL: ModelConfig(path="scripted-1", kind=kind)}
    config = Config(
        data_dir=str(data),
        models=models,
        limits=limits or Limits(),
        dispatch=dispatch or DispatchConfig(),
    )
    server = UpstreamServer(config, make_engine)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
