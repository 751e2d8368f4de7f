"""An Engine that plays a script: for tests, simulations and benchmarks. No configuration names it."""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from hashlib import shake_128
from typing import Self

from halfrate.clock import Clock, WallClock
from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish, Outcome
from halfrate.domain.request import AnyRequest, Choice, FunctionCall, Request
from halfrate.domain.trouble import Trouble
from halfrate.domain.usage import Usage
from halfrate.engines.abilities import inability
from halfrate.engines.api import Ability, EngineFacts, EngineState, Took, Wrote

Script = Callable[[Request], Outcome]

_CONTEXT_TOKENS = 4096


def count_words(request: AnyRequest) -> int:
    """The tokens of a scripted prompt: its words, and one for each Message's speaker."""
    if isinstance(request, Embedding):
        return 1 + len(request.text.split())
    return sum(1 + len(message.text.split()) for message in request.messages)


ABILITIES = frozenset(Ability) - {Ability.LOGPROBS}


def echo(request: Request) -> Outcome:
    """Answer with the last Message, cut after ``max_output_tokens`` words or before a stop string."""
    return _answered(request, request.messages[-1].text)


def always(text: str) -> Script:
    """Answer everything with this text."""
    return lambda request: _answered(request, text)


def failing(pattern: str, cause: Cause = Cause.INTERNAL, *, otherwise: Script = echo) -> Script:
    """Fail where the last Message matches the pattern."""
    matches = re.compile(pattern).search

    def play(request: Request) -> Outcome:
        if matches(request.messages[-1].text):
            return Failed(cause, f"The script fails what matches {pattern!r}.")
        return otherwise(request)

    return play


def failing_first(times: int, cause: Cause = Cause.OVERLOADED, *, otherwise: Script = echo) -> Script:
    """Fail the first ``times`` Attempts of each Request, then answer it."""
    attempts: dict[Request, int] = {}

    def play(request: Request) -> Outcome:
        attempts[request] = attempts.get(request, 0) + 1
        if attempts[request] <= times:
            return Failed(cause, f"The script fails the first {times} Attempts.")
        return otherwise(request)

    return play


class _Call:
    """One call that waits for the Outcomes of its Requests."""

    def __init__(self, requests: int, took: Took) -> None:
        self._left = requests
        self._took = took
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, position: int, outcome: Outcome) -> None:
        self._took(position, outcome)
        self._left -= 1
        if not self._left and not self.complete.done():
            self.complete.set_result(None)


