"""A server in this process: everything real but the Engine, which plays a script, and the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from halfrate.app import App, open_app
from halfrate.config import Config, Limits, ModelConfig
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.serve import asgi_of

LIMITS = Limits(inline_bytes=2_000_000, inline_results_bytes=1_500_000, file_bytes=3_000_000)


@pytest.fixture
async def engine() -> ScriptedEngine:
    return ScriptedEngine(failing("fail me"))


@pytest.fixture
async def app(tmp_path: Path, engine: ScriptedEngine) -> AsyncIterator[App]:
    config = Config(
        data_dir=str(tmp_path / "data"),
        models={"scripted": ModelConfig(path="scripted-1", aliases=("gemini-*", "other-name"))},
        limits=LIMITS,
    )
    async with open_app(config, make_engine=lambda _: engine) as app:
        yield app


Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def connect(app: App) -> AsyncIterator[Connect]:
    """Make clients: keyword arguments go to `asgi_of`, ``base_url`` to the client."""
    clients = []

    def make(*, base_url: str = "http://localhost:8080", **settings: object) -> httpx.AsyncClient:
        asgi = asgi_of(app, **settings)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=base_url)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def client(connect: Connect) -> httpx.AsyncClient:
    return connect()


async def uploaded(client: httpx.AsyncClient, content: bytes, **fields: object) -> str:
    """Upload a File at once and return its name."""
    start = await client.post(
        "/upload/v1beta/files",
        headers={"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"},
        json={"file": {"mimeType": "jsonl", **fields}},
    )
    assert start.status_code == 200, start.text
    done = await client.post(
        start.headers["x-goog-upload-url"],
        headers={"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"},
        content=content,
    )
    assert done.status_code == 200, done.text
    return str(done.json()["file"]["name"])


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask over and over, as clients do."""
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.02)


async def finished(client: httpx.AsyncClient, name: str) -> dict:
    """Poll a batch until it is done."""
    operation: dict = {}

    async def done() -> bool:
        operation.update((await client.get(f"/v1beta/{name}")).json())
        return operation.get("done", False)

    await until(done)
    return operation
