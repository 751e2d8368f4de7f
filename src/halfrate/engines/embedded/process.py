"""One life of the engine's child process: started, spoken to, ended, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Self

from halfrate.engines.embedded import protocol

MODULE = "halfrate.engines.embedded.child"

_READ_BYTES = 256 * 1024
_LAST_LINES = 20
_LINE_CHARACTERS_MAX = 300
_DRAIN_SECONDS = 2.0


class Child:
    """A running child. Leaving `start` ends it: its input is closed, it is terminated, then killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._printed: deque[str] = deque(maxlen=_LAST_LINES)
        self._killed_because: str | None = None
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, *, stop_seconds: float, module: str = MODULE) -> AsyncIterator[Self]:
        """Start a child that runs ``module``; it waits for its `protocol.Load`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file called openvino.py in the user's folder is not what we mean to import
            "-m",
            module,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # an interrupt from the keyboard is the server's, which ends the child
        )
        child = cls(process)
        try:
            yield child
        finally:
            end = asyncio.ensure_future(child._end(stop_seconds))
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError:  # no patience left, but no orphan either
                child.kill("the server ends")
                await end
                raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: protocol.ToChild) -> None:
        """Queue a message. What a dead child does not read is dropped; `messages` then ends."""
        if not self._stdin.is_closing():
            self._stdin.write(protocol.encode(message))

    async def messages(self) -> AsyncIterator[protocol.FromChild]:
        """What it says, until it is gone or says something that makes no sense, for which it is killed."""
        frames = protocol.Frames()
        while data := await self._stdout.read(_READ_BYTES):
            try:
                for body in frames.feed(data):
                    yield protocol.decode_from_child(body)
            except protocol.BadFrame as error:
                self.kill(str(error))
                return

    def kill(self, because: str) -> None:
        """End it at once."""
        self._killed_because = because
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def last_words(self) -> str:
        """Wait for its end, and say how it came, with the last line it printed."""
        status = await self._process.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._listener), _DRAIN_SECONDS)
        said = f" It last printed: {self._printed[-1]}" if self._printed else ""
        return f"The engine's process ended: {self._killed_because or _ending(status)}.{said}"

    async def _listen(self) -> None:
        """Keep the last lines it printed, and the pipe empty."""
        tail = ""
        while data := await self._stderr.read(_READ_BYTES):
            *lines, tail = (tail + data.decode(errors="replace")).split("\n")
            self._printed.extend(line[:_LINE_CHARACTERS_MAX] for line in lines if line.strip())
            tail = tail[-_LINE_CHARACTERS_MAX:]

    async def _end(self, stop_seconds: float) -> None:
        self._stdin.close()
        for end in (self._process.terminate, self._process.kill):
            if self._process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                end()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), stop_seconds)
        self._listener.cancel()


_LESS_MEMORY = "lower models.NAME.kv_cache_gigabytes, or use a smaller model"


def _ending(status: int) -> str:
    if status == protocol.EXIT_OUT_OF_MEMORY:
        return f"it ran out of memory; {_LESS_MEMORY}"
    if status == -signal.SIGKILL:
        return (
            "signal SIGKILL, perhaps sent by the kernel because memory ran out; "
            f"if `dmesg` says so, {_LESS_MEMORY}"
        )
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"
