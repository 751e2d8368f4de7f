"""A store with many Jobs beside one with few: the same calls, alternating, in one process.

Almost all Jobs have ended, their Shards, Segments and outputs still kept, as after six weeks of use. The
claim is that no call takes longer for it; how long a start takes is measured too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import apsw
import httpx

from benchmarks.harness import alternating, check, report
from halfrate.app import App, open_app
from halfrate.cli.loop import run_async
from halfrate.config import Config, ModelConfig
from halfrate.domain.job import Counts, Job, JobState
from halfrate.engines.scripted import ScriptedEngine
from halfrate.serve import asgi_of
from halfrate.store.meta.migrations import migrations
from halfrate.store.meta.queries import query

FEW = 100
UNFINISHED = 50
SHARDS = 2
"""Shards, each with a Segment, of every Job that ended."""

RATIO_MAX = 1.5

DAY = 86_400.0


def jobs(count: int, now: float) -> list[Job]:
    """Make the rows: the newest are unfinished, the others ended over the last six weeks."""
    made = []
    for number in range(count):
        age_seconds = (count - number) * 40 * DAY / count
        created_at = now - age_seconds
        ended = number < count - min(UNFINISHED, count // 2)
        made.append(
            Job(
                id=f"job-{number:07}",
                model="models/m",
                engine="m",
                display_name=f"job {number}",
                priority=0,
                state=JobState.SUCCEEDED if ended else JobState.PENDING,
                input_file=f"in-{number}",  # a File that has expired, for all but the newest
                input_blob=f"inputs/{number}",
                keep_going=False,
                created_at=created_at,
                updated_at=created_at,
                deadline=now + 10 * DAY,
                promised_at=now + DAY,
                ended_at=created_at if ended else None,
                planned=True,
                output_expires_at=created_at + 42 * DAY if ended else None,
                counts=Counts(2, 2, 0) if ended else Counts(2),
            )
        )
    return made


def fill(folder: Path, count: int, now: float) -> None:
    """Write a database with so many Jobs, their Shards, Segments and outputs, and the inputs of two days."""
    inputs = folder / "blobs" / "inputs"
    inputs.mkdir(parents=True)
    connection = apsw.Connection(str(folder / "halfrate.db"))
    connection.execute("PRAGMA journal_mode = WAL")
    for number, step in enumerate(migrations(), start=1):
        connection.execute(step)
        connection.execute(f"PRAGMA user_version = {number}")
    with connection:
        for job in jobs(count, now):
            _add(connection, job)
            if job.created_at > now - 2 * DAY:
                (folder / "blobs" / job.input_blob).touch()
    connection.close()


def _add(connection: apsw.Connection, job: Job) -> None:
    row = asdict(job) | {"requests": job.counts.requests, "succeeded": job.counts.succeeded}
    row["input_held"] = job.created_at > time.time() - 2 * DAY
    row |= {"webhook_uris": "[]", "user_metadata": None}
    columns = query("create_job").split("(", 1)[1].split(")", 1)[0]
    columns += ", ended_at, planned, output_expires_at, succeeded, input_held"
    values = ", ".join(f":{name.strip()}" for name in columns.split(","))
    connection.execute(f"INSERT INTO job ({columns}) VALUES ({values})", row)
    ended = job.ended_at is not None
    for shard in range(SHARDS):
        shard_row = (job.id, shard, "DONE" if ended else "OPEN", job.engine)
        connection.execute(
            "INSERT INTO shard (job_id, number, state, requests, engine) VALUES (?, ?, ?, 1, ?)", shard_row
        )
        if ended:
            connection.execute("INSERT INTO segment VALUES (?, ?, 1, 100, 1)", (job.id, shard))
    if ended:
        _add_file(connection, f"batch-{job.id}", f"outputs/{job.id}", "GENERATED", job.created_at + 42 * DAY)
    if row["input_held"]:
        # None of them expires while this runs.
        _add_file(connection, f"in-{job.id}", job.input_blob, "UPLOADED", job.created_at + 3 * DAY)


def _add_file(connection: apsw.Connection, file_id: str, blob: str, source: str, expires_at: float) -> None:
    connection.execute(
        "INSERT INTO file VALUES (?, '', 'jsonl', 100, '00', ?, ?, ?, ?)",
        (file_id, blob, source, expires_at - 2 * DAY, expires_at),
    )


@dataclass(frozen=True, slots=True)
class Arm:
    """One application over one store, and its HTTP face without a socket."""

    app: App
    client: httpx.AsyncClient
    some_id: str
    deep_token: str


Call = Callable[[Arm], Awaitable[object]]


async def create(arm: Arm) -> object:
    """Accept a Job of one Request."""
    line = b'{"key": "1", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}'
    return await arm.app.jobs.create_inline(model="m", items=[line], display_name="", priority=0)


async def claim(arm: Arm) -> object:
    """Claim a Shard and give it back."""
    lease = await arm.app.store.claim_shard("m", "bench", lease_seconds=60)
    assert lease is not None
    await arm.app.store.release_shard(lease)
    return lease


async def over_http(arm: Arm) -> object:
    """Show a Job over HTTP."""
    answer = await arm.client.get(f"/v1beta/batches/{arm.some_id}")
    assert answer.status_code == 200
    return answer


async def list_over_http(arm: Arm) -> object:
    """Show a page of Jobs over HTTP, most of which say why they wait."""
    answer = await arm.client.get("/v1beta/batches")
    assert answer.status_code == 200
    return answer


async def outlook(arm: Arm) -> object:
    """Say why an unfinished Job waits."""
    (job,) = await arm.app.store.unfinished_jobs(limit=1)
    return await arm.app.jobs.outlook(job)


CALLS: dict[str, Call] = {
    "get": lambda arm: arm.app.jobs.get(arm.some_id),
    "get_over_http": over_http,
    "list_over_http": list_over_http,
    "list_first_page": lambda arm: arm.app.jobs.list(page_size=50, page_token=None),
    "list_deep_page": lambda arm: arm.app.jobs.list(page_size=50, page_token=arm.deep_token),
    "outlook": outlook,
    "claim": claim,
    "create": create,
    "jobs_overdue": lambda arm: arm.app.store.jobs_overdue(),
    "blob_in_use": lambda arm: arm.app.store.blob_in_use("inputs/nothing"),
    "segments_of_shard": lambda arm: arm.app.store.segments(arm.some_id, 1),
    "metrics": lambda arm: arm.app.monitor.read(),
    "files_expired": lambda arm: arm.app.store.files_expired(limit=100),
    "jobs_to_clear": lambda arm: arm.app.store.jobs_to_clear(failed_by=0.0, limit=100),
    "jobs_done_with_input": lambda arm: arm.app.store.jobs_done_with_input(created_by=0.0, limit=100),
}
REPEATS = {"create": 5}


async def opened(folder: Path, count: int, stack: AsyncExitStack) -> tuple[Arm, float]:
    """Start an application on a store, and say how long that took."""
    config = Config(data_dir=str(folder), models={"m": ModelConfig(path="m.gguf")})
    began = time.perf_counter()
    app = await stack.enter_async_context(
        open_app(
            config, make_engine=lambda entry: ScriptedEngine(broken="stands still: the store is measured")
        )
    )
    seconds = time.perf_counter() - began
    asgi = asgi_of(app)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://localhost")
    await stack.enter_async_context(client)
    return Arm(app, client, f"job-{count // 4:07}", await _token_after(app, count * 4 // 5)), seconds


async def _token_after(app: App, number: int) -> str:
    """Return the token of the page that begins so many Jobs behind the newest."""
    token: str | None = None
    for size in [1_000] * (number // 1_000) + [max(1, number % 1_000 - 60)]:
        _, token = await app.jobs.list(page_size=size, page_token=token)
    assert token is not None
    return token


async def measured(call: Call, arm: Arm, repeats: int) -> list[float]:
    """Return how long each of some calls took, in microseconds."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        await call(arm)
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


