"""Stand-ins that tests steer."""

import asyncio
import contextlib
import heapq
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

from halfrate.app import App
from halfrate.domain.file import File, output_file_id
from halfrate.domain.job import Counts, Job, JobState

EPOCH = 1_800_000_000.0


class FakeClock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = EPOCH
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        return await woken

    def waited_for(self) -> set[float]:
        """The instants that somebody waits for."""
        return {instant for instant, _, woken in self._sleepers if not woken.done()}

    def advance(self, *, seconds: float) -> None:
        """Move time on and wake who waited for it."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


def make_job(job_id: str = "job-1", **changes: object) -> Job:
    """A PENDING Job with three Requests, changed as asked."""
    values = {
        "id": job_id,
        "model": "models/pocket-1",
        "engine": "pocket-1",
        "display_name": "nightly",
        "priority": 0,
        "state": JobState.PENDING,
        "input_file": None,
        "input_blob": "uploads/abc",
        "keep_going": False,
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "deadline": EPOCH + 86_400,
        "promised_at": EPOCH + 86_400,
        "counts": Counts(requests=3),
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


def line(text: str, key: str | None = None, **config: object) -> bytes:
    """One documented input line."""
    request: dict[str, object] = {"contents": [{"parts": [{"text": text}]}]}
    if config:
        request["generationConfig"] = config
    return json.dumps(({} if key is None else {"key": key}) | {"request": request}).encode()


async def pieces(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """Bytes as they would arrive."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def upload(app: App, data: bytes) -> File:
    """A File of these bytes, by the way every client's bytes go."""
    begun = await app.uploads.begin(
        file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
    )
    await app.uploads.append(begun.id, offset=0, chunks=pieces(data))
    return await app.uploads.finish(begun.id)


async def submit(app: App, *lines: bytes, model: str = "pocket-1", **options: Any) -> Job:
    """A Job made from a File of these lines."""
    file = await upload(app, b"\n".join(lines))
    return await app.jobs.create_from_file(
        model=model, file_id=file.id, display_name="test", priority=0, **options
    )


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Return when something becomes true. It is looked at again and again, up to a generous bound."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def ended(app: App, job: Job) -> Job:
    """The Job once it is final."""

    async def final() -> bool:
        return (await app.jobs.get(job.id)).state.final

    await until(final)
    return await app.jobs.get(job.id)


async def results(app: App, job: Job) -> list[dict[str, Any]]:
    """The parsed lines of a Job's output."""
    _, chunks = await app.files.download(output_file_id(job.id))
    output = b"".join([chunk async for chunk in chunks])
    return [json.loads(text) for text in output.splitlines()]


def text_of(result: dict[str, Any]) -> str:
    """What the model answered in an output line."""
    return str(result["response"]["candidates"][0]["content"]["parts"][0]["text"])


def open_files() -> list[str]:
    """What the files this process has open are called."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(descriptor.readlink()))
    return links
