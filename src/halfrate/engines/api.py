"""The seam every Engine stands behind. ``tests/contract/test_engine.py`` is its contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self, runtime_checkable

from halfrate.domain.outcome import Delta, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.domain.trouble import Trouble

Took = Callable[[int, Outcome], None]
"""Takes the Outcome of the Request at a position. Called in the Engine's event loop; it must not raise."""


Wrote = Callable[[Delta], None]
"""Takes a piece of an answer as it is written. Called in the Engine's event loop; it must not raise."""


class Ability(StrEnum):
    """What not every Engine can do."""

    CANDIDATES = "candidates"  # more than one answer to a Request
    CHOICES = "choices"  # an answer that is one of some texts
    FUNCTIONS = "functions"  # know of functions, and call them
    IMAGES = "images"  # see what is attached
    LOGPROBS = "logprobs"  # tell how likely each token was


class EngineState(StrEnum):
    """Whether an Engine can answer now."""

    LOADING = "loading"
    READY = "ready"
    BROKEN = "broken"  # it cannot load its model; ``Engine.trouble`` says why


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is true of a loaded Engine.

    ``context_tokens`` bounds prompt and answer together. ``lanes`` is how many Requests in flight
    keep it busy: more gain nothing, fewer leave it hungry. ``logprobs_max`` bounds how many likely tokens
    it tells at each step, besides the one chosen. ``thinks`` is whether its model thinks before it answers.
    ``dimensions`` is how long the vectors are that it makes of texts; 0 is an Engine that writes texts.
    ``counts_exactly`` is whether `Engine.count_tokens` counts: an upstream that cannot be asked estimates.
    ``patience_seconds`` is how long an Attempt may take, where it is not for whoever asks to say.
    """

    model_version: str
    context_tokens: int
    default_temperature: float
    lanes: int
    abilities: frozenset[Ability] = frozenset()
    logprobs_max: int = 0
    thinks: bool = False
    dimensions: int = 0
    counts_exactly: bool = True
    patience_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaReading:
    """One server that an Engine asks: ``limit`` calls may be on the wire, ``in_flight`` are.

    It is asked nothing before ``paused_until``, in seconds since the Unix epoch.
    """

    name: str
    state: EngineState
    limit: int
    in_flight: int
    paused_until: float


@runtime_checkable
class Replicated(Protocol):
    """An Engine that asks servers elsewhere."""

    def replicas(self) -> tuple[ReplicaReading, ...]:
        """Return how each of them stands."""
        ...


class Engine(Protocol):
    """Answers Requests. It tries once and says what happened: no retry, no sleep, no hidden error.

    A lifetime is ``async with engine``: entering starts to load and returns at once; leaving ends
    every process the Engine started.
    """

    @property
    def state(self) -> EngineState:
        """LOADING until the model is in memory, and again while a dead process is restarted."""
        ...

    @property
    def trouble(self) -> Trouble | None:
        """Why the Engine answers nothing now, when there is more to say than "loading".

        An Engine that is READY may have one too: an upstream may have asked it to wait.
        """
        ...

    async def ready(self) -> EngineFacts:
        """Wait until READY and say what was loaded. Raise `EngineBroken` if it cannot load."""
        ...

    async def answer(
        self, request: AnyRequest, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt. Interactive Requests go ahead of the others.

        ``wrote`` is called with each piece of the answer as soon as it is final: the pieces of a Candidate,
        one after the other, are the beginning of what the Outcome says, or all of it. Function calls and log
        probabilities come with the Outcome only.

        Every failure is a returned `Failed`; what the Engine cannot do is one of Cause.UNSUPPORTED.
        Cancelling the awaiting task frees what the Attempt holds.
        """
        ...

    async def answer_many(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make one Attempt of each, behind interactive Requests, and return when all have their Outcome.

        ``took(position, outcome)`` is called as each Outcome comes: once each, in any order, and never after
        the call has ended. Every failure is a `Failed`. Cancelling the awaiting task frees what is still
        held. It costs far less than as many calls of `answer`: no task is made for a Request.
        """
        ...

    async def count_tokens(self, request: AnyRequest) -> int:
        """The tokens of the rendered prompt, exactly as `answer` would report ``input_tokens``.

        An Engine whose facts say that it does not count exactly gives an estimate.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...
