"""How well upstreams are fed: the number of calls at once, the pace of whole Jobs, and what a Request costs.

Four parts, each with its claims; `--part` chooses some.

* `curves`: on servers of known capacity (`benchmarks.capacity`), the Governor against the best fixed number
  of calls at once, found by search on the same server. The client with a fixed number sleeps for Retry-After.
  An Engine lives longer than a Job, so the Governor is measured after a part of the calls; each number that
  the search tries has had as many.
* `llama`: the same on a real llama-server (the `xllamacpp` package) with the demonstration model.
* `peers`: whole Jobs, durable, on a server that answers at once, against LiteLLM's executed batches
  (`litellm.batch_completion`, 100 threads) and the client loop of vLLM's serving benchmark. `run-batch`
  itself drives an engine inside its own process only; so what is measured is vLLM's code that calls servers
  (`async_request_openai_chat_completions`), with a semaphore for the number of calls at once, as there.
  Both read the requests from a file, and write one of answers; neither makes anything durable.
* `cost`: processor time of this process for a Request of a Job: over HTTP, and to an Engine in process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.capacity import CURVES, serving
from benchmarks.harness import alternating, check, read_output, report, spread
from halfrate.app import App, open_app
from halfrate.clock import WallClock
from halfrate.config import Config, DispatchConfig, ModelConfig, UpstreamConfig, pocket_model
from halfrate.dispatch.feed import Feed
from halfrate.domain.outcome import Answered, Failed, Finish, Outcome
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.usage import Usage
from halfrate.engines.api import Engine
from halfrate.engines.scripted import ScriptedEngine
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.replica import Replica
from halfrate.engines.upstream.settings import UpstreamSettings

FRACTION_MIN = 0.97
TIMES_LITELLM_MIN = 10.0
TIMES_VLLM_MIN = 1.0
HTTP_MILLISECONDS_MAX = 0.35
CHUNK_MILLISECONDS_MAX = 0.03

FIXED = (4, 8, 12, 16, 24, 36, 64, 96, 128)
SAMPLE = 8
"""The search tries each number with this part of a run's calls."""

MOST = 128
MODEL = "curve"
PARTS = ("curves", "llama", "peers", "cost")

Figures = dict[str, Any]


def requests(count: int, *, tokens: int = 16) -> list[Request]:
    """Return ``count`` different Requests."""
    return [
        Request(
            (Message(Role.USER, f"Is review {number} good or bad?"),),
            Sampling(temperature=0.0, max_output_tokens=tokens),
        )
        for number in range(count)
    ]


def settings_of(url: str, **options: Any) -> UpstreamSettings:
    """Return what an Engine is told of the server."""
    return UpstreamSettings(urls=(url,), concurrency_max=MOST, **options)


Begin = Callable[[int], None]
"""Has the server begin anew, before a run of so many calls."""