async def compare(folder: Path, many: int, rounds: int) -> dict[str, object]:
    """Make both stores, and every call on both by turns."""
    now = time.time()
    figures: dict[str, object] = {"few": FEW, "many": many}
    async with AsyncExitStack() as stack:
        arms = {}
        for name, count in (("few", FEW), ("many", many)):
            fill(folder / name, count, now)
            arms[name], seconds = await opened(folder / name, count, stack)
            figures[f"open_seconds_{name}"] = round(seconds, 3)
        for name, call in CALLS.items():
            taken: dict[str, list[float]] = {"few": [], "many": []}
            for arm in alternating("few", "many", rounds):
                taken[arm] += await measured(call, arms[arm], REPEATS.get(name, 15))
                await _end_created(arms[arm])
            figures[name] = {
                arm: {
                    "p50_us": round(statistics.median(values), 1),
                    "p95_us": round(statistics.quantiles(values, n=20)[-1], 1),
                }
                for arm, values in taken.items()
            } | {"ratio": round(statistics.median(taken["many"]) / statistics.median(taken["few"]), 3)}
    return figures


async def _end_created(arm: Arm) -> None:
    """End the Jobs that a benchmark made, outside of what is measured."""
    for job in await arm.app.store.unfinished_jobs(limit=1_000):
        if not job.id.startswith("job-"):
            await arm.app.jobs.delete(job.id)


def main() -> int:
    """Measure, report, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = run_async(compare(Path(folder), options.jobs, options.rounds))
    report("jobs", figures)
    ratios = {name: json.loads(json.dumps(figures[name]))["ratio"] for name in CALLS}
    holds = [
        check(
            f"{name} takes at most {RATIO_MAX} times as long with {options.jobs} Jobs ({ratio})",
            ratio <= RATIO_MAX,
        )
        for name, ratio in ratios.items()
    ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
