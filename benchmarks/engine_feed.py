"""How much of the embedded engine a Job gets: against the best direct client of the same engine.

Both arms use one engine process, already loaded, and the same prompts; they alternate, so that each arm
meets new prompts as often as the other. The direct client holds every prompt in memory, writes nothing
down, and is measured at several numbers of Requests in flight, of which its best counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.harness import alternating, answer_as_job, check, report, spread
from halfrate.app import App, open_app
from halfrate.config import Config, pocket_model
from halfrate.domain.outcome import Answered
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.embedded.engine import EmbeddedEngine

FRACTION_MIN = 0.95

REMARKS = (
    "the strap broke after a week",
    "works exactly as described",
    "battery lasts two days",
    "arrived late and dented",
    "my kids love it",
    "the manual is useless",
    "great value for the price",
    "too loud at night",
    "returned it the next day",
    "fits well and looks good",
    "colour is not as pictured",
    "solid build and easy to clean",
)


def prompts(count: int, seed: int) -> list[str]:
    """Return ``count`` different prompts of one batch-like kind."""
    chance = random.Random(seed)
    return [
        f"Classify the sentiment of this review as positive, negative or neutral.\nReview: order {n}: "
        + ". ".join(chance.sample(REMARKS, 3))
        for n in (chance.randrange(10**9) for _ in range(count))
    ]


class Shared(EmbeddedEngine):
    """An engine that outlives the applications it is lent to."""

    async def __aexit__(self, *exc: object) -> None:
        """Stay."""

    async def __aenter__(self) -> Shared:
        """Be there already."""
        return self

    async def begin(self) -> None:
        """Load."""
        await super().__aenter__()

    async def end(self) -> None:
        """End the process."""
        await super().__aexit__(None, None, None)


async def direct(engine: EmbeddedEngine, texts: list[str], in_flight: int) -> tuple[float, Counter[str]]:
    """Answer every prompt with ``in_flight`` at a time; return seconds and the answers."""
    answers: Counter[str] = Counter()
    pending = iter(texts)

    async def lane() -> None:
        for text in pending:
            sampling = Sampling(temperature=0.0, max_output_tokens=16)
            outcome = await engine.answer(Request((Message(Role.USER, text),), sampling))
            assert isinstance(outcome, Answered), outcome
            answers[outcome.text] += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(lane())
    return time.perf_counter() - began, answers


async def service(app: App, texts: list[str]) -> tuple[float, Counter[str]]:
    """Answer every prompt as a Job; return seconds from its creation to its output, and the answers."""
    config = {"temperature": 0, "maxOutputTokens": 16}
    lines = [
        json.dumps({"request": {"contents": [{"parts": [{"text": text}]}], "generationConfig": config}})
        for text in texts
    ]
    seconds, output = await answer_as_job(app, model="pocket-1", data="\n".join(lines).encode())
    responses = [json.loads(line)["response"] for line in output]
    return seconds, Counter(
        response["candidates"][0]["content"]["parts"][0]["text"] for response in responses
    )


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Shared, App]]:
    """Load one engine, and an application that uses it."""
    engine = Shared(pocket_model().path)
    await engine.begin()
    try:
        await engine.ready()
        with tempfile.TemporaryDirectory() as folder:
            config = Config.load(data_dir=folder)
            async with open_app(config, make_engine=lambda entry: engine) as app:
                yield engine, app
    finally:
        await engine.end()


async def measure(count: int, rounds: int) -> int:
    """Measure both arms, report, and say whether the claim holds."""
    async with running() as (engine, app):
        facts = await engine.ready()
        candidates = sorted({facts.lanes // 2, facts.lanes, facts.lanes * 2})
        tried: dict[int, float] = {}
        for seed, in_flight in enumerate(candidates):
            tried[in_flight] = (await direct(engine, prompts(count, 1_000 + seed), in_flight))[0]
        best = min(tried, key=lambda in_flight: tried[in_flight])
        rates: dict[str, list[float]] = {"direct": [], "service": []}
        answers: dict[str, Counter[str]] = {}
        for number, arm in enumerate(alternating("service", "direct", rounds)):
            texts = prompts(count, number // 2)
            if arm == "direct":
                seconds, answers[arm] = await direct(engine, texts, best)
            else:
                seconds, answers[arm] = await service(app, texts)
            rates[arm].append(count / seconds)
            if number % 2:
                differing = sum((answers["direct"] - answers["service"]).values())
                assert differing <= count * 0.005, f"{differing} answers differ between the arms"
    both = {arm: spread(values) for arm, values in rates.items()}
    fraction = sum(1 / rate for rate in rates["direct"]) / sum(1 / rate for rate in rates["service"])
    report(
        "engine_feed",
        {
            "requests": count,
            "direct_in_flight": best,
            "direct_requests_per_second": both["direct"],
            "service_requests_per_second": both["service"],
            "fraction_of_direct": round(fraction, 4),
        },
    )
    claim = f"a Job reaches at least {FRACTION_MIN} of the best direct client"
    return 0 if check(claim, fraction >= FRACTION_MIN) else 1


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    return asyncio.run(measure(options.requests, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
