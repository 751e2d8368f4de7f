"""Disks that run full and bytes that rot, under a running application."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from halfrate.app import App, open_app
from halfrate.config import Config, DispatchConfig, ModelConfig
from halfrate.engines.scripted import ScriptedEngine
from halfrate.serve import asgi_of
from tests.fakes import EPOCH

HASTE = 50.0


class HastyClock:
    """A clock on which every wait is over soon, in proportion."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now(self) -> float:
        return EPOCH + (time.monotonic() - self._began) * HASTE

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / HASTE)


Start = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Start:
    """Open an application on one data directory, as often as a test likes."""

    @asynccontextmanager
    async def start(engine: ScriptedEngine | None = None, lease_seconds: float = 30.0):
        config = Config(
            data_dir=str(data),
            models={"pocket-1": ModelConfig(path="pocket-1.gguf")},
            dispatch=DispatchConfig(shard_requests=20, backoff_seconds=0.001, lease_seconds=lease_seconds),
        )
        scripted = engine or ScriptedEngine()
        async with open_app(config, make_engine=lambda _: scripted, clock=HastyClock()) as app:
            yield app

    return start


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own, which a test fills."""

    path: Path

    @property
    def ballast(self) -> Path:
        return self.path / "ballast"

    def fill(self) -> None:
        """Leave no room at all."""
        with contextlib.suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4_096))

    def make_room(self) -> None:
        self.ballast.unlink()

    def change(self, options: str) -> None:
        _mount("-o", f"remount,{options}", self.path)


Mount = Callable[..., SmallDisk]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mount a small disk at a path. Skips the test where that is not allowed."""
    mounted: list[Path] = []

    def mount(path: Path, size: str) -> SmallDisk:
        path.mkdir(parents=True, exist_ok=True)
        try:
            _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small file system cannot be mounted here, which takes root: {error}")
        mounted.append(path)
        return SmallDisk(path)

    yield mount
    for path in reversed(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)  # also after a test that left files open


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True, text=True)


def client_of(app: App) -> httpx.AsyncClient:
    """Return a client of the application behind its HTTP face."""
    asgi = asgi_of(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://localhost:8080")
