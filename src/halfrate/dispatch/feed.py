"""One Engine as the Shards of many Jobs use it: bounded lanes, Attempts, and the gate for suspects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.dispatch.gate import Gate
from halfrate.dispatch.lanes import Lanes
from halfrate.domain.outcome import Cause, Failed, Outcome, TryAgain, Verdict, judge
from halfrate.domain.request import AnyRequest
from halfrate.engines.api import Engine, EngineState, Took


class Feed:
    """Hands Requests to an Engine until each has its final Outcome.

    First Attempts are made by the chunk. Only a Request whose Outcome may change costs a task of its own, in
    which it goes on alone. ``lanes`` bounds how many are on their way at once, over all Shards: take them
    before a chunk is handed over. An Engine may want more patience than the settings have.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        lanes: int,
        patience_seconds: float | None = None,
        clock: Clock,
        chance: Callable[[], float],
        config: DispatchConfig,
    ) -> None:
        self.engine = engine
        self._clock = clock
        self._chance = chance
        self._config = config
        self._attempt_seconds = patience_seconds or config.attempt_seconds
        self._gate = Gate()
        self.lanes = Lanes(lanes)

    async def answer(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make Attempts until the Outcome of each Request is final; ``took`` is called with it at once.

        Raise `EngineBroken` if the Engine cannot load any more: some then have no Outcome.
        """
        going_on: list[asyncio.Task[None]] = []

        async def go_on(position: int, failed: Failed) -> None:
            took(position, await self._go_on(requests[position], failed))

        def first(position: int, outcome: Outcome) -> None:
            if isinstance(outcome, Failed) and outcome.cause.retriable:
                going_on.append(asyncio.create_task(go_on(position, outcome)))
            else:
                took(position, outcome)

        try:
            async with self._gate.together():
                await self._attempt(requests, first)
            # Outside the gate: a suspect waits there for the chunk it was in.
            await asyncio.gather(*going_on)
        finally:
            for task in going_on:
                task.cancel()
            await asyncio.gather(*going_on, return_exceptions=True)

    async def _go_on(self, request: AnyRequest, failed: Failed) -> Outcome:
        """Make further Attempts until one is final."""
        outcome: Outcome = failed
        attempt = 1
        refusals = 0
        suspect = False
        deaths_alone = 0
        while isinstance(verdict := self._judge(outcome, attempt, refusals), TryAgain):
            died = isinstance(outcome, Failed) and outcome.cause is Cause.ENGINE_DIED
            refused = isinstance(outcome, Failed) and outcome.cause is Cause.OVERLOADED
            # The death that made a Request a suspect was perhaps another's doing: it does not count.
            attempt += 0 if refused or (died and not suspect) else 1
            refusals += 1 if refused else 0
            deaths_alone += 1 if died and suspect else 0
            suspect = suspect or died
            await self._clock.sleep(verdict.delay_seconds)
            async with self._gate.alone() if suspect else self._gate.together():
                outcome = await self._attempt_one(request)
        return _blamed(verdict.outcome, deaths=deaths_alone + 1) if suspect else verdict.outcome

    def _judge(self, outcome: Outcome, attempt: int, refusals: int) -> Verdict:
        return judge(
            outcome,
            attempt=attempt,
            refusals=refusals,
            attempts_max=self._config.attempts,
            backoff_seconds=self._config.backoff_seconds,
            backoff_seconds_max=self._config.backoff_seconds_max,
            chance=self._chance(),
        )

    async def _attempt_one(self, request: AnyRequest) -> Outcome:
        outcomes: list[Outcome] = []
        await self._attempt([request], lambda _, outcome: outcomes.append(outcome))
        return outcomes[0]

    async def _attempt(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make one Attempt of each. All begin now, so one time-out is the time-out of each."""
        if self.engine.state is not EngineState.READY:
            await self.engine.ready()
        left = set(range(len(requests)))

        def one(position: int, outcome: Outcome) -> None:
            left.discard(position)
            took(position, outcome)

        try:
            async with asyncio.timeout(self._attempt_seconds):
                await self.engine.answer_many(requests, one)
        except TimeoutError:
            for position in left:
                took(position, self._timed_out())

    def _timed_out(self) -> Failed:
        return Failed(
            Cause.TIMED_OUT,
            f"The model gave no answer in {self._attempt_seconds:g} s. Ask for fewer output "
            "tokens, or raise dispatch.attempt_seconds.",
        )


def _blamed(outcome: Outcome, *, deaths: int) -> Outcome:
    """Say of a Request that the Engine died of when it was given nothing else, that it did."""
    if not isinstance(outcome, Failed) or outcome.cause is not Cause.ENGINE_DIED:
        return outcome
    times = "once" if deaths == 1 else f"{deaths} times"
    return Failed(
        Cause.ENGINE_DIED,
        f"The engine's process ended {times} while it worked on this request alone, so the request "
        f"is not tried again: change it, or leave it out. The last time: {outcome.detail}",
    )
