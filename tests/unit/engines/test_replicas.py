"""Whose turn it is, and where: servers that are only chosen here, never called."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role
from halfrate.domain.usage import Usage
from halfrate.engines.upstream.governor import Governor
from halfrate.engines.upstream.replicas import (
    LOOK_AHEAD,
    PREFIX_CHARS,
    WAIT_SECONDS_MAX,
    NoRoom,
    Place,
    Replicas,
    group_of,
)
from tests.fakes import FakeClock

ANSWER = Answered.of("yes", Finish.STOP, Usage(3, 1, 0))


@dataclass
class Server:
    name: str
    governor: Governor = field(default_factory=lambda: Governor(least=2, most=2))
    available: bool = True


class Asker:
    """Asks for a place, and stays in it until it is told what came of it."""

    def __init__(self, replicas: Replicas[Server], **options: Any) -> None:
        self._done: asyncio.Future[tuple[object, int | None]] = asyncio.get_running_loop().create_future()
        self.at: str | None = None
        self.task = asyncio.create_task(self._ask(replicas.place(**options)))

    async def _ask(self, place: Place[Server]) -> None:
        async with place:
            self.at = place.replica.name
            outcome, tokens = await self._done
            place.ended(outcome, tokens=tokens)  # type: ignore[arg-type]

    async def end(self, outcome: object = ANSWER, tokens: int | None = None) -> None:
        self._done.set_result((outcome, tokens))
        await self.task
        await turns()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def asking(replicas: Replicas[Server], count: int = 1, **options: Any) -> list[Asker]:
    askers = [Asker(replicas, **options) for _ in range(count)]
    await turns()
    return askers


def servers(count: int) -> list[Server]:
    return [Server(name) for name in "abc"[:count]]


async def cancel(*work: Asker) -> None:
    for asker in work:
        asker.task.cancel()
    await asyncio.gather(*(asker.task for asker in work), return_exceptions=True)


@pytest.fixture
def replicas(clock: FakeClock) -> Replicas[Server]:
    return Replicas(servers(1), clock=clock)


async def test_no_more_are_let_through_than_there_are_places(replicas):
    askers = await asking(replicas, 4)
    assert [asker.at for asker in askers] == ["a", "a", None, None]
    await askers[1].end()
    assert [asker.at for asker in askers] == ["a", "a", "a", None], "first come, first served"
    await cancel(*askers)


async def test_interactive_calls_go_first(replicas):
    askers = await asking(replicas, 3)
    (interactive,) = await asking(replicas, interactive=True)
    await askers[0].end()
    assert (interactive.at, askers[2].at) == ("a", None)
    await cancel(interactive, *askers)


async def test_whoever_leaves_or_is_hung_up_leaves_the_place_to_others(replicas):
    first, second, leaving, waiting = await asking(replicas, 4)
    await cancel(leaving)
    await cancel(second)
    await turns()
    assert waiting.at == "a"
    await first.end()
    # One who leaves just when the place came.
    (last,) = await asking(replicas)
    (late,) = await asking(replicas)
    assert (last.at, late.at) == ("a", None)
    last._done.set_result((ANSWER, None))
    late.task.cancel()
    await asyncio.gather(last.task, late.task, return_exceptions=True)
    (next_one,) = await asking(replicas)
    assert next_one.at == "a"
    await cancel(next_one, waiting)


async def test_a_pause_holds_for_all_and_ends_by_itself(replicas, clock):
    first, second = await asking(replicas, 2)
    (waiting,) = await asking(replicas)
    await first.end(Failed(Cause.OVERLOADED, "Busy.", 30.0))
    assert waiting.at is None
    clock.advance(seconds=29)
    await turns()
    assert waiting.at is None
    clock.advance(seconds=1)
    await turns()
    assert waiting.at == "a"
    await cancel(second, waiting)


async def test_a_shorter_pause_elsewhere_is_noticed(clock):
    """The alarm that rings first is the one that counts."""
    both = servers(2)
    replicas = Replicas(both, clock=clock)
    askers = await asking(replicas, 4)
    (waiting,) = await asking(replicas)
    for asker, seconds in zip(askers, (50.0, 20.0, 50.0, 20.0), strict=True):
        asker._done.set_result((Failed(Cause.OVERLOADED, "Busy.", seconds), None))
    await turns()
    clock.advance(seconds=20)
    await turns()
    assert waiting.at is not None
    await cancel(waiting)


async def test_whoever_would_wait_too_long_is_told(replicas, clock):
    first, second = await asking(replicas, 2)
    (waiting,) = await asking(replicas)
    await first.end(Failed(Cause.OVERLOADED, "Come back tomorrow.", 86_400.0))
    with pytest.raises(NoRoom) as no_room:
        await waiting.task
    assert no_room.value.retry_after_seconds == 86_400.0
    await cancel(second)


async def test_whoever_has_waited_too_long_is_told_too(replicas, clock):
    askers = await asking(replicas, 2)
    (waiting,) = await asking(replicas)
    clock.advance(seconds=WAIT_SECONDS_MAX)
    await turns()
    with pytest.raises(NoRoom):
        await waiting.task
    await cancel(*askers)


async def test_requests_are_begun_evenly_over_the_minute(clock):
    replicas = Replicas([Server("a", Governor(least=99, most=99))], clock=clock, requests_per_minute=60)
    askers = await asking(replicas, 4)
    for begun in range(1, 5):
        assert len([asker for asker in askers if asker.at]) == begun
        clock.advance(seconds=1)
        await turns()
    await cancel(*askers)


async def test_tokens_are_estimated_and_corrected(clock):
    """60 tokens in a second: a call that took 60 more than thought has the next one wait a second longer."""
    replicas = Replicas([Server("a", Governor(least=99, most=99))], clock=clock, tokens_per_minute=3_600)
    (first,) = await asking(replicas, tokens=60)
    await first.end(tokens=120)
    (second,) = await asking(replicas, tokens=60)
    clock.advance(seconds=1)
    await turns()
    assert second.at is None
    clock.advance(seconds=1)
    await turns()
    assert second.at == "a"
    await cancel(second)


async def test_a_group_stays_where_it_is_warm_until_that_is_full(clock):
    replicas = Replicas(servers(2), clock=clock)
    (one,) = await asking(replicas, group=1)
    (two,) = await asking(replicas, group=2)
    assert (one.at, two.at) == ("a", "b"), "the one with the most room"
    (again,) = await asking(replicas, group=1)
    assert again.at == "a"
    (full,) = await asking(replicas, group=1)
    assert full.at == "b"
    await one.end()
    (moved,) = await asking(replicas, group=1)
    assert moved.at == "a", "b is full too, and it goes where there is room"
    await cancel(two, again, full, moved)


async def test_a_place_goes_to_one_who_is_at_home_there(clock):
    """The first of those who wait is at home at a, where nothing is free; the second is at home at b."""
    replicas = Replicas(servers(2), clock=clock)
    at_a = await asking(replicas, group=1) + await asking(replicas, group=3)
    at_b = [*await asking(replicas, group=2)]
    assert [asker.at for asker in at_a + at_b] == ["a", "b", "a"]
    at_b += await asking(replicas, group=3)
    assert at_b[-1].at == "b"
    (ones,) = await asking(replicas, group=1)
    (threes,) = await asking(replicas, group=3)
    await at_b[-1].end()
    assert (ones.at, threes.at) == (None, "b")
    await at_a[0].end()
    assert ones.at == "a"
    await cancel(ones, threes, *at_a[1:], at_b[0])


async def test_but_nobody_is_looked_for_beyond_a_bound(clock):
    replicas = Replicas(servers(2), clock=clock)
    holding = await asking(replicas, group=1) + await asking(replicas, group=2)
    holding += await asking(replicas, group=1) + await asking(replicas, group=2)
    crowd = await asking(replicas, LOOK_AHEAD, group=1)
    (far,) = await asking(replicas, group=2)
    await holding[1].end()
    assert (crowd[0].at, far.at) == ("b", None)
    await cancel(far, *crowd, *holding)


async def test_a_server_that_is_away_is_not_asked_and_asked_again_when_it_is_back(clock):
    both = servers(2)
    replicas = Replicas(both, clock=clock)
    (one,) = await asking(replicas, group=1)
    both[0].available = False
    (again,) = await asking(replicas, group=1)
    assert (one.at, again.at) == ("a", "b")
    both[1].available = False
    (waiting,) = await asking(replicas, group=1)
    assert waiting.at is None
    both[0].available = True
    replicas.hand_out()
    await turns()
    assert waiting.at == "a"
    await cancel(one, again, waiting)


async def test_what_comes_of_a_server_that_went_away_is_not_held_against_its_limit(clock):
    server = Server("a", Governor(least=1, most=8))
    replicas = Replicas([server], clock=clock)
    askers = await asking(replicas, 4)
    server.available = False
    for asker in askers:
        await asker.end(Failed(Cause.OVERLOADED, "Nobody there."))
    assert (server.governor.limit, server.governor.in_flight) == (4, 0)


async def test_closing_sends_everybody_away(replicas):
    askers = await asking(replicas, 3)
    replicas.close()
    with pytest.raises(NoRoom):
        await askers[2].task
    await cancel(*askers[:2])


def ask(*texts: str) -> Request:
    return Request(tuple(Message(Role.USER, text) for text in texts))


def test_requests_that_begin_alike_are_a_group():
    document = "word " * (PREFIX_CHARS // 5 + 1)
    assert group_of(ask(document + "Why?")) == group_of(ask(document + "When?"))
    assert group_of(ask(document, "Why?")) == group_of(ask(document, "When?"))
    assert group_of(ask("Be brief.", "Why?")) != group_of(ask("Be brief.", "When?"))
    assert group_of(Embedding("text")) is None
