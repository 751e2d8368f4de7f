"""What order is worth: a Job against the same Requests in the order of their file, on the same engine.

The arrival arm holds the Requests in memory, parsed, and keeps as many in flight as the engine has lanes for,
in the order of the file. The engine is the same in both arms, with its cache and its admission, which lets
leaders go ahead of their siblings: the arms differ in what comes when. The service arm is a Job, from its
creation to its output on the disk. Each run has an engine of its own, whose cache is cold.

Every workload is run with two sizes of cache: a tenth of the tokens that its prompts begin with together, and
the engine's default, which holds all that there is here, so that little can be won by order.

What can be won is bounded. If prompts were all that cost, and a cache missed nothing that it can have, then
the time would go from 1 - h0 to 1 - s, where h0 is what the arrival arm got from its cache and s what there
is to get. What answers cost, r, as a share of what their prompts cost uncached, stays, but for twins, which
are answered once: u is the share of Requests that are none.

    S_max = ((1 - h0) + r) / ((1 - s) + r u)

r is measured on the same engine, by prompts as long that share nothing, once with short answers and once with
long ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import models, workloads
from benchmarks.engine_feed import Shared
from benchmarks.harness import alternating, answer_as_job, check, report
from benchmarks.workloads import WORKLOADS, Workload
from halfrate.app import open_app
from halfrate.config import Config, ModelConfig
from halfrate.domain.outcome import Answered
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.prefix import BLOCK_TOKENS

DOCUMENTS_MIN = 3.0
MEAN_MIN = 1.5
EACH_MIN = 0.98
OF_BOUND_MIN = 0.85
DIFFERING_MAX = 0.005

BLOCKS_MIN = 64
"""A cache of 2,048 tokens. A tenth of what some workloads have in common would not hold one Request."""

LONG_ANSWER_TOKENS = 48
MODEL = "random"


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of an arm: how long it took, the engine's processor time, answers by key, tokens counted."""

    seconds: float
    processor_seconds: float
    answers: dict[str, str]
    usage: Usage

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that came from the cache."""
        return self.usage.cached_tokens / self.usage.input_tokens


@dataclass(slots=True)
class Cell:
    """A workload with one size of cache, and what was measured of it."""

    workload: Workload
    cache: str
    kv_blocks: int | None
    runs: dict[str, list[Ran]] = field(default_factory=lambda: {"arrival": [], "service": []})
    answer_costs: list[float] = field(default_factory=list)

    def seconds(self, arm: str) -> float:
        """The median time of an arm."""
        return statistics.median(ran.seconds for ran in self.runs[arm])

    def processor_seconds(self, arm: str) -> float:
        """The median processor time that the engine spent in an arm."""
        return statistics.median(ran.processor_seconds for ran in self.runs[arm])

    @property
    def speedup(self) -> float:
        """How many times as fast the service's order is."""
        return self.seconds("arrival") / self.seconds("service")

    @property
    def differing(self) -> int:
        """How many Requests have not the same answer in both arms, in the worst round."""
        both = zip(self.runs["arrival"], self.runs["service"], strict=True)
        return max(sum(one.answers[key] != other.answers[key] for key in one.answers) for one, other in both)

    def figures(self) -> dict[str, object]:
        """What of it goes into the row."""
        workload, r = self.workload, statistics.median(self.answer_costs)
        h0, hits = (
            statistics.fmean(ran.hit_rate for ran in self.runs[arm]) for arm in ("arrival", "service")
        )
        reachable = workload.reachable(BLOCK_TOKENS) / workload.total
        u = workload.distinct / len(workload.requests)
        bound = max(1.0, ((1 - h0) + r) / ((1 - reachable) + r * u))
        return {
            "workload": workload.spec.name,
            "cache": self.cache,
            "kv_blocks": self.kv_blocks,
            "requests": len(workload.requests),
            "prompt_tokens": workload.total,
            "shared": round(workload.shared / workload.total, 4),
            "reachable": round(reachable, 4),
            "arrival_hits": round(h0, 4),
            "service_hits": round(hits, 4),
            "answer_cost": round(r, 4),
            "arrival_seconds": round(self.seconds("arrival"), 3),
            "service_seconds": round(self.seconds("service"), 3),
            "arrival_processor_seconds": round(self.processor_seconds("arrival"), 2),
            "service_processor_seconds": round(self.processor_seconds("service"), 2),
            "speedup": round(self.speedup, 3),
            "bound": round(bound, 3),
            "of_bound": round(self.speedup / bound, 3),
            "differing": self.differing,
        }


