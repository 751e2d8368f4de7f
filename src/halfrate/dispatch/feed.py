"""One Engine as the Shards of many Jobs use it: bounded lanes, Attempts, and the gate for suspects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.dispatch.gate import Gate
from halfrate.domain.outcome import Cause, Failed, Outcome, TryAgain, judge
from halfrate.domain.request import Request
from halfrate.engines.api import Engine, EngineState


class Lanes(asyncio.Semaphore):
    """A bound on what is under way at once, which says how much is."""

    def __init__(self, lanes: int) -> None:
        super().__init__(lanes)
        self.in_use = 0

    async def acquire(self) -> Literal[True]:
        """Take a lane, as soon as one is free."""
        await super().acquire()
        self.in_use += 1
        return True

    def release(self) -> None:
        """Give a lane back."""
        self.in_use -= 1
        super().release()


class Feed:
    """Hands Requests to an Engine until each has its final Outcome.

    ``lanes`` bounds how many are on their way at once, over all Shards.
    """

    def __init__(
        self, engine: Engine, *, lanes: int, clock: Clock, chance: Callable[[], float], config: DispatchConfig
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._chance = chance
        self._config = config
        self._gate = Gate()
        self.lanes = Lanes(lanes)

    async def outcome(self, request: Request) -> Outcome:
        """Make Attempts until one is final. Raise `EngineBroken` if the Engine cannot load any more."""
        attempt = 1
        suspect = False
        while True:
            outcome = await self._attempt(request, self._gate.alone() if suspect else self._gate.together())
            verdict = judge(
                outcome,
                attempt=attempt,
                attempts_max=self._config.attempts,
                backoff_seconds=self._config.backoff_seconds,
                chance=self._chance(),
            )
            if not isinstance(verdict, TryAgain):
                return verdict.outcome
            died = isinstance(outcome, Failed) and outcome.cause is Cause.ENGINE_DIED
            # The death that made a Request a suspect was perhaps another's doing: it does not count.
            attempt += 0 if died and not suspect else 1
            suspect = suspect or died
            await self._clock.sleep(verdict.delay_seconds)

    async def _attempt(self, request: Request, place: AbstractAsyncContextManager[None]) -> Outcome:
        async with place:
            if self._engine.state is not EngineState.READY:
                await self._engine.ready()
            try:
                async with asyncio.timeout(self._config.attempt_seconds):
                    return await self._engine.answer(request)
            except TimeoutError:
                return Failed(
                    Cause.TIMED_OUT,
                    f"The model gave no answer in {self._config.attempt_seconds:g} s. Ask for fewer output "
                    "tokens, or raise dispatch.attempt_seconds.",
                )
