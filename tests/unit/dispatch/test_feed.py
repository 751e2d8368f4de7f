"""Attempts, retries, and who is to blame when an Engine dies."""

import asyncio
from itertools import chain

import pytest

from halfrate.config import DispatchConfig
from halfrate.dispatch.feed import Feed
from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.request import Message, Request, Role
from halfrate.engines.scripted import ScriptedEngine, echo, failing, failing_first
from tests.fakes import EPOCH, FakeClock


def ask(text: str) -> Request:
    return Request((Message(Role.USER, text),))


class FirstAtOnce(FakeClock):
    """A clock on which the first wait is over at once, and the others never."""

    async def sleep(self, seconds: float) -> None:
        if self.now() == EPOCH:
            self.advance(seconds=1)
        else:
            await super().sleep(seconds)


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


async def answers(feed: Feed, *texts: str) -> list[Outcome]:
    """The final Outcome of each, handed over as one chunk. Fails if one has not exactly one."""
    took: dict[int, Outcome] = {}

    def take(position: int, outcome: Outcome) -> None:
        assert position not in took, "a second Outcome"
        took[position] = outcome

    async with asyncio.timeout(20):
        await feed.answer([ask(text) for text in texts], take)
    return [took[position] for position in range(len(texts))]


def culprits(texts: list[str], outcomes: list[Outcome]) -> list[str]:
    return [text for text, outcome in zip(texts, outcomes, strict=True) if isinstance(outcome, Failed)]


@pytest.mark.parametrize("cause", [Cause.TIMED_OUT, Cause.OVERLOADED])
async def test_a_transient_failure_is_tried_again_after_a_growing_pause(cause):
    clock = Hurried()
    async with ScriptedEngine(failing_first(2, cause)) as engine:
        (outcome,) = await answers(feed_of(engine, clock), "hello")
    assert isinstance(outcome, Answered)
    assert clock.waits == [1.0, 2.0]


async def test_an_engine_without_room_is_asked_until_it_has_some():
    """A refusal costs no Attempt, and the pauses stop growing."""
    clock = Hurried()
    async with ScriptedEngine(failing_first(9, Cause.OVERLOADED)) as engine:
        (outcome,) = await answers(feed_of(engine, clock, attempts=2), "hello")
        assert engine.calls == 10
    assert isinstance(outcome, Answered)
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


async def test_refusals_leave_the_attempts_as_they_were():
    """Nor do Attempts make the pauses after a refusal longer."""
    clock = Hurried()
    moods = iter([Cause.OVERLOADED, Cause.TIMED_OUT, Cause.OVERLOADED, Cause.TIMED_OUT])
    async with ScriptedEngine(lambda _: Failed(next(moods), "Why.")) as engine:
        (outcome,) = await answers(feed_of(engine, clock, attempts=2), "hello")
    assert outcome == Failed(Cause.TIMED_OUT, "Why.")
    assert clock.waits == [1.0, 1.0, 2.0]


async def test_an_engine_is_left_alone_as_long_as_it_asked_for():
    clock = Hurried()
    outcomes = iter([Failed(Cause.OVERLOADED, "Busy.", retry_after_seconds=90.0)])
    async with ScriptedEngine(lambda request: next(outcomes, None) or echo(request)) as engine:
        (outcome,) = await answers(feed_of(engine, clock), "hello")
    assert isinstance(outcome, Answered)
    assert clock.waits == [90.0]


async def test_only_what_may_change_is_tried_again():
    """The chunk goes out once; of its Requests only the one that stumbled goes out a second time."""
    async with ScriptedEngine(failing_first(1)) as engine:
        feed = feed_of(engine, Hurried())
        await answers(feed, "stumbles")
        assert engine.calls == 2
    stumbling = failing("stumble", Cause.TIMED_OUT)
    async with ScriptedEngine(stumbling) as engine:
        outcomes = await answers(feed_of(engine, Hurried(), attempts=2), "a", "stumble", "b", "c")
        assert engine.calls == 4 + 1
    assert culprits(["a", "stumble", "b", "c"], outcomes) == ["stumble"]


async def test_an_outcome_is_taken_while_others_of_its_chunk_are_tried_again():
    """What is answered can be settled; it does not wait for another's pauses."""
    clock = FakeClock()  # it stands still: the pause of the one that failed never ends
    taken: list[int] = []
    async with ScriptedEngine(failing("stumble", Cause.OVERLOADED)) as engine:
        feed = feed_of(engine, clock)
        task = asyncio.create_task(
            feed.answer([ask("stumble"), ask("a"), ask("b")], lambda position, _: taken.append(position))
        )
        async with asyncio.timeout(5):
            while len(taken) < 2:
                await asyncio.sleep(0)
        assert taken == [1, 2]
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_one_who_is_cancelled_goes_on_with_nothing():
    """No Attempt is made for a Shard that was let go."""
    clock = FakeClock()
    async with ScriptedEngine(failing("stumble", Cause.OVERLOADED)) as engine:
        task = asyncio.create_task(feed_of(engine, clock).answer([ask("stumble")], lambda *_: None))
        while not engine.answered:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        clock.advance(seconds=100)
        for _ in range(10):
            await asyncio.sleep(0)
        assert engine.calls == 1


async def test_attempts_run_out():
    async with ScriptedEngine(failing("hello", Cause.TIMED_OUT)) as engine:
        (outcome,) = await answers(feed_of(engine, Hurried(), attempts=3), "hello")
        assert engine.calls == 3
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TIMED_OUT


