"""Measure the shipped `pocket-1` through the engine: `python -m tools.pocket.evaluate`.

Three kinds of questions: generated ones whose names, products and other words training never used;
generated ones whose phrasings too were held out; and ones written by hand. Decoding is greedy;
nothing is retried.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from halfrate.domain.outcome import Answered
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.embedded import EmbeddedEngine
from tools.pocket import SHIPPED_PATH
from tools.pocket.data import examples_of
from tools.pocket.draw import Example, Split, Turn
from tools.pocket.probes import Probe, probes

Prompt: TypeAlias = tuple[Turn, ...]

NEW_TOKENS_MAX = 160
_COUNTS = {
    "sentiment": 400,
    "extraction": 300,
    "document": 300,
    "long-document": 100,
    "catalogue": 100,
    "talk": 200,
}


@dataclass(frozen=True, slots=True)
class Score:
    """How many of a set's answers were right, and the first few that were not."""

    task: str
    right: int
    asked: int
    misses: tuple[tuple[str, str, str], ...]


class Engine:
    """halfrate's own embedded engine, with the settings everyone gets."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    async def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """The engine's greedy answers, in the order of the prompts."""
        return await asyncio.gather(*(self._answer(prompt) for prompt in prompts))

    async def _answer(self, prompt: Prompt) -> str:
        messages = tuple(Message(Role(turn.role), turn.text) for turn in prompt)
        sampling = Sampling(temperature=0.0, max_output_tokens=NEW_TOKENS_MAX)
        outcome = await self._engine.answer(Request(messages, sampling))
        return outcome.text if isinstance(outcome, Answered) else f"[{outcome}]"


def is_right(example: Example, answer: str) -> bool:
    """Whether an answer counts: equal JSON; all the required phrases, as whole words; or equal text."""
    if example.task == "extraction":
        return _same_json(example.answer, answer)
    if example.required:
        return all(_states(answer, phrase) for phrase in example.required)
    return answer.strip() == example.answer


def probe_is_right(probe: Probe, answer: str) -> bool:
    """The same for a prompt written by hand, of which only some words may be fixed."""
    if probe.task == "extraction" and probe.exact is not None:
        return _same_json(probe.exact, answer)
    if probe.exact is not None:
        return answer.strip() == probe.exact
    return all(word.lower() in answer.lower() for word in probe.contains)


def _states(answer: str, phrase: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", answer, re.IGNORECASE) is not None


def _same_json(expected: str, answer: str) -> bool:
    try:
        return bool(json.loads(answer) == json.loads(expected))
    except json.JSONDecodeError:
        return False


async def measure_held_out(engine: Engine, seed: int, split: Split) -> list[Score]:
    """One score per task, on examples of a split that training never sees."""
    scores = []
    for task, count in _COUNTS.items():
        asked = examples_of(task, count, seed=seed, split=split)
        given = await engine.answers([example.prompt for example in asked])
        misses = [
            (_plain(example.prompt), example.answer, answer)
            for example, answer in zip(asked, given, strict=True)
            if not is_right(example, answer)
        ]
        scores.append(Score(task, count - len(misses), count, tuple(misses)))
    return scores


async def measure_probes(engine: Engine) -> list[Score]:
    """One score per task, on the prompts written by hand."""
    asked = probes()
    given = await engine.answers([(Turn("user", probe.prompt),) for probe in asked])
    scores = []
    for task in dict.fromkeys(probe.task for probe in asked):
        pairs = [(p, a) for p, a in zip(asked, given, strict=True) if p.task == task]
        misses = [
            (probe.prompt, probe.exact or " ... ".join(probe.contains), answer)
            for probe, answer in pairs
            if not probe_is_right(probe, answer)
        ]
        scores.append(Score(task, len(pairs) - len(misses), len(pairs), tuple(misses)))
    return scores


def _plain(prompt: Prompt) -> str:
    return "\n".join(f"[{turn.role}] {turn.text}" for turn in prompt)


def _print_table(title: str, scores: Sequence[Score], *, misses_shown: int) -> None:
    print(f"\n{title}\n")
    print("| task | right | of | share |")
    print("| --- | --- | --- | --- |")
    for score in scores:
        print(f"| {score.task} | {score.right} | {score.asked} | {score.right / score.asked:.1%} |")
    for score in scores:
        for prompt, expected, answer in score.misses[:misses_shown]:
            print(f"\n--- {score.task}\n{prompt}\n=> {answer}\nexpected: {expected}")


async def measure(model: Path, *, seed: int, misses_shown: int) -> None:
    """Load the model, ask everything, print the tables."""
    started = time.monotonic()
    async with EmbeddedEngine(model) as embedded:
        facts = await embedded.ready()
        loaded_seconds = time.monotonic() - started
        print(f"{facts.model_version}: {model.stat().st_size:,} bytes, ready in {loaded_seconds:.1f} s")
        print(f"openvino-genai {version('openvino-genai')}, greedy, seed {seed}")
        engine = Engine(embedded)
        for split in (Split.NEW_WORDS, Split.NEW_WORDS_AND_PHRASINGS):
            scores = await measure_held_out(engine, seed, split)
            _print_table(f"Generated, {split}", scores, misses_shown=misses_shown)
        _print_table("Written by hand", await measure_probes(engine), misses_shown=misses_shown)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=SHIPPED_PATH)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--misses", type=int, default=0, help="wrong answers to print per task")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.model, seed=arguments.seed, misses_shown=arguments.misses))


if __name__ == "__main__":
    main()
