"""Attempts, retries, and who is to blame when an Engine dies."""

import asyncio

import pytest

from halfrate.config import DispatchConfig
from halfrate.dispatch.feed import Feed, Lanes
from halfrate.domain.outcome import Answered, Cause, Failed
from halfrate.domain.request import Message, Request, Role
from halfrate.engines.scripted import ScriptedEngine, failing, failing_first
from tests.fakes import FakeClock


def ask(text: str) -> Request:
    return Request((Message(Role.USER, text),))


class Hurried(FakeClock):
    """A clock on which every wait is over at once, and noted."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def feed_of(engine: ScriptedEngine, clock: Hurried, **config: float) -> Feed:
    return Feed(engine, lanes=8, clock=clock, chance=lambda: 0.0, config=DispatchConfig(**config))


async def test_a_transient_failure_is_tried_again_after_a_growing_pause():
    clock = Hurried()
    async with ScriptedEngine(failing_first(2, Cause.OVERLOADED)) as engine:
        outcome = await feed_of(engine, clock).outcome(ask("hello"))
    assert isinstance(outcome, Answered)
    assert clock.waits == [1.0, 2.0]


async def test_attempts_run_out():
    async with ScriptedEngine(failing("hello", Cause.OVERLOADED)) as engine:
        outcome = await feed_of(engine, Hurried(), attempts=3).outcome(ask("hello"))
        assert engine.calls == 3
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.OVERLOADED


@pytest.mark.parametrize("cause", [cause for cause in Cause if not cause.retriable])
async def test_a_permanent_failure_is_not_tried_again(cause):
    async with ScriptedEngine(failing("hello", cause)) as engine:
        outcome = await feed_of(engine, Hurried()).outcome(ask("hello"))
        assert engine.calls == 1
    assert isinstance(outcome, Failed)
    assert outcome.cause is cause


async def test_a_request_that_kills_the_engine_gets_an_error_and_all_others_their_answers():
    """One poisonous Request must cost nobody else an answer."""
    async with ScriptedEngine(deadly="poison", delay_seconds=0.001, lanes=8) as engine:
        feed = feed_of(engine, Hurried(), attempts=3)
        texts = [f"hello {n}" for n in range(20)] + ["poison"] + [f"hello {n}" for n in range(20, 40)]
        outcomes = await asyncio.gather(*(feed.outcome(ask(text)) for text in texts))
        deaths = engine.deaths
    culprits = [text for text, outcome in zip(texts, outcomes, strict=True) if isinstance(outcome, Failed)]
    assert culprits == ["poison"]
    assert deaths == 4, "one with company, then three alone"


async def test_an_attempt_that_takes_too_long_is_given_up():
    async with ScriptedEngine(delay_seconds=60) as engine:
        outcome = await feed_of(engine, Hurried(), attempts=1, attempt_seconds=0.01).outcome(ask("hello"))
        assert engine.in_flight == []
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TIMED_OUT


async def test_lanes_say_how_many_are_in_use():
    lanes = Lanes(2)
    assert lanes.in_use == 0
    await lanes.acquire()
    await lanes.acquire()
    waiting = asyncio.create_task(lanes.acquire())
    await asyncio.sleep(0)
    assert lanes.in_use == 2
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    lanes.release()
    assert lanes.in_use == 1
