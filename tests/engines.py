"""The Engines under test, and the models they need."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.gguf import write_toy

# Restarts at once, little memory, one thread: tests share the machine with each other. 32-bit floats, because
# with 16 bits an answer may depend on what else is in the batch.
QUICK = EmbeddedSettings(
    threads=1, precision="f32", kv_blocks=512, sequences_max=8, backoff_seconds=0.01, stop_seconds=10
)


def real_model() -> Path:
    """The demonstration model, or the one HALFRATE_TEST_MODEL names. Skips the test where there is none."""
    named = os.environ.get("HALFRATE_TEST_MODEL")
    path = Path(named) if named else Path(str(files("halfrate"))) / "pocket" / "pocket-1.gguf"
    if not path.is_file():
        pytest.skip("the demonstration model is not in this checkout")
    return path


def toy_model(folder: Path) -> Path:
    """A model that loads in a moment and knows nothing: it writes NUL for ever. It has no chat template."""
    path = folder / "toy.gguf"
    write_toy(path)
    return path


def ask(text: str, *, system: str | None = None, **sampling: object) -> Request:
    """A Request of one user Message."""
    opening = () if system is None else (Message(Role.SYSTEM, system),)
    return Request((*opening, Message(Role.USER, text)), Sampling(**sampling))  # type: ignore[arg-type]


async def eventually(what: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait until it is so. Only for what another process does, and emits no event for."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs. One that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
