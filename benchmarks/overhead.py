"""What the pipeline itself costs: a Job on an engine that answers at once, everything durable.

The other arm is the physical limit of the same durability: the same output bytes appended to a file in
groups of the same size, each made durable before the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from benchmarks.harness import alternating, check, peak_rss_megabytes, read_output, report, spread
from halfrate.app import open_app
from halfrate.config import Config, ModelConfig
from halfrate.engines.scripted import ScriptedEngine

REQUESTS_A_SECOND_MIN = 4_000


def lines(count: int) -> Iterator[bytes]:
    """Yield input lines of about 300 bytes."""
    for number in range(count):
        text = f"Classify the review number {number} as positive or negative: " + "it works well. " * 12
        yield (
            msgspec.json.encode(
                {"key": f"review-{number}", "request": {"contents": [{"parts": [{"text": text}]}]}}
            )
            + b"\n"
        )


async def chunks(count: int) -> AsyncIterator[bytes]:
    """Yield the input as it would arrive."""
    gathered = bytearray()
    for line in lines(count):
        gathered += line
        if len(gathered) > 1 << 20:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


async def service(count: int, folder: Path) -> dict[str, float]:
    """Upload, create, run, read back; return seconds and peak memory."""
    config = Config(data_dir=str(folder), models={"m": ModelConfig(path="m.gguf")})
    async with open_app(config, make_engine=lambda entry: ScriptedEngine(lanes=256, remember=False)) as app:
        began = time.perf_counter()
        upload = await app.uploads.begin(
            file_id=None, display_name="", mime_type="jsonl", declared_bytes=None
        )
        await app.uploads.append(upload.id, offset=0, chunks=chunks(count))
        file = await app.uploads.finish(upload.id)
        uploaded = time.perf_counter()
        job = await app.jobs.create_from_file(model="m", file_id=file.id, display_name="", priority=0)
        while not job.state.final:
            await asyncio.sleep(0.005)
            job = await app.jobs.get(job.id)
        ended = time.perf_counter()
        peak_mb = peak_rss_megabytes()
        output = await read_output(app, job)
        keys = [json.loads(line)["key"] for line in output.splitlines()]
        assert keys == [f"review-{number}" for number in range(count)], "the output is not the input's order"
        return {
            "upload_seconds": uploaded - began,
            "job_seconds": ended - uploaded,
            "peak_rss_mb": peak_mb,
            "output_bytes": len(output),
        }


def floor(count: int, folder: Path, output_bytes: int) -> dict[str, float]:
    """Append as many bytes, durably, in groups of 256 lines; return seconds."""
    line = b"x" * (output_bytes // count)
    began = time.perf_counter()
    with (folder / "floor").open("wb", buffering=0) as file:
        for _ in range(0, count, 256):
            file.write(line * 256)
            os.fdatasync(file.fileno())
    return {"job_seconds": time.perf_counter() - began}


def main() -> int:
    """Measure, report, and say whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=["service", "floor"])
    parser.add_argument("--output-bytes", type=int, default=0)
    options = parser.parse_args()
    if options.arm:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if options.arm == "service":
                print(json.dumps(asyncio.run(service(options.requests, folder))))
            else:
                print(json.dumps(floor(options.requests, folder, options.output_bytes)))
        return 0

    measured: dict[str, list[dict[str, float]]] = {"service": [], "floor": []}
    output_bytes = options.requests * 350
    for arm in alternating("service", "floor", options.rounds):
        # A process of its own for each arm, so that its memory is its own.
        command = [sys.executable, "-m", "benchmarks.overhead", "--arm", arm]
        command += ["--requests", str(options.requests), "--output-bytes", str(int(output_bytes))]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
        measured[arm].append(json.loads(ran.stdout))
        if arm == "service":
            output_bytes = int(measured[arm][-1]["output_bytes"])
    job = spread([options.requests / run["job_seconds"] for run in measured["service"]])
    whole = spread(
        [options.requests / (run["upload_seconds"] + run["job_seconds"]) for run in measured["service"]]
    )
    limit = spread([options.requests / run["job_seconds"] for run in measured["floor"]])
    report(
        "overhead",
        {
            "requests": options.requests,
            "job_requests_per_second": job,
            "upload_and_job_requests_per_second": whole,
            "durable_append_requests_per_second": limit,
            "fraction_of_durable_append": round(job["median"] / limit["median"], 4),
            "peak_rss_mb": spread([run["peak_rss_mb"] for run in measured["service"]]),
        },
    )
    holds = check(
        f"at least {REQUESTS_A_SECOND_MIN} durable Requests/s through the whole pipeline",
        whole["median"] >= REQUESTS_A_SECOND_MIN,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
