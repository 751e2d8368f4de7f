"""The whole pipeline, from upload to published output, on an engine that answers at once: everything durable.

Three claims: enough Requests a second; a Job ten times as large takes ten times as long, no more; memory does
not grow with it. The other arm is the physical limit of the same durability: the same output bytes appended
to a file in groups of `GROUP` lines, each made durable before the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import MemoryWatch, check, peak_rss_megabytes, report, spread
from halfrate.app import App, open_app
from halfrate.config import Config, ModelConfig
from halfrate.domain.file import File, output_file_id
from halfrate.domain.job import Job, JobState
from halfrate.domain.outcome import Answered, Finish, Outcome
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.scripted import ScriptedEngine
from halfrate.ingest.lines import LineScanner

REQUESTS_A_SECOND_MIN = 30_000
SLOPE_MAX = 1.03
COST_RATIO_MAX = 1.15
RSS_MEGABYTES_MAX = 256

SIZES = (10_000, 100_000, 1_000_000)
SIZE_FULL = 10_000_000
ROUNDS = {10_000: 7, 100_000: 3}
"""How often a size is measured; once if it is not named here."""

WARM_UP = 500
GROUP = 512
OUTPUT_LINE_BYTES = 380
ANSWER_CHARS = 40
PHASES = ("upload", "plan", "answer", "assemble")

Figures = dict[str, Any]


def prompt(number: int) -> str:
    """Return a prompt whose place in sorted order says nothing about its number."""
    return f"Is review {number * 7_368_787 % 10_000_019:07} good or bad? {'it works well. ' * 6}"


def lines(count: int) -> Iterator[bytes]:
    """Yield input lines of about 200 bytes: ten million of them are a file of 2 GB."""
    for number in range(count):
        request = {"contents": [{"parts": [{"text": prompt(number)}]}]}
        yield msgspec.json.encode({"key": f"review-{number}", "request": request}) + b"\n"


def answer_at_once(request: Request) -> Outcome:
    """Give an answer that belongs to its Request, at hardly any cost of the engine's own."""
    return Answered.of(request.messages[-1].text[:ANSWER_CHARS], Finish.STOP, Usage(40, 10))


async def chunks(count: int) -> AsyncIterator[bytes]:
    """Yield the input as it would arrive."""
    gathered = bytearray()
    for line in lines(count):
        gathered += line
        if len(gathered) > 1 << 20:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


async def service(count: int, folder: Path) -> Figures:
    """Upload, create, run, publish; return the seconds of each phase, and this process's peak memory."""
    config = Config(data_dir=str(folder), models={"m": ModelConfig(path="m.gguf")})
    async with open_app(
        config, make_engine=lambda entry: ScriptedEngine(answer_at_once, lanes=256, remember=False)
    ) as app:
        await one_job(app, WARM_UP)
        figures = await one_job(app, count)
        return figures | {"peak_rss_mb": peak_rss_megabytes()}


async def one_job(app: App, count: int) -> Figures:
    """Run a Job of ``count`` Requests, check its output, and return how long each phase took."""
    began, cpu_began = time.perf_counter(), time.process_time()
    file = await upload(app, count)
    at = {"began": began, "upload": time.perf_counter()}
    job = await app.jobs.create_from_file(model="m", file_id=file.id, display_name="", priority=0)
    at["plan"] = await reached(app, job, JobState.RUNNING)
    at["answer"] = await reached(app, job, JobState.ASSEMBLING)
    at["assemble"] = await reached(app, job, JobState.SUCCEEDED)
    moments = list(at.values())
    seconds = {
        phase: after - before for phase, before, after in zip(PHASES, moments, moments[1:], strict=False)
    }
    cpu_seconds = time.process_time() - cpu_began
    await check_output(app, job, count)
    return {"seconds": moments[-1] - began, "phases": seconds, "cpu_seconds": cpu_seconds}


async def upload(app: App, count: int) -> File:
    """Send the input."""
    begun = await app.uploads.begin(file_id=None, display_name="", mime_type="jsonl", declared_bytes=None)
    await app.uploads.append(begun.id, offset=0, chunks=chunks(count))
    return await app.uploads.finish(begun.id)


async def reached(app: App, job: Job, state: JobState) -> float:
    """Return when a Job was first seen in a state, or past it."""
    order = [JobState.PENDING, JobState.RUNNING, JobState.ASSEMBLING, JobState.SUCCEEDED]
    while order.index((await app.jobs.get(job.id)).state) < order.index(state):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.perf_counter()


async def check_output(app: App, job: Job, count: int) -> None:
    """Check that the output has the input's keys in the input's order, each with its own answer."""
    scanner = LineScanner(1 << 20)
    found = 0
    _, arriving = await app.files.download(output_file_id(job.id))
    async for chunk in arriving:
        for line in scanner.feed(chunk):
            begins = b'{"key":"review-%d","response":' % found
            answer = b'{"text":"%b' % prompt(found)[:ANSWER_CHARS].encode()
            assert line.data is not None
            assert line.data.startswith(begins), f"line {found + 1} is not the answer to line {found + 1}"
            assert answer in line.data, f"line {found + 1} has another line's answer"
            found += 1
    assert found == count, f"{found} lines in the output, and {count} in the input"


