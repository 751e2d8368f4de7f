"""An Engine that is a server elsewhere, asked over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Self

from halfrate.clock import Clock, WallClock
from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.domain.trouble import Trouble
from halfrate.engines.abilities import inability
from halfrate.engines.api import EngineFacts, EngineState, ReplicaReading, Took, Wrote
from halfrate.engines.upstream.dialect import Dialect
from halfrate.engines.upstream.estimate import Estimate
from halfrate.engines.upstream.replica import STOPPED, Replica
from halfrate.engines.upstream.replicas import NoRoom, Replicas, group_of
from halfrate.engines.upstream.settings import UpstreamSettings

logger = logging.getLogger(__name__)

_ORDER = (EngineState.READY, EngineState.LOADING, EngineState.BROKEN)
"""What several servers are together is the first that one of them is."""

MakeDialect = Callable[[UpstreamSettings], Dialect]


class UpstreamEngine:
    """Answers with a model that other servers have. It knows no dialect: the one made says what to send.

    With several servers it is as they are together: READY while one of them answers.

    While the server does not answer, the Engine is LOADING, says why, and asks again; a server that refuses
    whatever is asked (a wrong key, no such model) makes it BROKEN until it does no more. What was on the wire
    when the server went away comes back as ``Failed(Cause.ENGINE_DIED)``; what could not be sent, as
    OVERLOADED.
    """

    def __init__(
        self, settings: UpstreamSettings, dialect: MakeDialect, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock or WallClock()
        self._servers = [
            Replica(
                url,
                settings,
                dialect(replace(settings, urls=(url,))),
                clock=self._clock,
                changed=self._wake,
            )
            for url in settings.urls
        ]
        self._replicas = Replicas(
            self._servers,
            clock=self._clock,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        )
        self._estimate = Estimate()
        self._lanes = _lanes(settings)
        self._state = EngineState.LOADING
        self._facts: EngineFacts | None = None
        self._waiting: list[asyncio.Future[None]] = []  # for another state
        self._held: deque[_Held] = deque()  # those no worker has yet
        self._workers: list[_Worker] = []
        self._idle: deque[_Worker] = deque()
        self._stack = AsyncExitStack()

    @property
    def state(self) -> EngineState:
        """READY while a server answers, as far as is known."""
        return self._state

    @property
    def trouble(self) -> Trouble | None:
        """Why no server answers anything now: there is none, or all of them asked to be left alone."""
        if self._state is EngineState.READY:
            return self._pause()
        return next(server.trouble for server in self._servers if server.state is self._state)

    def _pause(self) -> Trouble | None:
        until = min(server.governor.paused_until for server in self._servers if server.available)
        if until <= self._clock.now():
            return None
        return Trouble("It asked to be left alone for a while.", again_at=until, rate_limited=True)

    def replicas(self) -> tuple[ReplicaReading, ...]:
        """Return how each server stands."""
        return tuple(
            ReplicaReading(
                name=server.url,
                state=server.state,
                limit=server.governor.limit,
                in_flight=server.governor.in_flight,
                paused_until=server.governor.paused_until,
            )
            for server in self._servers
        )

    async def ready(self) -> EngineFacts:
        """Wait until a server answers. Raise `EngineBroken` while all of them refuse everything."""
        while self._state is EngineState.LOADING:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed
        if self._state is EngineState.BROKEN or self._facts is None:
            raise EngineBroken(str(self.trouble or STOPPED))
        return self._facts

    async def answer(
        self, request: AnyRequest, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt. Interactive Requests go ahead of the others. Cancelling hangs up."""
        try:
            facts = await self.ready()
        except EngineBroken as error:
            # Nothing has died of it: it is no suspect, and waits until the server is mended.
            return Failed(Cause.OVERLOADED, str(error))
        unable = inability(request, facts)
        if unable is not None:
            return unable
        try:
            return await self._call(request, interactive, wrote)
        except NoRoom as no_room:
            if self.state is EngineState.BROKEN:
                return Failed(Cause.ENGINE_DIED, str(self.trouble or STOPPED))
            return Failed(
                Cause.OVERLOADED, "The model's server has no room now.", no_room.retry_after_seconds
            )

    async def _call(self, request: AnyRequest, interactive: bool, wrote: Wrote | None) -> Outcome:
        place = self._replicas.place(
            tokens=self._estimate.tokens(request), group=self._group(request), interactive=interactive
        )
        async with place:
            outcome = await place.replica.answer(request, wrote=wrote)
            place.ended(outcome, tokens=self._estimate.correct(request, outcome))
        return outcome

    def _group(self, request: AnyRequest) -> int | None:
        return group_of(request) if len(self._servers) > 1 else None

    async def answer_many(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make one Attempt of each, behind interactive Requests, and return when all have their Outcome.

        The promise is that of `halfrate.engines.api.Engine`. The tasks that work on them are the Engine's.
        """
        chunk = _Chunk(len(requests), took)
        for position, request in enumerate(requests):
            self._hand_over(_Held(request, chunk, position))
        try:
            await chunk.complete
        except BaseException:
            chunk.over = True
            for worker in self._workers:
                worker.let_go(chunk)
            raise

    async def count_tokens(self, request: AnyRequest) -> int:
        """The tokens of the prompt, as exactly as the facts say. Raise `EngineBroken`."""
        await self.ready()
        server = next((server for server in self._servers if server.available), self._servers[0])
        return await server.dialect.count_tokens(request, server.fetch)

    async def __aenter__(self) -> Self:
        for server in self._servers:
            await self._stack.enter_async_context(server)
        self._workers = [_Worker(self) for _ in range(self._lanes)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()
        await asyncio.gather(*(worker.task for worker in workers), return_exceptions=True)
        await self._stack.aclose()
        self._replicas.close()
        while self._held:
            self._held.popleft().tell(Failed(Cause.ENGINE_DIED, STOPPED))

    def _hand_over(self, held: _Held) -> None:
        if not self._workers:
            held.tell(Failed(Cause.ENGINE_DIED, STOPPED))
            return
        self._held.append(held)
        if self._idle:
            self._idle.popleft().wake()

    def next_held(self) -> _Held | None:
        """Return what is to be answered next, None if there is nothing."""
        while self._held:
            held = self._held.popleft()
            if not held.chunk.over:
                return held
        return None

    def rest(self, worker: _Worker) -> None:
        """Have a worker woken when there is something to do."""
        self._idle.append(worker)

    def _wake(self) -> None:
        """Take note that a server is not as it was."""
        first = min(self._servers, key=lambda server: _ORDER.index(server.state))
        self._state = first.state
        if first.facts is not None:
            self._facts = replace(first.facts, lanes=self._lanes)
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)
        if self._state is EngineState.BROKEN:
            self._replicas.send_away()
        else:
            self._replicas.hand_out()


class _Chunk:
    """One call of `answer_many`, which waits for the Outcomes of its Requests."""

    def __init__(self, requests: int, took: Took) -> None:
        self._left = requests
        self._took = took
        self.over = False
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._end_if_complete()

    def take(self, position: int, outcome: Outcome) -> None:
        """Tell an Outcome, unless nobody waits for it any more."""
        if self.over:
            return
        try:
            self._took(position, outcome)
        except Exception as error:  # it must not; whoever gave it hears of it, and no worker ends
            self.over = True
            self.complete.set_exception(error)
            return
        self._left -= 1
        self._end_if_complete()

    def _end_if_complete(self) -> None:
        if not self._left:
            self.over = True
            if not self.complete.done():
                self.complete.set_result(None)


@dataclass(frozen=True, slots=True)
class _Held:
    """A Request of a chunk, until it has its Outcome."""

    request: AnyRequest
    chunk: _Chunk
    position: int

    def tell(self, outcome: Outcome) -> None:
        self.chunk.take(self.position, outcome)


class _Worker:
    """A task of the Engine that answers one Request of a chunk after the other: none is made for each."""

    def __init__(self, engine: UpstreamEngine) -> None:
        self._engine = engine
        self._held: _Held | None = None
        self._woken = asyncio.Event()
        self._closing = False
        self.task = asyncio.create_task(self._work())

    def wake(self) -> None:
        """Have it look for work."""
        self._woken.set()

    def let_go(self, chunk: _Chunk) -> None:
        """Hang up if it works for this chunk."""
        if self._held is not None and self._held.chunk is chunk:
            self.task.cancel()

    def close(self) -> None:
        """End it."""
        self._closing = True
        self.task.cancel()

    async def _work(self) -> None:
        while True:
            self._held = self._engine.next_held()
            if self._held is None:
                self._woken.clear()
                self._engine.rest(self)
                await self._woken.wait()
            else:
                await self._answer(self._held)

    async def _answer(self, held: _Held) -> None:
        try:
            outcome = await self._engine.answer(held.request)
        except asyncio.CancelledError:
            if self._closing:
                held.tell(Failed(Cause.ENGINE_DIED, STOPPED))
                raise
            # Not the worker was meant, but what it worked on.
            self.task.uncancel()
            return
        except Exception as error:
            logger.exception("A call to an upstream failed in a way nobody foresaw.")
            outcome = Failed(Cause.INTERNAL, f"The call to the upstream failed: {error!r}.")
        held.tell(outcome)


def _lanes(settings: UpstreamSettings) -> int:
    """Return how many may be on the wire, and a few who wait for their places."""
    most = settings.concurrency_max * len(settings.urls)
    return most + most // 4 + 1