def cells(workload: Workload) -> tuple[Cell, Cell]:
    """Return what is to be measured of a workload."""
    tenth = max(BLOCKS_MIN, workload.prefix_tokens // 10 // BLOCK_TOKENS)
    return Cell(workload, "tenth", tenth), Cell(workload, "default", None)


@asynccontextmanager
async def warm_engine(cell: Cell) -> AsyncIterator[Shared]:
    """Load an engine of this size of cache, and let it answer a few prompts of the workload's kind."""
    engine = Shared(models.path_of(models.SMALL), settings=EmbeddedSettings(kv_blocks=cell.kv_blocks))
    await engine.begin()
    try:
        await engine.ready()
        tokens = cell.workload.spec.output_tokens
        await feed(engine, workloads.alike(cell.workload, 12, output_tokens=tokens, seed=0))
        yield engine
    finally:
        await engine.end()


async def feed(engine: Shared, requests: Sequence[Request]) -> Ran:
    """Answer Requests in this order, as many in flight as the engine has lanes for."""
    lanes = (await engine.ready()).lanes
    answers: dict[str, Answered] = {}
    pending = iter(enumerate(requests))

    async def lane() -> None:
        for number, request in pending:
            outcome = await engine.answer(request)
            assert isinstance(outcome, Answered), outcome
            answers[str(number)] = outcome

    used, began = _processor_seconds(engine), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    seconds, used = time.perf_counter() - began, _processor_seconds(engine) - used
    usage = sum((answer.usage for answer in answers.values()), Usage())
    return Ran(seconds, used, {key: answer.text for key, answer in answers.items()}, usage)


async def serve(engine: Shared, workload: Workload) -> Ran:
    """Answer a workload's file as a Job."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(models.path_of(models.SMALL))
        config = Config.load(data_dir=folder).serving_only(ModelConfig(path=path), name=MODEL)
        async with open_app(config, make_engine=lambda entry: engine) as app:
            used = _processor_seconds(engine)
            seconds, lines = await answer_as_job(app, model=MODEL, data=b"".join(workload.lines()))
            used = _processor_seconds(engine) - used
    answers, usage = {}, Usage()
    for line in map(json.loads, lines):
        response, counted = line["response"], line["response"]["usageMetadata"]
        answers[line["key"]] = "".join(
            part["text"] for part in response["candidates"][0]["content"].get("parts", ())
        )
        usage += Usage(counted["promptTokenCount"], 0, counted.get("cachedContentTokenCount", 0))
    return Ran(seconds, used, answers, usage)


def _processor_seconds(engine: Shared) -> float:
    """What the engine's process has used so far, of all cores."""
    user, system = Path(f"/proc/{engine.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def calibrate(engine: Shared, cell: Cell, *, seed: int) -> float:
    """Return what an answer costs, as a share of what its prompt costs that nothing of is cached."""
    workload = cell.workload
    count = max(16, min(len(workload.requests) // 4, 12_000 * len(workload.requests) // workload.total))
    seconds = {}
    for tokens in (1, LONG_ANSWER_TOKENS):
        asked = workloads.alike(workload, count, output_tokens=tokens, seed=seed + tokens)
        seconds[tokens] = (await feed(engine, asked)).seconds
    one_token = (seconds[LONG_ANSWER_TOKENS] - seconds[1]) / (LONG_ANSWER_TOKENS - 1)
    return max(0.0, one_token * (workload.spec.output_tokens - 1) / seconds[1])


async def measure(cell: Cell, rounds: int, *, first: str) -> None:
    """Run both arms in turns, each with an engine of its own, and calibrate on those of the arrival arm."""
    second = "service" if first == "arrival" else "arrival"
    for number, arm in enumerate(alternating(first, second, rounds)):
        async with warm_engine(cell) as engine:
            if arm == "arrival":
                cell.runs[arm].append(await feed(engine, cell.workload.requests))
                cell.answer_costs.append(await calibrate(engine, cell, seed=100 + 10 * number))
            else:
                cell.runs[arm].append(await serve(engine, cell.workload))
    told = cell.figures()
    print(
        f"{told['workload']:>14} {told['cache']:>8}  {told['arrival_seconds']:7.2f} s "
        f"{told['service_seconds']:7.2f} s  x{told['speedup']:.2f} of x{told['bound']:.2f}, processor time "
        f"{told['arrival_processor_seconds']:6.2f} s {told['service_processor_seconds']:6.2f} s",
        file=sys.stderr,
        flush=True,
    )


async def measure_all(done: Sequence[Cell], rounds: int) -> int:
    """Measure what is to be measured, report, and say whether the claims hold."""
    for number, cell in enumerate(done):
        await measure(cell, rounds, first=("arrival", "service")[number % 2])
    small = [cell for cell in done if cell.cache == "tenth"]
    mean = math.exp(statistics.fmean(math.log(cell.speedup) for cell in small))
    figures = [cell.figures() for cell in done]
    report(
        "order",
        {"model": f"{models.SMALL.parameters:,} weights", "geometric_mean": round(mean, 3), "cells": figures},
    )
    held = [check(claim, holds) for claim, holds in _claims(done, mean)]
    return 0 if all(held) else 1


def _claims(done: Sequence[Cell], mean: float) -> Iterator[tuple[str, bool]]:
    small = [cell for cell in done if cell.cache == "tenth"]
    for cell in small:
        if cell.workload.spec.name == "documents":
            yield f"shared documents: at least {DOCUMENTS_MIN} times as fast", cell.speedup >= DOCUMENTS_MIN
    yield f"with a small cache, geometric mean of all workloads: at least {MEAN_MIN}", mean >= MEAN_MIN
    for cell in done:
        name = f"{cell.workload.spec.name}, {cell.cache} cache"
        of_bound = float(str(cell.figures()["of_bound"]))
        yield f"{name}: at least {EACH_MIN} ({cell.speedup:.2f})", cell.speedup >= EACH_MIN
        yield (
            f"{name}: at least {OF_BOUND_MIN} of what is possible ({of_bound:.2f})",
            of_bound >= OF_BOUND_MIN,
        )
    asked = sum(len(cell.workload.requests) for cell in done)
    differing = sum(cell.differing for cell in done)
    yield (
        f"at most {DIFFERING_MAX:.1%} of the answers differ ({differing})",
        differing <= asked * DIFFERING_MAX,
    )


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", help="only these", metavar="WORKLOAD")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a quarter of it, with the small cache only")
    options = parser.parse_args()
    specs = [WORKLOADS[name] for name in options.workloads or WORKLOADS]
    if options.quick:
        todo = [cells(workloads.make(spec.smaller(4), seed=1))[0] for spec in specs]
    else:
        todo = [cell for spec in specs for cell in cells(workloads.make(spec, seed=1))]
    return asyncio.run(measure_all(todo, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