def limit(count: int, folder: Path, output_bytes: int) -> Figures:
    """Append as many bytes, durably, in groups; return seconds."""
    line = b"x" * (output_bytes // count)
    began = time.perf_counter()
    with (folder / "limit").open("wb", buffering=0) as file:
        for _ in range(0, count, GROUP):
            file.write(line * GROUP)
            os.fdatasync(file.fileno())
    return {"seconds": time.perf_counter() - began}


def measured(arm: str, count: int, output_bytes: int = 0) -> Figures:
    """Run one arm in a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks.pipeline", "--arm", arm, "--requests", str(count)]
    command += ["--output-bytes", str(output_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with MemoryWatch(process.pid) as memory:
            told = process.stdout.read()
    if process.returncode != 0:
        sys.exit(f"The arm {arm} of {count} Requests failed.")
    figures: Figures = json.loads(told)
    figures["peak_rss_mb"] = max(memory.peak_megabytes, figures.get("peak_rss_mb", 0.0))
    return figures


def measure(count: int) -> Figures:
    """Measure both arms at one size, in the order A B B A, and return the figures."""
    services, limits = [], []
    for number in range(ROUNDS.get(count, 1)):
        for arm in ("service", "limit") if number % 2 == 0 else ("limit", "service"):
            if arm == "service":
                services.append(measured("service", count))
            else:
                limits.append(measured("limit", count, count * OUTPUT_LINE_BYTES))
    rates = spread([count / run["seconds"] for run in services])
    durable = spread([count / run["seconds"] for run in limits])
    return {
        "requests": count,
        "requests_per_second": rates,
        "microseconds_per_request": {
            phase: per_request([run["phases"][phase] for run in services], count) for phase in PHASES
        },
        "cpu_microseconds_per_request": per_request([run["cpu_seconds"] for run in services], count),
        "durable_append_requests_per_second": durable,
        "fraction_of_durable_append": round(rates["median"] / durable["median"], 4),
        "peak_rss_mb": spread([run["peak_rss_mb"] for run in services]),
    }


def per_request(seconds: list[float], count: int) -> float:
    """Return the median in microseconds for each Request."""
    return round(statistics.median(seconds) / count * 1e6, 2)


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Return the exponent with which time grows with size, by least squares: 1 is in proportion."""
    fitted = statistics.linear_regression([math.log(size) for size in sizes], [math.log(s) for s in seconds])
    return round(fitted.slope, 4)


def main() -> int:
    """Measure, report, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="ten million Requests too")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--arm", choices=["service", "limit"])
    parser.add_argument("--requests", type=int, default=SIZES[0])
    parser.add_argument("--output-bytes", type=int, default=0)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(run_arm(options.arm, options.requests, options.output_bytes)))
        return 0

    sizes = sorted({*options.sizes, *([SIZE_FULL] if options.full else [])})
    rows = [measure(size) for size in sizes]
    costs = [1 / row["requests_per_second"]["median"] for row in rows]
    figures = {
        "sizes": rows,
        "slope": slope(sizes, [size * cost for size, cost in zip(sizes, costs, strict=True)]),
        "cost_of_largest_over_smallest": round(costs[-1] / costs[0], 3),
    }
    report("pipeline", figures)
    return 0 if all(claims(figures)) else 1


def claims(figures: Figures) -> list[bool]:
    """Say of each claim whether it holds."""
    rates = [row["requests_per_second"]["median"] for row in figures["sizes"]]
    peak_mb = max(row["peak_rss_mb"]["max"] for row in figures["sizes"])
    return [
        check(
            f"at least {REQUESTS_A_SECOND_MIN} durable Requests/s, from upload to published output",
            min(rates) >= REQUESTS_A_SECOND_MIN,
        ),
        check(f"time grows with an exponent of at most {SLOPE_MAX}", figures["slope"] <= SLOPE_MAX),
        check(
            f"a Request of the largest Job costs at most {COST_RATIO_MAX} of one of the smallest",
            figures["cost_of_largest_over_smallest"] <= COST_RATIO_MAX,
        ),
        check(f"all processes together stay below {RSS_MEGABYTES_MAX} MB", peak_mb < RSS_MEGABYTES_MAX),
    ]


def run_arm(arm: str, count: int, output_bytes: int) -> Figures:
    """Be one arm, in a directory of its own."""
    with tempfile.TemporaryDirectory() as name:
        if arm == "service":
            return asyncio.run(service(count, Path(name)))
        return limit(count, Path(name), output_bytes)


if __name__ == "__main__":
    sys.exit(main())
