"""Who does ingest tasks: processes of their own, or this process where that is enough."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Protocol, Self

from halfrate.domain.errors import CorruptData
from halfrate.ingest.chunks import Reading
from halfrate.ingest.frames import Failure, encode, read_report
from halfrate.ingest.tasks import Report, Task, perform
from halfrate.store.blob.api import BlobStore

logger = logging.getLogger(__name__)

PROCESSES_MAX = 2
"""More would index faster on a large machine, and each takes up to 64 MB."""

WORKER = ("-P", "-m", "halfrate.ingest.worker")
"""How Python is called to be a worker."""

ATTEMPTS_MAX = 3
_STOP_SECONDS = 2.0

# A chunk needs the memory that the one before it needed: glibc is not to give it back and fetch it anew. That
# took a tenth of the time. Elsewhere these mean nothing.
_ALLOCATION = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}


class Workers(Protocol):
    """Do tasks."""

    async def perform(self, task: Task) -> Report:
        """Return what came of a task. Raise as `halfrate.ingest.tasks.perform` does.

        A task whose worker died is done again, some times; then this raises `CorruptData`.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class ThreadWorkers:
    """Does tasks in threads of this process: for small files, and for simulations."""

    def __init__(self, blobs: BlobStore, read: Reading) -> None:
        self._blobs = blobs
        self._read = read

    async def perform(self, task: Task) -> Report:
        """Return what came of a task."""
        return await asyncio.to_thread(perform, task, self._blobs, self._read)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass


class ProcessWorkers:
    """Does tasks in child processes, which share the blobs below ``root`` with this one.

    A child is started when it is first needed, and again when it has died. It ends when its input does, so
    that none outlives this process.
    """

    def __init__(self, root: Path, *, processes: int | None = None) -> None:
        self._root = root
        self._processes = processes or max(1, min(PROCESSES_MAX, os.cpu_count() or 1))
        self._waiting: asyncio.Queue[tuple[Task, asyncio.Future[Report]]] = asyncio.Queue()
        self._runners: list[asyncio.Task[None]] = []
        self._children: set[asyncio.subprocess.Process] = set()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [child.pid for child in self._children if child.returncode is None]

    async def perform(self, task: Task) -> Report:
        """Return what came of a task. First come, first served."""
        done: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        await self._waiting.put((task, done))
        return await done

    async def __aenter__(self) -> Self:
        self._runners = [asyncio.create_task(self._run()) for _ in range(self._processes)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        for runner in self._runners:
            runner.cancel()
        await asyncio.gather(*self._runners, return_exceptions=True)

    async def _run(self) -> None:
        child: asyncio.subprocess.Process | None = None
        try:
            while True:
                task, done = await self._waiting.get()
                attempt = 1
                while not done.done():  # who asked may have gone
                    if child is None or child.returncode is not None:
                        child = await self._start()
                    answer = await _ask(child, task)
                    if answer is not None:
                        _resolve(done, answer)
                    elif attempt == ATTEMPTS_MAX:
                        _resolve(done, _hopeless(task, child))
                    else:
                        logger.warning("An ingest worker ended with %s and is replaced.", child.returncode)
                    attempt += 1
        finally:
            if child is not None:
                await _end(child)

    async def _start(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *WORKER,
            str(self._root),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | _ALLOCATION,
            start_new_session=True,  # an interrupt from the keyboard is the server's, which ends the child
        )
        self._children = {known for known in self._children if known.returncode is None} | {child}
        return child


async def _ask(child: asyncio.subprocess.Process, task: Task) -> Report | Failure | None:
    """Return what came of a task, None if the child died over it."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(ConnectionError):
        child.stdin.write(encode(task))
        await child.stdin.drain()
    answer = await read_report(child.stdout)
    if answer is None:
        await child.wait()
    return answer


def _resolve(done: asyncio.Future[Report], answer: Report | Failure | Exception) -> None:
    if done.done():
        return
    if isinstance(answer, Failure):
        done.set_exception(answer.error())
    elif isinstance(answer, Exception):
        done.set_exception(answer)
    else:
        done.set_result(answer)


def _hopeless(task: Task, child: asyncio.subprocess.Process) -> Exception:
    return CorruptData(
        f"Blob {task.blob} cannot be read: {ATTEMPTS_MAX} ingest workers died over it, the last one with "
        f"status {child.returncode}. Look for what it has that others have not, and report it."
    )


async def _end(child: asyncio.subprocess.Process) -> None:
    assert child.stdin is not None
    child.stdin.close()
    with contextlib.suppress(TimeoutError, ProcessLookupError):
        await asyncio.wait_for(child.wait(), _STOP_SECONDS)
        return
    with contextlib.suppress(ProcessLookupError):
        child.kill()
    await child.wait()
