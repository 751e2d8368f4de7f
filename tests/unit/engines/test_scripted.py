"""The scripts that tests play, and what they can learn from the player."""

from __future__ import annotations

import asyncio

import pytest

from halfrate.domain.outcome import Answered, Cause, Failed, Finish, Outcome
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.api import EngineState
from halfrate.engines.scripted import Script, ScriptedEngine, always, echo, failing, failing_first
from tests.engines import ask


async def play(script: Script, *requests: Request) -> list[Outcome]:
    async with ScriptedEngine(script) as engine:
        return [await engine.answer(request) for request in requests]


async def test_echo_says_what_it_was_told_within_bounds() -> None:
    assert await play(
        echo, ask("one two three"), ask("one two three", max_output_tokens=2), ask("a b END c", stop=("END",))
    ) == [
        Answered.of("one two three", Finish.STOP, Usage(4, 3)),
        Answered.of("one two", Finish.LENGTH, Usage(4, 2)),
        Answered.of("a b ", Finish.STOP, Usage(5, 2)),
    ]


async def test_always_says_the_same() -> None:
    (outcome,) = await play(always("yes"), ask("Is it?"))
    assert isinstance(outcome, Answered)
    assert outcome.text == "yes"


async def test_failures_are_given_by_pattern() -> None:
    bad, good = await play(failing(r"ba+d", Cause.TIMED_OUT), ask("a baaad one"), ask("a good one"))
    assert isinstance(bad, Failed)
    assert bad.cause is Cause.TIMED_OUT
    assert isinstance(good, Answered)


async def test_failures_can_pass() -> None:
    """What a retry is for."""
    request = ask("again")
    outcomes = await play(failing_first(2), request, request, request)
    assert [isinstance(outcome, Answered) for outcome in outcomes] == [False, False, True]


async def test_a_deadly_request_takes_its_company_along() -> None:
    async with ScriptedEngine(deadly="poison", delay_seconds=0.01, lanes=3) as engine:
        outcomes = await asyncio.gather(*(engine.answer(ask(text)) for text in ("a", "poison", "b", "c")))
        assert isinstance(outcomes[1], Failed)
        assert outcomes[1].cause is Cause.ENGINE_DIED
        assert isinstance(outcomes[2], Failed)
        assert engine.deaths == 1
        await engine.ready()
        assert isinstance(await engine.answer(ask("a")), Answered)


async def test_it_knows_what_was_in_flight_and_in_which_order() -> None:
    requests = [ask(str(n)) for n in range(5)]
    async with ScriptedEngine(delay_seconds=0.005, lanes=2) as engine:
        await engine.ready()
        tasks = [asyncio.create_task(engine.answer(request)) for request in requests]
        await asyncio.sleep(0)
        assert engine.in_flight == requests
        await asyncio.gather(*tasks)
        assert engine.in_flight == []
        assert engine.answered == requests
        assert (engine.calls, engine.in_flight_max) == (5, 5)


async def test_a_killed_one_is_not_ready_until_restarted() -> None:
    async with ScriptedEngine(restart_seconds=0.01) as engine:
        await engine.ready()
        await engine.die()
        assert engine.state is EngineState.LOADING
        assert engine.trouble is not None
        await engine.ready()
        assert engine.trouble is None


@pytest.mark.parametrize("delay", [0.0, 0.01])
async def test_a_cancelled_attempt_is_not_answered(delay: float) -> None:
    async with ScriptedEngine(delay_seconds=delay) as engine:
        await engine.ready()
        task = asyncio.create_task(engine.answer(ask("never mind")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert engine.in_flight == []
        assert isinstance(await engine.answer(ask("but this")), Answered)
        assert [request.messages[-1].text for request in engine.answered] == ["but this"]
