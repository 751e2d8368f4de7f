"""Finds the settings with which a model runs fastest on this machine: once, in bounded time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from halfrate.engines.embedded import native
from halfrate.engines.embedded.kept import Kept
from halfrate.engines.embedded.settings import EmbeddedSettings

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline, GenerationHandle

BUDGET_SECONDS = 20.0
WEIGHTS_BYTES_MIN = 64 << 20
"""A smaller model is as fast as anyone needs before it could be measured."""

GAIN_MIN = 1.05
"""By how much other settings must be faster than the default to be preferred: less is noise."""

_RUN_SECONDS = 3.0
_PROMPT_TOKENS, _ANSWER_TOKENS_MAX = 64, 32
_TOKENS_KNOWN = 200  # any vocabulary has as many


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a model is run. ``threads`` None is what the settings say."""

    batched_tokens_max: int
    sequences_max: int
    threads: int | None = None

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.threads else ""
        return f"{self.batched_tokens_max} tokens a step, {self.sequences_max} sequences{threads}"

    def applied(self, settings: EmbeddedSettings) -> EmbeddedSettings:
        """These settings, with this tuning in them."""
        return replace(
            settings,
            batched_tokens_max=self.batched_tokens_max,
            sequences_max=self.sequences_max,
            threads=self.threads or settings.threads,
        )


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a calibration, and whatever else is beside it for people to read."""

    tuning: Tuning


Load = Callable[[EmbeddedSettings], "ContinuousBatchingPipeline"]


def tuned(settings: EmbeddedSettings, kept: Kept, load: Load, *, again: bool = False) -> EmbeddedSettings:
    """The settings with what was found best for this model, which is looked for now if nobody has yet.

    Looking takes `BUDGET_SECONDS` and at most one load more. Raise as ``load`` does.
    """
    known = None if again else known_tuning(kept)
    if known is not None:
        return known.applied(settings)
    rates = _measured(settings, load)
    best = choose(rates, default=_default(settings))
    kept.keep_tuning(
        {
            "tuning": asdict(best),
            "tokens_per_second": {str(tuning): round(rate) for tuning, rate in rates.items()},
        }
    )
    return best.applied(settings)


def known_tuning(kept: Kept) -> Tuning | None:
    """What was found before, None if nothing was, or nothing that can be read."""
    try:
        return msgspec.convert(kept.tuning(), _Kept).tuning
    except msgspec.ValidationError:
        return None


def choose(rates: dict[Tuning, float], *, default: Tuning) -> Tuning:
    """The fastest, unless the default is nearly as fast."""
    best = max(rates, key=lambda tuning: rates[tuning], default=default)
    return best if rates and rates[best] >= GAIN_MIN * rates.get(default, 0.0) else default


def candidates(settings: EmbeddedSettings) -> Iterator[Tuning]:
    """What is tried, the likeliest first: the default, larger and smaller steps, and hardware threads."""
    default = _default(settings)
    yield default
    yield replace(default, batched_tokens_max=2 * default.batched_tokens_max)
    yield replace(default, batched_tokens_max=default.batched_tokens_max // 2)
    yield replace(default, sequences_max=2 * default.sequences_max)
    every = native.hardware_threads()
    if settings.threads is None and every > native.physical_cores():
        yield replace(default, threads=every)


def _default(settings: EmbeddedSettings) -> Tuning:
    return Tuning(settings.batched_tokens_max, settings.sequences_max)


def _measured(settings: EmbeddedSettings, load: Load) -> dict[Tuning, float]:
    """Tokens a second of each candidate there was time for."""
    until = time.monotonic() + BUDGET_SECONDS
    rates: dict[Tuning, float] = {}
    longest = 0.0
    for tuning in candidates(settings):
        began = time.monotonic()
        if began + longest > until:
            break
        rates[tuning] = _rate(load(tuning.applied(settings)), tuning.sequences_max)
        longest = max(longest, time.monotonic() - began)
    return rates


def _rate(pipeline: ContinuousBatchingPipeline, sequences: int) -> float:
    """Tokens a second, of prompts and answers of all lengths, new ones coming as others end.

    The first step is not counted: most kernels are compiled in it.
    """
    load = _Load(pipeline)
    load.step(sequences)
    began = last = time.monotonic()
    tokens = 0
    while last - began < _RUN_SECONDS:
        tokens += load.step(sequences)
        last = time.monotonic()
    load.end()
    return tokens / (last - began)


class _Load:
    """Requests that keep a pipeline busy, and how much of them is done."""

    def __init__(self, pipeline: ContinuousBatchingPipeline) -> None:
        self._pipeline = pipeline
        self._chance = random.Random(1)
        self._last_id = 0
        self._handles: dict[int, GenerationHandle] = {}
        self._begun: set[int] = set()

    def step(self, sequences: int) -> int:
        """Make one step with so many inside; return the tokens that are known to be computed since."""
        while len(self._handles) < sequences:
            self._add()
        self._pipeline.step()
        return sum(self._taken(id, handle) for id, handle in list(self._handles.items()))

    def end(self) -> None:
        """Leave the pipeline empty."""
        for handle in self._handles.values():
            handle.cancel()
        self._pipeline.step()

    def _add(self) -> None:
        self._last_id += 1
        config = self._pipeline.get_config()
        config.max_new_tokens = self._chance.randint(1, _ANSWER_TOKENS_MAX)
        config.do_sample, config.ignore_eos = False, True
        prompt = [self._chance.randrange(_TOKENS_KNOWN) for _ in range(_PROMPT_TOKENS)]
        self._handles[self._last_id] = self._pipeline.add_request(
            self._last_id, native.tensor(prompt), config
        )

    def _taken(self, id: int, handle: GenerationHandle) -> int:
        tokens = 0
        ended = handle.get_status() != native.genai().GenerationStatus.RUNNING
        while handle.can_read():
            tokens += sum(len(output.generated_ids) for output in handle.read().values())
        if tokens and id not in self._begun:
            self._begun.add(id)
            tokens += _PROMPT_TOKENS
        if ended:
            del self._handles[id]
        return tokens