@pytest.mark.parametrize("cause", [cause for cause in Cause if not cause.retriable])
async def test_a_permanent_failure_is_not_tried_again(cause):
    async with ScriptedEngine(failing("hello", cause)) as engine:
        (outcome,) = await answers(feed_of(engine, Hurried()), "hello")
        assert engine.calls == 1
    assert isinstance(outcome, Failed)
    assert outcome.cause is cause


@pytest.mark.parametrize("chunk", [1, 7, 41])
async def test_a_request_that_kills_the_engine_gets_an_error_and_all_others_their_answers(chunk):
    """One poisonous Request must cost nobody else an answer, however they were handed over."""
    async with ScriptedEngine(deadly="poison", delay_seconds=0.001, lanes=8) as engine:
        feed = feed_of(engine, Hurried(), attempts=3)
        texts = [f"hello {n}" for n in range(20)] + ["poison"] + [f"hello {n}" for n in range(20, 40)]
        chunks = [texts[start : start + chunk] for start in range(0, len(texts), chunk)]
        outcomes = await asyncio.gather(*(answers(feed, *chunk) for chunk in chunks))
        deaths = engine.deaths
    flat = list(chain(*outcomes))
    assert culprits(texts, flat) == ["poison"]
    assert deaths == 4, "one with company, then three alone"
    blamed = flat[texts.index("poison")]
    assert isinstance(blamed, Failed)
    assert blamed.cause is Cause.ENGINE_DIED
    assert blamed.detail.startswith(
        "The engine's process ended 3 times while it worked on this request alone"
    )
    assert blamed.detail.endswith("The last time: The script's process died.")


async def test_a_request_is_not_blamed_for_deaths_in_company():
    """Where there is one Attempt only, nobody knows whose doing it was."""
    async with ScriptedEngine(deadly="poison", delay_seconds=0.001) as engine:
        outcomes = await answers(feed_of(engine, Hurried(), attempts=1), "hello", "poison")
    assert {outcome.detail for outcome in outcomes if isinstance(outcome, Failed)} == {
        "The script's process died."
    }


async def test_only_deaths_are_counted_as_deaths():
    """A suspect may fail for another reason in between."""
    moods = iter([Cause.ENGINE_DIED, Cause.TIMED_OUT, Cause.ENGINE_DIED])
    async with ScriptedEngine(lambda _: Failed(next(moods), "Why.")) as engine:
        (outcome,) = await answers(feed_of(engine, Hurried(), attempts=2), "hello")
    assert isinstance(outcome, Failed)
    assert outcome.detail.startswith("The engine's process ended once while it worked on this request alone")


async def test_suspects_go_before_new_chunks_and_chunks_go_on_after_them():
    """A stream of chunks never keeps a suspect waiting, nor do suspects keep the stream."""
    async with ScriptedEngine(deadly="poison", delay_seconds=0.001, lanes=8) as engine:
        feed = feed_of(engine, Hurried(), attempts=2)
        order: list[str] = []

        async def stream(name: str) -> None:
            for number in range(30):
                outcomes = await answers(feed, *[f"{name} {number} {n}" for n in range(4)])
                assert all(isinstance(outcome, Answered) for outcome in outcomes)
                order.append(name)

        async def suspect() -> None:
            (outcome,) = await answers(feed, "poison")
            assert isinstance(outcome, Failed)
            order.append("poison")

        async with asyncio.timeout(20):
            await asyncio.gather(stream("a"), suspect(), stream("b"))
        assert engine.deaths == 3
    assert order.index("poison") < 20


async def test_an_engine_that_ends_for_good_is_told():
    """A suspect that waits for the Engine to come back learns that it does not."""
    async with ScriptedEngine(delay_seconds=60) as engine:
        feed = feed_of(engine, Hurried())
        task = asyncio.create_task(feed.answer([ask("a"), ask("b")], lambda *_: None))
        while len(engine.in_flight) < 2:
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        with pytest.raises(EngineBroken):
            await task


async def test_an_attempt_that_takes_too_long_is_given_up():
    """Each of a chunk that has no Outcome by then; the others keep theirs."""
    async with ScriptedEngine(delay_seconds=60, lanes=1) as engine:
        outcomes = await answers(feed_of(engine, Hurried(), attempts=1, attempt_seconds=0.01), "a", "b")
        assert engine.in_flight == []
    assert [outcome.cause for outcome in outcomes if isinstance(outcome, Failed)] == [Cause.TIMED_OUT] * 2
    slow = FirstAtOnce()
    async with ScriptedEngine(delay_seconds=0.001, lanes=1, clock=slow) as engine:
        outcomes = await answers(feed_of(engine, Hurried(), attempts=1, attempt_seconds=0.2), "a", "b")
    assert [type(outcome) for outcome in outcomes] == [Answered, Failed]


async def test_an_engine_may_want_more_patience_than_the_settings_have():
    """As one whose Requests wait for a batch elsewhere."""
    config = DispatchConfig(attempts=1, attempt_seconds=0.01)
    async with ScriptedEngine(delay_seconds=0.1) as engine:
        feed = Feed(engine, lanes=8, patience_seconds=60, clock=Hurried(), chance=lambda: 0.0, config=config)
        (outcome,) = await answers(feed, "hello")
    assert isinstance(outcome, Answered)
