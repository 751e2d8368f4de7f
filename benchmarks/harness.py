"""What every benchmark shares: arms that alternate, a row that can be compared with the last one."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from halfrate.app import App
from halfrate.domain.file import output_file_id
from halfrate.domain.job import Job

HISTORY = Path(__file__).parent / "history.jsonl"

PACKAGES = ("openvino-genai", "apsw", "msgspec", "starlette", "uvicorn", "typer")


def alternating(first: str, second: str, rounds: int) -> Iterable[str]:
    """Yield the arms in the order A B B A A B B A ..., so that a drifting machine favours neither."""
    for number in range(rounds):
        yield from (first, second) if number % 2 == 0 else (second, first)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of what was measured, and its lowest and highest."""
    return {
        "median": round(statistics.median(values), 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }


async def answer_as_job(app: App, *, model: str, data: bytes) -> tuple[float, list[bytes]]:
    """Run a file as a Job; return the seconds from its creation to its output, and the lines of that."""

    async def arriving() -> AsyncIterator[bytes]:
        yield data

    upload = await app.uploads.begin(
        file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
    )
    await app.uploads.append(upload.id, offset=0, chunks=arriving())
    file = await app.uploads.finish(upload.id)
    began = time.perf_counter()
    job = await app.jobs.create_from_file(model=model, file_id=file.id, display_name="", priority=0)
    while not job.state.final:
        await asyncio.sleep(0.005)
        job = await app.jobs.get(job.id)
    seconds = time.perf_counter() - began
    return seconds, (await read_output(app, job)).splitlines()


async def read_output(app: App, job: Job) -> bytes:
    """Return the whole output of a finished Job."""
    _, chunks = await app.files.download(output_file_id(job.id))
    return b"".join([chunk async for chunk in chunks])


def peak_rss_megabytes(pid: int | None = None) -> float:
    """Return the most memory a process (default: this one) ever had resident, in MB, from the kernel."""
    for line in Path(f"/proc/{pid or 'self'}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the kernel does not say how much memory process {pid or 'self'} used")


class MemoryWatch:
    """Follows the resident memory of a process and of all its descendants, from the kernel's account."""

    def __init__(self, pid: int, *, every_seconds: float = 0.05) -> None:
        self._pid = pid
        self._every_seconds = every_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.peak_megabytes = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._every_seconds):
            self.peak_megabytes = max(self.peak_megabytes, sum(map(_rss_megabytes, _family(self._pid))))


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants, as far as they still live."""
    found, family = [pid], []
    while found:
        family.append(found.pop())
        for children in Path(f"/proc/{family[-1]}/task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except OSError:
                continue
    return family


def _rss_megabytes(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(name: str, figures: dict[str, Any]) -> None:
    """Print the row of one benchmark and add it to the history."""
    row = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cpus, {_processor()}",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        **figures,
    }
    print(json.dumps(row, indent=2))
    with HISTORY.open("a") as history:
        history.write(json.dumps(row) + "\n")


def check(claim: str, holds: bool) -> bool:
    """Say whether a claim held, on standard error."""
    print(f"{'holds' if holds else 'FAILS'}: {claim}", file=sys.stderr)
    return holds


def _commit() -> str:
    commit = _git("describe", "--always") or "unknown"
    # The history itself changes with every row.
    changed = _git("status", "--porcelain", "--", f":!{HISTORY.parent.name}/{HISTORY.name}")
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"