async def governed(settings: UpstreamSettings, asked: Sequence[Request], begin: Begin) -> float:
    """Have all answered as dispatch does; return the answers in a second, without those of the first part."""
    answers = 0

    def took(_: int, outcome: Outcome) -> None:
        nonlocal answers
        assert isinstance(outcome, Answered), outcome
        answers += 1

    async with UpstreamEngine(settings, OpenAIDialect) as engine:
        facts = await engine.ready()
        config = DispatchConfig(backoff_seconds=0.05)
        feed = Feed(engine, lanes=facts.lanes, clock=WallClock(), chance=lambda: 0.5, config=config)
        sampled = asked[: len(asked) // SAMPLE]
        begin(2 * len(asked))  # more than come: a server that changes midway does not yet
        await feed.answer(sampled, took)
        begin(len(asked))
        began = time.perf_counter()
        await feed.answer(asked, took)
        seconds = time.perf_counter() - began
    assert answers == len(sampled) + len(asked)
    return len(asked) / seconds


async def fixed(settings: UpstreamSettings, asked: Sequence[Request], in_flight: int) -> float:
    """Have all answered with so many calls at once; return the answers in a second."""
    replica = Replica(
        settings.urls[0], settings, OpenAIDialect(settings), clock=WallClock(), changed=lambda: None
    )
    pending = iter(asked)
    answers = 0

    async def lane() -> None:
        nonlocal answers
        for request in pending:
            while isinstance(outcome := await replica.answer(request), Failed):
                assert outcome.retry_after_seconds is not None, outcome
                await asyncio.sleep(outcome.retry_after_seconds)
            answers += 1

    async with replica:
        while not replica.available:  # noqa: ASYNC110 - outside of what is measured
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(lane())
        seconds = time.perf_counter() - began
    assert answers == len(asked)
    return answers / seconds


async def compared(
    settings: UpstreamSettings, calls: int, rounds: int, begin: Begin, tokens: int = 16
) -> Figures:
    """Find the best fixed number of calls at once by search, and measure the Governor beside it."""
    sampled = requests(calls // SAMPLE, tokens=tokens)
    tried = {}
    for in_flight in FIXED:
        begin(len(sampled))
        tried[in_flight] = await fixed(settings, sampled, in_flight)
    # The best of a short run may not be that of a long one: the best two are run to their end.
    finalists = sorted(tried, key=lambda in_flight: -tried[in_flight])[:2]
    asked = requests(calls, tokens=tokens)
    ends: dict[int, float] = {}
    for in_flight in finalists:
        begin(calls)
        ends[in_flight] = await fixed(settings, asked, in_flight)
    best = max(ends, key=lambda in_flight: ends[in_flight])
    rates: dict[str, list[float]] = {"governed": [], "fixed": [ends[best]]}
    for arm in alternating("governed", "fixed", rounds):
        if arm == "governed":
            rates[arm].append(await governed(settings, asked, begin))
        else:
            begin(calls)
            rates[arm].append(await fixed(settings, asked, best))
    fraction = statistics.median(rates["governed"]) / statistics.median(rates["fixed"])
    return {
        "calls": calls,
        "best_in_flight": best,
        "tried_per_second": {str(n): round(rate, 1) for n, rate in tried.items()},
        "fixed_per_second": spread(rates["fixed"]),
        "governed_per_second": spread(rates["governed"]),
        "fraction_of_best": round(fraction, 4),
    }


def measure_curves(chosen: Sequence[str], rounds: int) -> Figures:
    """Measure each curve on a server of its own."""
    figures: Figures = {}
    for name in chosen:
        with serving(name) as url:

            def begin(calls: int, url: str = url) -> None:
                urllib.request.urlopen(f"{url.removesuffix('/v1')}/reset?{calls}").read()

            figures[name] = uvloop.run(compared(settings_of(url), CURVES[name].calls, rounds, begin))
    return figures


def measure_llama(calls: int, rounds: int) -> Figures:
    """Measure a real server."""
    from tests.support.llama_server import llama_server  # noqa: PLC0415 - it skips where there is none

    with llama_server(Path(pocket_model().path), slots=8, context_tokens=128) as server:
        return uvloop.run(compared(settings_of(server.url), calls, rounds, lambda _: None, tokens=16))


@asynccontextmanager
async def serving_jobs(model: ModelConfig, engine: Engine | None = None) -> AsyncIterator[App]:
    """Open an application with one model."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(data_dir=folder, models={MODEL: model})
        made = {} if engine is None else {"make_engine": lambda entry: engine}
        async with open_app(config, **made) as app:  # type: ignore[arg-type]
            yield app


async def job(app: App, count: int) -> tuple[float, float]:
    """Run a Job; return its seconds, and this process' processor seconds, from its creation to its end."""
    data = b"".join(
        json.dumps({"request": {"contents": [{"parts": [{"text": request.messages[0].text}]}]}}).encode()
        + b"\n"
        for request in requests(count)
    )

    async def arriving() -> AsyncIterator[bytes]:
        yield data

    upload = await app.uploads.begin(
        file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
    )
    await app.uploads.append(upload.id, offset=0, chunks=arriving())
    file = await app.uploads.finish(upload.id)
    began, used = time.perf_counter(), _processor_seconds()
    made = await app.jobs.create_from_file(model=MODEL, file_id=file.id, display_name="", priority=0)
    while not made.state.final:
        await asyncio.sleep(0.02)
        made = await app.jobs.get(made.id)
    seconds, used = time.perf_counter() - began, _processor_seconds() - used
    assert (made.counts.succeeded, made.counts.failed) == (count, 0), made
    assert len((await read_output(app, made)).splitlines()) == count
    return seconds, used


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def jobs_over_http(url: str, count: int, rounds: int) -> list[tuple[float, float]]:
    """Run Jobs against the server at ``url``, after one to warm up."""
    upstream = UpstreamConfig(api="openai", urls=(url,), model=MODEL, concurrency_max=MOST)
    async with serving_jobs(ModelConfig(upstream=upstream)) as app:
        await job(app, count // 10)
        return [await job(app, count) for _ in range(rounds)]


async def jobs_in_process(count: int, rounds: int) -> list[tuple[float, float]]:
    """Run Jobs on an Engine that answers at once, in this process."""
    answer = Answered.of("yes", Finish.STOP, Usage(12, 1))
    engine = ScriptedEngine(lambda _: answer, lanes=512, remember=False)
    async with serving_jobs(ModelConfig(path="none.gguf"), engine) as app:
        await job(app, count // 10)
        return [await job(app, count) for _ in range(rounds)]


LITELLM = """
import json, sys, time
import litellm
url, asked, answered = sys.argv[1:]
litellm.suppress_debug_info = True
began = time.perf_counter()
messages = [json.loads(line)["body"]["messages"] for line in open(asked)]
responses = litellm.batch_completion(
    model="openai/curve", messages=messages, api_base=url, api_key="none", max_tokens=16, max_workers=100
)
with open(answered, "w") as file:
    for response in responses:
        file.write(response.model_dump_json() + "\\n")
print(time.perf_counter() - began)
"""

VLLM = """
import asyncio, importlib.util, json, sys, time
import aiohttp
url, asked, answered, source = sys.argv[1:]
path = source + "/vllm/benchmarks/lib/endpoint_request_func.py"
spec = importlib.util.spec_from_file_location("endpoints", path)
endpoints = importlib.util.module_from_spec(spec)
sys.modules["endpoints"] = endpoints
spec.loader.exec_module(endpoints)

async def main():
    prompts = [json.loads(line)["body"]["messages"][0]["content"] for line in open(asked)]
    semaphore = asyncio.Semaphore(128)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=128), timeout=endpoints.AIOHTTP_TIMEOUT, trust_env=False
    ) as session:

        async def one(prompt):
            async with semaphore:
                return await endpoints.async_request_openai_chat_completions(
                    endpoints.RequestFuncInput(
                        prompt=prompt,
                        api_url=url + "/chat/completions",
                        prompt_len=12,
                        output_len=16,
                        model="curve",
                    ),
                    session,
                )

        outputs = await asyncio.gather(*[asyncio.create_task(one(prompt)) for prompt in prompts])
    assert all(output.success for output in outputs), outputs[0].error
    with open(answered, "w") as file:
        for output in outputs:
            file.write(json.dumps({"text": output.generated_text}) + "\\n")

began = time.perf_counter()
asyncio.run(main())
print(time.perf_counter() - began)
"""


def peer(python: str, script: str, url: str, count: int, *more: str) -> float:
    """Run a peer's client in a process of its own; return its seconds, without those of its imports."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.jsonl", Path(folder) / "answered.jsonl"
        with asked.open("w") as file:
            for number, request in enumerate(requests(count)):
                body = {"model": MODEL, "messages": [{"role": "user", "content": request.messages[0].text}]}
                file.write(json.dumps({"custom_id": str(number), "body": body}) + "\n")
        ran = subprocess.run(
            [python, "-c", script, url, str(asked), str(answered), *more],
            env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": "/usr/bin:/bin", "HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr[-2_000:]
        assert sum('"yes"' in line for line in answered.open()) == count
        return float(ran.stdout.splitlines()[-1])


def measure_peers(options: argparse.Namespace) -> Figures:
    """Measure whole Jobs and the peers that are there, in turns."""
    count = options.requests
    rates: dict[str, list[float]] = {"halfrate": [], "litellm": [], "vllm_client": []}
    with serving("instant") as url:
        for _ in range(options.rounds):
            for seconds, _used in uvloop.run(jobs_over_http(url, count, 1)):
                rates["halfrate"].append(count / seconds)
            if options.vllm:
                python = options.vllm_python or sys.executable
                rates["vllm_client"].append(count / peer(python, VLLM, url, count, options.vllm))
            if options.litellm:
                fewer = max(count // 10, 100)
                rates["litellm"].append(fewer / peer(options.litellm, LITELLM, url, fewer))
    return {name: spread(found) for name, found in rates.items() if found}


def measure_cost(count: int, rounds: int) -> Figures:
    """Measure processor time for a Request, in milliseconds."""
    with serving("instant") as url:
        over_http = uvloop.run(jobs_over_http(url, count, rounds))
    in_process = uvloop.run(jobs_in_process(10 * count, rounds))
    return {
        "http_milliseconds": spread([used / count * 1_000 for _, used in over_http]),
        "chunk_milliseconds": spread([used / (10 * count) * 1_000 for _, used in in_process]),
    }


def measure(options: argparse.Namespace) -> Figures:
    """Measure the chosen parts."""
    parts: dict[str, Callable[[], Figures]] = {
        "curves": lambda: measure_curves(options.curve or [*CURVES][:-1], options.rounds),
        "llama": lambda: measure_llama(options.llama_calls, options.rounds),
        "peers": lambda: measure_peers(options),
        "cost": lambda: measure_cost(options.requests, options.rounds),
    }
    return {part: parts[part]() for part in options.part or PARTS}


def claims(figures: Figures) -> list[bool]:
    """Check what was measured."""
    held = []
    fed = figures.get("curves", {}) | ({"llama-server": figures["llama"]} if "llama" in figures else {})
    for name, found in fed.items():
        claim = f"{name}: at least {FRACTION_MIN} of the best fixed number of calls at once"
        held.append(check(claim, found["fraction_of_best"] >= FRACTION_MIN))
    rates = figures.get("peers", {})
    for peer_name, least in (("litellm", TIMES_LITELLM_MIN), ("vllm_client", TIMES_VLLM_MIN)):
        if peer_name in rates:
            times = rates["halfrate"]["median"] / rates[peer_name]["median"]
            held.append(check(f"at least {least} times {peer_name}: {times:.2f}", times >= least))
    for name, most in (("http", HTTP_MILLISECONDS_MAX), ("chunk", CHUNK_MILLISECONDS_MAX)):
        if "cost" in figures:
            used = figures["cost"][f"{name}_milliseconds"]["median"]
            held.append(check(f"at most {most} ms of processor a Request ({name})", used <= most))
    return held


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--curve", action="append", choices=[*CURVES][:-1])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--llama-calls", type=int, default=800)
    parser.add_argument("--litellm", help="a Python that has litellm")
    parser.add_argument("--vllm", help="a folder with vllm's sources")
    parser.add_argument("--vllm-python", help="a Python that has aiohttp, regex and tqdm")
    options = parser.parse_args()
    figures = measure(options)
    report("feed", figures)
    return 0 if all(claims(figures)) else 1


if __name__ == "__main__":
    sys.exit(main())
