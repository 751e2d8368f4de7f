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
from halfrate.engines.api import EngineFacts, EngineState, Took, Wrote
from halfrate.engines.upstream.dialect import Dialect
from halfrate.engines.upstream.governor import Governor
from halfrate.engines.upstream.replica import STOPPED, Replica
from halfrate.engines.upstream.settings import UpstreamSettings

logger = logging.getLogger(__name__)

MakeDialect = Callable[[UpstreamSettings], Dialect]


class UpstreamEngine:
    """Answers with a model that another server has. It knows no dialect: the one made says what to send.

    While the server does not answer, the Engine is LOADING, says why, and asks again; a server that refuses
    whatever is asked (a wrong key, no such model) makes it BROKEN until it does no more. What was on the wire
    when the server went away comes back as ``Failed(Cause.ENGINE_DIED)``; what could not be sent, as
    OVERLOADED.
    """

    def __init__(
        self, settings: UpstreamSettings, dialect: MakeDialect, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._governor = Governor(settings.concurrency_max)
        url = settings.urls[0]
        self._replica = Replica(
            url,
            settings,
            dialect(replace(settings, urls=(url,))),
            clock=clock or WallClock(),
            changed=self._wake,
        )
        self._waiting: list[asyncio.Future[None]] = []  # for another state
        self._held: deque[_Held] = deque()  # those no worker has yet
        self._workers: list[_Worker] = []
        self._idle: deque[_Worker] = deque()
        self._stack = AsyncExitStack()

    @property
    def state(self) -> EngineState:
        """READY while the server answers, as far as is known."""
        return self._replica.state

    @property
    def trouble(self) -> Trouble | None:
        """Why the server answers nothing now."""
        return self._replica.trouble

    async def ready(self) -> EngineFacts:
        """Wait until the server answers. Raise `EngineBroken` while it refuses everything."""
        while self.state is EngineState.LOADING:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed
        if self.state is EngineState.BROKEN or self._replica.facts is None:
            raise EngineBroken(str(self.trouble or STOPPED))
        return self._replica.facts

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
        async with self._governor.place(interactive=interactive) as place:
            outcome = await self._replica.answer(request, wrote=wrote)
            place.ended(outcome.cause.value if isinstance(outcome, Failed) else "answered")
        return outcome

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
        return await self._replica.dialect.count_tokens(request, self._replica.fetch)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._replica)
        self._workers = [_Worker(self) for _ in range(self._settings.concurrency_max)]
        return self

    async def __aexit__(self, *exc: object) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.close()
        await asyncio.gather(*(worker.task for worker in workers), return_exceptions=True)
        await self._stack.aclose()
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
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)


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
