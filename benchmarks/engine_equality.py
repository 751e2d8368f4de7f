"""Whether greedy answers are the same in a batch as alone, and how near a tie was where they are not.

One engine answers every prompt alone, one after the other, and then all of them together, in the precision
it computes in by default. Where two answers part, each took the token that was likeliest to it: the
difference of the two log probabilities is how far from a tie they were.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engine_feed import prompts
from benchmarks.harness import check, report
from halfrate.config import pocket_model
from halfrate.domain.outcome import Answered, Outcome, TokenLogprob
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.engine import EmbeddedEngine

EQUAL_MIN = 0.995
TIE_MAX = 0.1
"""Two tokens whose log probabilities differ by less than this are a tie in 16 bits."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two answers to one prompt part, and by how much the two tokens differ in log probability."""

    number: int
    token: int
    gap: float


def parting(number: int, alone: Answered, together: Answered) -> Parting | None:
    """Where these answers part, None if they do not."""
    pairs = zip(alone.candidates[0].logprobs, together.candidates[0].logprobs, strict=False)
    for place, (one, other) in enumerate(pairs):
        if one.token_id != other.token_id:
            return Parting(number, place, round(_gap(one, other), 4))
    return None if alone.text == together.text else Parting(number, -1, 0.0)  # one ended, the other went on


def _gap(one: TokenLogprob, other: TokenLogprob) -> float:
    return abs(one.logprob - other.logprob)


async def answers(engine: EmbeddedEngine, requests: Sequence[Request], *, together: bool) -> list[Answered]:
    """Answer all, at once or one after the other, in order."""
    outcomes: dict[int, Outcome] = {}
    if together:
        await engine.answer_many(requests, outcomes.__setitem__)
    else:
        for number, request in enumerate(requests):
            outcomes[number] = await engine.answer(request)
    answered = [outcome for _, outcome in sorted(outcomes.items()) if isinstance(outcome, Answered)]
    assert len(answered) == len(requests)
    return answered


async def measure(count: int, model: str) -> int:
    """Compare, report, and say whether the claims hold."""
    sampling = Sampling(temperature=0.0, max_output_tokens=32, logprobs=0)
    requests = [Request((Message(Role.USER, text),), sampling) for text in prompts(count, seed=7)]
    async with EmbeddedEngine(model, settings=EmbeddedSettings()) as engine:
        alone = await answers(engine, requests, together=False)
        together = await answers(engine, requests, together=True)
    pairs = enumerate(zip(alone, together, strict=True))
    partings = [found for number, (one, other) in pairs if (found := parting(number, one, other))]
    equal = 1 - len(partings) / count
    told = [{"request": each.number, "token": each.token, "gap": each.gap} for each in partings]
    report("engine_equality", {"requests": count, "equal": round(equal, 4), "partings": told})
    holds = [
        check(f"at least {EQUAL_MIN:.1%} of answers are equal (are {equal:.2%})", equal >= EQUAL_MIN),
        check(
            "every difference is a near tie", all(each.token >= 0 and each.gap < TIE_MAX for each in partings)
        ),
    ]
    return 0 if all(holds) else 1


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--model", default=pocket_model().path)
    options = parser.parse_args()
    return asyncio.run(measure(options.requests, options.model))


if __name__ == "__main__":
    sys.exit(main())
