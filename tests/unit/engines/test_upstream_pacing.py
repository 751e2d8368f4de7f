"""Engines over HTTP keep to what their servers ask for, and share what is to be done among several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.request import Request
from halfrate.engines.api import EngineState, Replicated
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.engines import ask
from tests.fakes import FakeClock
from tests.support.hostile_server import Act, Asked, HostileServer, completion, respond, saying

BUSY = {"error": {"message": "Too many."}}


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


@asynccontextmanager
async def connected(
    *servers: HostileServer, clock: FakeClock, **settings: object
) -> AsyncIterator[UpstreamEngine]:
    urls = tuple(server.url for server in servers)
    made = UpstreamSettings(urls=urls, **({"concurrency_max": 4} | settings))  # type: ignore[arg-type]
    async with asyncio.timeout(20), UpstreamEngine(made, OpenAIDialect, clock=clock) as engine:
        await engine.ready()
        yield engine


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def calls(server: HostileServer) -> int:
    """How often the model was asked."""
    return sum(asked.method == "POST" for asked in server.asked)


class Holding:
    """Holds calls until they are let go."""

    def __init__(self) -> None:
        self.held = 0
        self.go = asyncio.Event()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.held += 1
        await self.go.wait()
        self.held -= 1
        writer.write(respond(completion()))


def numbered(count: int) -> list[Request]:
    return [ask(f"Question {number}?") for number in range(count)]


async def test_a_pause_that_one_call_is_told_is_kept_by_all_and_told(
    server: HostileServer, clock: FakeClock
) -> None:
    server.act = saying(BUSY, status=429, headers={"Retry-After": "30"})
    async with connected(server, clock=clock) as engine:
        refused = await engine.answer(ask("Hello?"))
        assert isinstance(refused, Failed)
        assert (refused.cause, refused.retry_after_seconds) == (Cause.OVERLOADED, 30.0)
        trouble = engine.trouble
        assert trouble is not None
        assert trouble.limited(clock.now())
        assert trouble.again_at == clock.now() + 30
        assert engine.state is EngineState.READY
        server.act = saying(completion())
        waiting = asyncio.create_task(engine.answer(ask("And now?")))
        clock.advance(seconds=29)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert calls(server) == 1
        clock.advance(seconds=1)
        assert isinstance(await waiting, Answered)
        assert engine.trouble is None


async def test_whoever_would_wait_too_long_is_brought_again_when_it_is_time(
    server: HostileServer, clock: FakeClock
) -> None:
    """A day is not waited for by a call that has one hour."""
    server.act = saying(BUSY, status=429, headers={"Retry-After": "86400"})
    async with connected(server, clock=clock) as engine:
        await engine.answer(ask("Hello?"))
        refused = await engine.answer(ask("And now?"))
    assert isinstance(refused, Failed)
    assert (refused.cause, refused.retry_after_seconds) == (Cause.OVERLOADED, 86_400.0)
    assert calls(server) == 1


async def test_what_headers_say_is_left_is_not_overdrawn(server: HostileServer, clock: FakeClock) -> None:
    """After an answer that says so, none is sent before the minute is over."""
    headers = {"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "60"}
    server.act = saying(completion(), headers=headers)
    async with connected(server, clock=clock) as engine:
        assert isinstance(await engine.answer(ask("Hello?")), Answered)
        waiting = asyncio.create_task(engine.answer(ask("And now?")))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert calls(server) == 1
        clock.advance(seconds=60)
        assert isinstance(await waiting, Answered)


async def test_no_more_are_sent_than_the_limit(server: HostileServer, clock: FakeClock) -> None:
    server.act = holding = Holding()
    async with connected(server, clock=clock, concurrency_max=3) as engine:
        took: list[Outcome] = []
        asking = asyncio.create_task(engine.answer_many(numbered(9), lambda _, outcome: took.append(outcome)))
        await until(lambda: holding.held == 3)
        (reading,) = engine.replicas()
        assert (reading.name, reading.limit, reading.in_flight) == (server.url, 3, 3)
        assert isinstance(engine, Replicated)
        holding.go.set()
        await asking
    assert len([outcome for outcome in took if isinstance(outcome, Answered)]) == 9


async def test_the_load_that_a_server_tells_bounds_what_it_is_sent(
    server: HostileServer, clock: FakeClock
) -> None:
    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.path == "/metrics":
            writer.write(respond(b"llamacpp:requests_processing 1\nllamacpp:requests_deferred 9\n"))
        else:
            writer.write(respond(completion()))

    server.act = act
    async with connected(server, clock=clock) as engine:
        clock.advance(seconds=2)
        await until(lambda: engine.replicas()[0].limit == 1)


async def test_several_servers_share_what_is_to_be_done(
    server: HostileServer, other: HostileServer, clock: FakeClock
) -> None:
    server.act, other.act = here, there = Holding(), Holding()
    async with connected(server, other, clock=clock, concurrency_max=2) as engine:
        await until(lambda: all(reading.state is EngineState.READY for reading in engine.replicas()))
        assert (await engine.ready()).lanes > 4, "some wait, so that a place is taken at once"
        took: list[Outcome] = []
        asking = asyncio.create_task(engine.answer_many(numbered(8), lambda _, outcome: took.append(outcome)))
        await until(lambda: here.held == there.held == 2)
        here.go.set()
        there.go.set()
        await asking
    assert len(took) == 8


@pytest.mark.parametrize("act", [saying({"error": {"message": "Out of order."}}, status=500)])
async def test_a_server_that_fails_again_and_again_is_left_alone_and_the_other_does_its_work(
    server: HostileServer, other: HostileServer, clock: FakeClock, act: Act
) -> None:
    """A Request is not tried twice here: those that failed go up, and come again."""
    server.act, other.act = act, saying(completion())
    async with connected(server, other, clock=clock, concurrency_max=1) as engine:
        await until(lambda: all(reading.state is EngineState.READY for reading in engine.replicas()))
        took: list[Outcome] = []
        await engine.answer_many(numbered(60), lambda _, outcome: took.append(outcome))
        states = {reading.name: reading.state for reading in engine.replicas()}
        assert states == {server.url: EngineState.LOADING, other.url: EngineState.READY}
        assert engine.state is EngineState.READY
        failed = [outcome for outcome in took if isinstance(outcome, Failed)]
        assert 5 <= len(failed) <= 6
        # It answers again, and has its part again.
        server.act = saying(completion())
        asked = calls(server)
        clock.advance(seconds=30)
        await until(lambda: all(reading.state is EngineState.READY for reading in engine.replicas()))
        await engine.answer_many(numbered(20), lambda _, outcome: took.append(outcome))
        assert calls(server) > asked