@dataclass(slots=True)
class _Held:
    """A Request of a call, until it has its Outcome."""

    order: int
    request: AnyRequest
    call: _Call
    position: int
    has_outcome: bool = False

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more: it has its Outcome, or its call was cancelled."""
        return self.has_outcome or self.call.complete.done()


class ScriptedEngine:
    """Plays ``script``, ``delay_seconds`` after a Request's turn came; ``lanes`` are worked on at a time.

    A Request whose last Message matches ``deadly`` kills the Engine, as one that crashes native code would.
    ``calls`` counts Attempts, ``in_flight`` are those under way, ``in_flight_max`` is the most there ever
    were, and ``answered`` holds the Requests in the order in which their Outcomes came, unless it is not to
    ``remember`` them.
    """

    def __init__(
        self,
        script: Script = echo,
        *,
        delay_seconds: float = 0.0,
        word_seconds: float = 0.0,
        lanes: int = 8,
        deadly: str | None = None,
        restart_seconds: float = 0.0,
        default_temperature: float = 0.0,
        model_version: str = "scripted-1",
        broken: str | None = None,
        remember: bool = True,
        abilities: frozenset[Ability] = ABILITIES,
        dimensions: int = 0,
        clock: Clock | None = None,
    ) -> None:
        self._script = script
        self._delay_seconds = delay_seconds
        self.word_seconds = word_seconds
        self._deadly = None if deadly is None else re.compile(deadly)
        self._restart_seconds = restart_seconds
        self._broken = broken
        self._remember = remember
        self._clock = clock or WallClock()
        self._facts = EngineFacts(
            model_version,
            _CONTEXT_TOKENS,
            default_temperature,
            lanes,
            abilities=abilities,
            dimensions=dimensions,
        )
        self._state = EngineState.LOADING
        self._again_at: float | None = None
        self._changed = asyncio.Condition()
        self._held: dict[int, _Held] = {}
        self._interactive: deque[_Held] = deque()
        self._batch: deque[_Held] = deque()
        self._arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls = 0
        self.deaths = 0
        self.in_flight_max = 0
        self.answered: list[AnyRequest] = []

    @property
    def state(self) -> EngineState:
        """LOADING until entered, and after `die` until restarted."""
        return self._state

    @property
    def trouble(self) -> Trouble | None:
        """What it was told to be broken by, or that it died."""
        if self._state is EngineState.READY:
            return None
        if self._broken:
            return Trouble(self._broken)
        return Trouble("The script's process died.", self._again_at, self.deaths) if self.deaths else None

    @property
    def in_flight(self) -> list[AnyRequest]:
        """The Requests it holds now, oldest first."""
        return [held.request for held in self._held.values()]

    async def ready(self) -> EngineFacts:
        """Wait until READY and say what was loaded. Raise `EngineBroken` if told to be broken."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._state is not EngineState.LOADING)
        if self._state is EngineState.BROKEN:
            raise EngineBroken(self._broken or "the engine has been stopped")
        return self._facts

    async def answer(
        self, request: AnyRequest, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt. Interactive Requests go ahead of the others. It writes a word at a time."""
        outcomes: list[Outcome] = []
        queue = self._interactive if interactive else self._batch
        await self._ask([request], lambda _, outcome: outcomes.append(outcome), queue)
        if wrote is not None and isinstance(outcomes[0], Answered):
            await self._write(outcomes[0], wrote)
        return outcomes[0]

    async def _write(self, answered: Answered, wrote: Wrote) -> None:
        for index, candidate in enumerate(answered.candidates):
            for word in re.findall(r"\s*\S+|\s+", candidate.text):
                wrote(Delta(word, index=index))
                await self._clock.sleep(self.word_seconds)

    async def answer_many(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make one Attempt of each, behind interactive Requests, and return when all have their Outcome."""
        if requests:
            await self._ask(requests, took, self._batch)

    async def _ask(self, requests: Sequence[AnyRequest], took: Took, queue: deque[_Held]) -> None:
        first = self.calls + 1
        self.calls += len(requests)
        try:
            await self.ready()
        except EngineBroken as error:
            for position in range(len(requests)):
                took(position, Failed(Cause.ENGINE_DIED, str(error)))
            return
        call = _Call(len(requests), took)
        asked = [_Held(first + n, request, call, n) for n, request in enumerate(requests)]
        self._held.update((held.order, held) for held in asked)
        queue.extend(asked)
        self.in_flight_max = max(self.in_flight_max, len(self._held))
        self._arrived.set()
        try:
            await call.complete
        finally:
            if call.complete.cancelled():
                for held in asked:
                    self._held.pop(held.order, None)

    async def count_tokens(self, request: AnyRequest) -> int:
        """The words of the prompt, as `answer` reports them. Raise `EngineBroken`."""
        await self.ready()
        return count_words(request)

    async def die(self) -> None:
        """End as a process killed now would: what it holds fails, and it is LOADING until restarted."""
        self.deaths += 1
        self._fail_all("The script's process died.")
        await self._become(EngineState.LOADING)
        self._spawn(self._restart())

    async def __aenter__(self) -> Self:
        # Without a delay one lane does the work of all: it never waits with a Request in hand.
        for _ in range(self._facts.lanes if self._delay_seconds else 1):
            self._spawn(self._lane())
        self._spawn(self._become(EngineState.READY if self._broken is None else EngineState.BROKEN))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all("The engine has been stopped.")
        await self._become(EngineState.BROKEN)

    async def _lane(self) -> None:
        while True:
            held = self._next()
            if held is None:
                self._arrived.clear()
                await self._arrived.wait()
            else:
                await self._play(held)

    def _next(self) -> _Held | None:
        """The one whose turn it is; no other lane will get it."""
        if self._state is not EngineState.READY:
            return None
        for queue in (self._interactive, self._batch):
            while queue:
                held = queue.popleft()
                if not held.over:  # else it was cancelled, or held by a process that died
                    return held
        return None

    async def _play(self, held: _Held) -> None:
        if self._delay_seconds:
            await self._clock.sleep(self._delay_seconds)
        if held.over:  # cancelled, or dead with the process
            return
        if self._deadly is not None and self._deadly.search(_last_text(held.request)):
            await self.die()
            return
        if self._remember:
            self.answered.append(held.request)
        unable = inability(held.request, self._facts)
        self._tell(held, self._outcome(held.request) if unable is None else unable)

    def _outcome(self, request: AnyRequest) -> Outcome:
        """Do as the script says. It is not asked for vectors: one is made of the text itself."""
        if not isinstance(request, Embedding):
            return self._script(request)
        width = request.dimensions or self._facts.dimensions
        told = f"{request.title or ''}\n{request.text}".encode()
        numbers = [byte - 127.5 for byte in shake_128(told).digest(width)]
        length = math.hypot(*numbers)
        return Embedded.of((number / length for number in numbers), Usage(count_words(request)))

    def _fail_all(self, detail: str) -> None:
        for held in list(self._held.values()):
            self._tell(held, Failed(Cause.ENGINE_DIED, detail))

    def _tell(self, held: _Held, outcome: Outcome) -> None:
        held.has_outcome = True
        del self._held[held.order]
        held.call.take(held.position, outcome)

    async def _restart(self) -> None:
        self._again_at = self._clock.now() + self._restart_seconds
        await self._clock.sleep(self._restart_seconds)
        await self._become(EngineState.READY)

    async def _become(self, state: EngineState) -> None:
        self._state = state
        self._arrived.set()
        async with self._changed:
            self._changed.notify_all()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _last_text(request: AnyRequest) -> str:
    return request.text if isinstance(request, Embedding) else request.messages[-1].text


def _answered(request: Request, text: str) -> Outcome:
    """This text, within the Request's own bounds; or what its bounds leave no choice about."""
    sampling, input_tokens = request.sampling, count_words(request)
    if input_tokens >= _CONTEXT_TOKENS:
        return Failed(Cause.TOO_LONG, f"The script's context is {_CONTEXT_TOKENS} words.")
    candidate = _candidate(request, text)
    words = len(candidate.text.split()) + len(candidate.calls)
    return Answered((candidate,) * sampling.candidates, Usage(input_tokens, words * sampling.candidates))


def _candidate(request: Request, text: str) -> Candidate:
    sampling, functions = request.sampling, request.functions
    if sampling.choices:
        return Candidate(sampling.choices[0], Finish.STOP)
    if functions is not None and functions.choice is Choice.ANY:
        return Candidate("", Finish.STOP, calls=(FunctionCall(functions.callable[0].name, "{}"),))
    text = min((text.split(stop, 1)[0] for stop in sampling.stop), key=len, default=text)
    words = text.split()
    if sampling.max_output_tokens is None or len(words) <= sampling.max_output_tokens:
        return Candidate(text, Finish.STOP)
    return Candidate(" ".join(words[: sampling.max_output_tokens]), Finish.LENGTH)
