"""What every Engine promises, whatever answers behind it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Answered, Cause, Delta, Failed, Finish, Outcome
from halfrate.domain.request import (
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.engines.api import Ability, Engine, EngineState
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.engines.scripted import ScriptedEngine, always, echo
from halfrate.engines.upstream.anthropic import AnthropicDialect
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.gemini import GeminiDialect
from halfrate.engines.upstream.gemini_batch.engine import GeminiBatchEngine
from halfrate.engines.upstream.gemini_batch.settings import BatchSettings
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.engines import QUICK, alive, ask, real_model
from tests.support.llama_server import LlamaServer, llama_server
from tests.support.messages_server import KEY, messages_server
from tests.support.upstream_server import MODEL, upstream_server

TEXTS = [f"Say the word number{n} and nothing else." for n in range(24)]


@dataclass
class Subject:
    """An Engine, entered, and what a test must know to be cruel to it."""

    engine: Engine
    stop: Callable[[], Awaitable[None]]  # hold it still: what is asked now is held, not answered
    kill: Callable[[], Awaitable[None]]
    deaths: frozenset[Cause] = frozenset({Cause.ENGINE_DIED})  # what comes of what it held
    calls_when_told: bool = True  # whether it can hold its model to calling a function
    is_quick: bool = False  # whether an answer may be there before its first piece is looked at


# A server that was back before anybody looked for it has not died, as far as can be told.
SEEN_OF_A_DEATH = frozenset({Cause.ENGINE_DIED, Cause.UPSTREAM})


async def nothing() -> None:
    """What holds answers a moment in any case is not to be held still."""


async def scripted() -> AsyncIterator[Subject]:
    async with ScriptedEngine(
        delay_seconds=0.002, word_seconds=0.001, lanes=4, restart_seconds=0.01
    ) as engine:
        yield Subject(engine, stop=nothing, kill=engine.die)


async def embedded() -> AsyncIterator[Subject]:
    async with EmbeddedEngine(real_model(), settings=QUICK) as engine:

        async def kill() -> None:
            os.kill(engine.pid or 0, signal.SIGKILL)

        async def stop() -> None:
            os.kill(engine.pid or 0, signal.SIGSTOP)

        yield Subject(engine, stop=stop, kill=kill)


async def gemini(tmp_path: Path) -> AsyncIterator[Subject]:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(delay_seconds=0.002, word_seconds=0.001, lanes=4)

    async with upstream_server(tmp_path / "there", playing) as server:
        # As many as any test has held when it kills the server.
        settings = UpstreamSettings(
            urls=(server.url,),
            model=MODEL,
            concurrency_min=len(TEXTS),
            concurrency_max=len(TEXTS),
            look_seconds=0.01,
        )
        async with UpstreamEngine(settings, GeminiDialect) as engine:

            async def stop() -> None:
                await server.hold(len(TEXTS))

            yield Subject(engine, stop, server.crash, deaths=SEEN_OF_A_DEATH)


async def anthropic(_: Path) -> AsyncIterator[Subject]:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(delay_seconds=0.002, word_seconds=0.001, lanes=4)

    async with messages_server(playing) as server:
        settings = UpstreamSettings(
            urls=(server.url,),
            model=MODEL,
            key=KEY,
            concurrency_min=len(TEXTS),
            concurrency_max=len(TEXTS),
            look_seconds=0.01,
        )
        server.capabilities = {}
        async with UpstreamEngine(settings, AnthropicDialect) as engine:

            async def stop() -> None:
                await server.hold(len(TEXTS))

            yield Subject(engine, stop, server.crash, deaths=SEEN_OF_A_DEATH)


async def gemini_batch(tmp_path: Path) -> AsyncIterator[Subject]:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(delay_seconds=0.002, word_seconds=0.001, lanes=4)

    async with upstream_server(tmp_path / "there", playing) as server:
        settings = UpstreamSettings(
            urls=(server.url,), model=MODEL, concurrency_max=len(TEXTS), look_seconds=0.01
        )
        batches = BatchSettings(tmp_path / "journal", lanes=len(TEXTS), wait_seconds=0.01, poll_seconds=0.05)
        async with GeminiBatchEngine(settings, batches) as engine:

            async def kill() -> None:
                pytest.skip("a server that dies is waited for: its batches are there when it comes back")

            yield Subject(engine, stop=nothing, kill=kill)


def obeying(request: Request) -> Outcome:
    """Answer with the first of what a schema leaves to choose from, as OpenAI's dialect has choices."""
    schema = json.loads(request.sampling.json_schema or "{}")
    return always(json.dumps(schema["enum"][0]))(request) if "enum" in schema else echo(request)


async def openai(tmp_path: Path) -> AsyncIterator[Subject]:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(obeying, delay_seconds=0.002, word_seconds=0.001, lanes=4)

    async with upstream_server(tmp_path / "there", playing) as server:
        settings = UpstreamSettings(
            urls=(f"{server.origin}/openai/v1",),
            model=MODEL,
            context_tokens=4_096,
            concurrency_min=len(TEXTS),
            concurrency_max=len(TEXTS),
            look_seconds=0.01,
        )
        async with UpstreamEngine(settings, OpenAIDialect) as engine:

            async def stop() -> None:
                await server.hold(len(TEXTS))

            yield Subject(engine, stop, server.crash, deaths=SEEN_OF_A_DEATH)


async def llama(server: LlamaServer) -> AsyncIterator[Subject]:
    settings = UpstreamSettings(
        urls=(server.url,),
        concurrency_min=len(TEXTS),
        concurrency_max=len(TEXTS),
        look_seconds=0.01,
        body={"temperature": 0.0},
    )
    async with UpstreamEngine(settings, OpenAIDialect) as engine:

        async def stop() -> None:
            server.hold()

        async def kill() -> None:
            server.down()
            server.up(wait=False)

        # Nothing tells when it has got them: some cannot be sent.
        deaths = SEEN_OF_A_DEATH | {Cause.OVERLOADED}
        yield Subject(engine, stop, kill, deaths=deaths, calls_when_told=False, is_quick=True)


@pytest.fixture(scope="module")
def one_llama_server() -> Iterator[LlamaServer]:
    """One for all tests: it takes seconds to start."""
    with llama_server(real_model()) as server:
        yield server


@pytest.fixture(params=[scripted, embedded, openai, llama, gemini, gemini_batch, anthropic])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    needs = [tmp_path] if request.param in {openai, gemini, gemini_batch, anthropic} else []
    if request.param is llama:
        needs = [request.getfixturevalue("one_llama_server")]
    async for subject in request.param(*needs):
        await subject.engine.ready()
        yield subject


@pytest.fixture
def engine(subject: Subject) -> Engine:
    return subject.engine


async def all_of(engine: Engine, requests: list[Request]) -> list[object]:
    async with asyncio.timeout(60):
        return list(await asyncio.gather(*(engine.answer(request) for request in requests)))


async def test_it_answers_and_says_what_answered(engine: Engine) -> None:
    """A loaded Engine knows its facts, and its first answer is an answer."""
    facts = await engine.ready()
    assert engine.state is EngineState.READY
    assert engine.trouble is None
    assert facts.model_version
    assert facts.context_tokens > 0
    assert facts.lanes > 0
    outcome = await engine.answer(ask("Hello there.", max_output_tokens=8))
    assert isinstance(outcome, Answered)


async def test_usage_agrees_with_the_count(engine: Engine) -> None:
    """A price quoted from `count_tokens` is the price charged."""
    request = ask("How many of these are there?", system="Be brief.", max_output_tokens=6)
    outcome = await engine.answer(request)
    assert isinstance(outcome, Answered)
    assert await counts(engine, request, outcome)
    assert 0 <= outcome.usage.cached_tokens <= outcome.usage.input_tokens
    assert outcome.usage.output_tokens <= 6


async def counts(engine: Engine, request: Request, answered: Answered) -> bool:
    """Whether what was counted is what was charged, of an Engine that does not say that it estimates."""
    counted = await engine.count_tokens(request)
    return counted > 0 and (
        counted == answered.usage.input_tokens or not (await engine.ready()).counts_exactly
    )


async def test_many_at_once_each_get_their_own_answer(engine: Engine) -> None:
    """Whoever shares a batch with others is answered as if alone."""
    requests = [ask(text, max_output_tokens=12) for text in TEXTS]
    together = await all_of(engine, requests)
    alone = [await engine.answer(request) for request in requests]
    assert [o.text for o in together] == [o.text for o in alone]  # type: ignore[attr-defined]
    assert len({o.text for o in alone if isinstance(o, Answered)}) > 1


async def test_greedy_twice_gives_the_same(engine: Engine) -> None:
    """Twins may be coalesced only because of this."""
    request = ask("Tell me a story.", temperature=0.0, max_output_tokens=24)
    first, second = await engine.answer(request), await engine.answer(request)
    assert isinstance(first, Answered)
    assert isinstance(second, Answered)
    assert (first.text, first.finish) == (second.text, second.finish)


async def test_a_bad_request_fails_and_harms_nobody(engine: Engine) -> None:
    """What cannot be answered is a value, and those beside it do not notice."""
    bad = ask("word " * 2 * (await engine.ready()).context_tokens)
    good = [ask(text, max_output_tokens=8) for text in TEXTS[:4]]
    outcomes = await all_of(engine, [good[0], bad, good[1], bad, good[2], good[3]])
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
    assert [failure.cause for failure in failed] == [Cause.TOO_LONG] * 2
    assert failed[0].detail
    assert len([outcome for outcome in outcomes if isinstance(outcome, Answered)]) == 4


async def test_a_bound_beyond_the_context_is_a_bound_all_the_same(engine: Engine) -> None:
    """Files are written for large models; a smaller one answers them as far as it reaches."""
    outcome = await engine.answer(ask(TEXTS[0], temperature=0.0, max_output_tokens=10**6))
    assert isinstance(outcome, Answered)
    assert outcome.usage.total_tokens <= (await engine.ready()).context_tokens


async def test_cancelling_frees_the_engine(engine: Engine) -> None:
    """Whoever stops waiting leaves nothing behind that keeps others waiting."""
    facts = await engine.ready()
    crowd = [
        asyncio.create_task(engine.answer(ask(f"Count to {n}.", max_output_tokens=100)))
        for n in range(3 * facts.lanes)
    ]
    await asyncio.sleep(0.01)
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    async with asyncio.timeout(20):
        assert isinstance(await engine.answer(ask("Still there?", max_output_tokens=4)), Answered)


async def test_a_death_is_told_to_those_it_held_and_to_nobody_else(subject: Subject) -> None:
    """Every Request in flight comes back as ENGINE_DIED, none hangs, and the Engine comes back too."""
    await subject.stop()
    held = [asyncio.create_task(subject.engine.answer(ask(text, max_output_tokens=50))) for text in TEXTS]
    await asyncio.sleep(0)
    await subject.kill()
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*held)
        assert {outcome.cause for outcome in outcomes if isinstance(outcome, Failed)} <= subject.deaths
        assert all(isinstance(outcome, Failed) for outcome in outcomes)
        await subject.engine.ready()
        assert subject.engine.state is EngineState.READY
        assert isinstance(await subject.engine.answer(ask("Back again?", max_output_tokens=4)), Answered)


async def test_interactive_goes_ahead_of_batch(engine: Engine) -> None:
    """A person waits for one answer, not for the Job that happens to run."""
    lanes = (await engine.ready()).lanes
    order: list[str] = []

    async def one(name: str, *, interactive: bool) -> None:
        request = ask(f"{name}: say something long.", max_output_tokens=16)
        await engine.answer(request, interactive=interactive)
        order.append(name)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for n in range(6 * lanes):
            group.create_task(one(f"batch {n}", interactive=False))
        await asyncio.sleep(0)
        group.create_task(one("person", interactive=True))
    assert order.index("person") < 3 * lanes


# --- many at once


async def many(engine: Engine, requests: list[Request]) -> list[Outcome]:
    """What `answer_many` says, by position. Fails if a position has not exactly one Outcome."""
    took: dict[int, Outcome] = {}

    def take(position: int, outcome: Outcome) -> None:
        assert position not in took, "a second Outcome"
        took[position] = outcome

    async with asyncio.timeout(60):
        await engine.answer_many(requests, take)
    assert sorted(took) == list(range(len(requests)))
    return [took[position] for position in range(len(requests))]


async def test_each_of_many_gets_its_own_outcome_once(engine: Engine) -> None:
    """More than there are lanes, some equal, and each as if it had been asked alone."""
    requests = [ask(text, max_output_tokens=12) for text in TEXTS] + [ask(TEXTS[0], max_output_tokens=12)]
    together = await many(engine, requests)
    alone = [await engine.answer(request) for request in requests]
    assert [o.text for o in together] == [o.text for o in alone]  # type: ignore[union-attr]


async def test_of_none_nothing_is_waited_for(engine: Engine) -> None:
    assert await many(engine, []) == []


async def test_outcomes_come_one_by_one(engine: Engine) -> None:
    """The first answer is not held back until the last is there: a lane is free again."""
    left: list[int] = []
    long, short = ask(TEXTS[0], max_output_tokens=200), ask(TEXTS[1], max_output_tokens=1)
    requests = [long, *[short] * 24]
    waiting = asyncio.create_task(
        engine.answer_many(requests, lambda *_: left.append(len(asyncio.all_tasks())))
    )
    async with asyncio.timeout(60):
        while not left:
            await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
    assert len(left) == 25


async def test_no_task_is_made_for_a_request(engine: Engine) -> None:
    """A chunk costs what one call costs, however many Requests are in it."""
    before = len(asyncio.all_tasks())
    tasks: list[int] = []
    requests = [ask(text, max_output_tokens=2) for text in TEXTS]
    await engine.answer_many(requests, lambda *_: tasks.append(len(asyncio.all_tasks())))
    assert max(tasks) <= before + 1


async def test_bad_ones_among_many_fail_and_harm_nobody(engine: Engine) -> None:
    """What cannot be answered is a value at its place; the others do not notice."""
    bad = ask("word " * 2 * (await engine.ready()).context_tokens)
    good = ask(TEXTS[0], max_output_tokens=8)
    outcomes = await many(engine, [bad, good, bad, good, good, bad])
    assert [type(outcome) for outcome in outcomes] == [Failed, Answered, Failed, Answered, Answered, Failed]
    assert {outcome.cause for outcome in outcomes if isinstance(outcome, Failed)} == {Cause.TOO_LONG}


async def test_cancelling_many_frees_the_engine_and_takes_nothing_more(engine: Engine) -> None:
    """Whoever lets go of a chunk leaves nothing behind, and hears no more of it."""
    crowd = [ask(f"Count to {n}.", max_output_tokens=100) for n in range(3 * (await engine.ready()).lanes)]
    ended = False
    late: list[int] = []
    first = asyncio.Event()

    def take(position: int, outcome: Outcome) -> None:
        first.set()
        if ended:
            late.append(position)

    task = asyncio.create_task(engine.answer_many(crowd, take))
    async with asyncio.timeout(60):
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended = True
        assert isinstance(await engine.answer(ask("Still there?", max_output_tokens=4)), Answered)
    assert late == []


async def test_a_death_is_told_to_each_of_many(subject: Subject) -> None:
    """Each Request in flight comes back as ENGINE_DIED, and the next chunk is answered."""
    await subject.stop()
    requests = [ask(text, max_output_tokens=50) for text in TEXTS]
    held = asyncio.create_task(many(subject.engine, requests))
    await asyncio.sleep(0)
    await subject.kill()
    async with asyncio.timeout(60):
        causes = [outcome.cause for outcome in await held if isinstance(outcome, Failed)]
        assert len(causes) == len(requests)
        assert set(causes) <= subject.deaths
        await subject.engine.ready()
        again = await many(subject.engine, requests[:3])
        assert [type(outcome) for outcome in again] == [Answered] * 3


async def test_interactive_goes_ahead_of_many(engine: Engine) -> None:
    """A person does not wait for the chunk that was handed over just before."""
    lanes = (await engine.ready()).lanes
    taken: list[int] = []
    requests = [ask(f"batch {n}: say something long.", max_output_tokens=16) for n in range(6 * lanes)]
    crowd = asyncio.create_task(engine.answer_many(requests, lambda position, _: taken.append(position)))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await engine.answer(ask("person: say something long.", max_output_tokens=16), interactive=True)
        assert len(taken) < 3 * lanes
        await crowd


# --- as it is written


async def streamed(engine: Engine, request: Request) -> tuple[list[Delta], Answered]:
    """The pieces of an answer, and the answer. Fails if what they say is not its beginning."""
    pieces: list[Delta] = []
    outcome = await engine.answer(request, interactive=True, wrote=pieces.append)
    assert isinstance(outcome, Answered), outcome
    for index, candidate in enumerate(outcome.candidates):
        mine = [piece for piece in pieces if piece.index == index]
        assert candidate.text.startswith("".join(piece.text for piece in mine))
        assert candidate.thought.startswith("".join(piece.thought for piece in mine))
    assert all(piece.text or piece.thought for piece in pieces)
    return pieces, outcome


async def test_the_pieces_of_an_answer_are_its_beginning(engine: Engine) -> None:
    """Many at once, some of which end at a stop string, and one that follows a schema."""
    stops = [(), (" ",), ("number1", "e"), ("and nothing",)]
    requests = [ask(text, max_output_tokens=24, stop=stops[n % 4]) for n, text in enumerate(TEXTS)]
    requests.append(ask("A review.", max_output_tokens=40, json_schema='{"type": "boolean"}'))
    async with asyncio.timeout(60):
        together = await asyncio.gather(*(streamed(engine, request) for request in requests))
    plain = await many(engine, requests)
    assert [answered for _, answered in together] == [
        replace_cached(o, a) for o, (_, a) in zip(plain, together, strict=True)
    ]
    assert max(len(pieces) for pieces, _ in together) > 5


def replace_cached(outcome: Outcome, like: Answered) -> Outcome:
    """The Outcome, with as much from the cache as in the other: that depends on what was asked before."""
    assert isinstance(outcome, Answered)
    cached = like.usage.cached_tokens
    return dataclasses.replace(outcome, usage=dataclasses.replace(outcome.usage, cached_tokens=cached))


async def test_the_first_piece_comes_before_the_answer(subject: Subject) -> None:
    """Whoever watches sees it begin, while others wait for all of theirs."""
    engine = subject.engine
    if subject.is_quick:
        pytest.skip("on a busy machine it is done before anybody looks")
    first = asyncio.Event()
    request = ask("Say a long text, word after word, until nobody listens.", max_output_tokens=60)
    answer = asyncio.create_task(engine.answer(request, wrote=lambda _: first.set()))
    async with asyncio.timeout(60):
        await first.wait()
        assert not answer.done()
        assert isinstance(await answer, Answered)


async def test_a_stream_that_is_left_says_no_more_and_frees_the_engine(engine: Engine) -> None:
    """Cancelled in the middle, as when a client hangs up."""
    heard: list[int] = []
    first = asyncio.Event()

    def wrote(n: int) -> Callable[[Delta], None]:
        def hear(_: Delta) -> None:
            heard.append(n)
            first.set()

        return hear

    crowd = 3 * (await engine.ready()).lanes
    tasks = [
        asyncio.create_task(engine.answer(ask(f"Count to {n}.", max_output_tokens=100), wrote=wrote(n)))
        for n in range(crowd)
    ]
    async with asyncio.timeout(60):
        await first.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        before = len(heard)
        assert isinstance(await engine.answer(ask("Still there?", max_output_tokens=4)), Answered)
    assert len(heard) == before


# --- what not every Engine can do


async def able(engine: Engine, ability: Ability) -> None:
    """Skip the test for an Engine that cannot do it, and says so."""
    if ability not in (await engine.ready()).abilities:
        pytest.skip(f"it has not the ability {ability}")


async def test_an_answer_is_one_of_the_choices(engine: Engine) -> None:
    """Whatever is in them, and where one is the beginning of another."""
    choices = ("yes", "yes please", "no", 'say "a\\b"\n{c}|[d]*', "日本語 🎉é")
    requests = [ask(f"Letter {n}.", choices=choices, temperature=1.0) for n in range(12)]
    outcomes = await many(engine, requests)
    assert {outcome.text for outcome in outcomes if isinstance(outcome, Answered)} <= set(choices)
    for choice in choices:
        answered = await engine.answer(ask("Only this.", choices=(choice,)))
        assert isinstance(answered, Answered)
        assert (answered.text, answered.finish) == (choice, Finish.STOP)


async def test_as_many_candidates_as_are_asked_for(engine: Engine) -> None:
    """The prompt is counted once, the answers together; each has its own stop strings, end and pieces."""
    await able(engine, Ability.CANDIDATES)
    request = ask("Say it again. Please.", candidates=3, max_output_tokens=12, stop=("Please",))
    one = await engine.answer(
        dataclasses.replace(request, sampling=Sampling(max_output_tokens=12, stop=("Please",)))
    )
    assert isinstance(one, Answered)
    pieces, three = await streamed(engine, request)
    assert [candidate.text for candidate in three.candidates] == [one.text] * 3
    assert three.usage.input_tokens == one.usage.input_tokens
    assert three.usage.output_tokens == 3 * one.usage.output_tokens
    assert {piece.index for piece in pieces} == {0, 1, 2}
    await many(engine, [request] * 5)


async def test_cancelling_one_of_many_candidates_frees_the_engine(engine: Engine) -> None:
    await able(engine, Ability.CANDIDATES)
    lanes = (await engine.ready()).lanes
    asks = [ask(f"Count to {n}.", candidates=8, max_output_tokens=100) for n in range(lanes)]
    tasks = [asyncio.create_task(engine.answer(request)) for request in asks]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(20):
        assert isinstance(await engine.answer(ask("Still there?", max_output_tokens=4)), Answered)


async def test_one_that_must_call_calls_what_it_may(subject: Subject) -> None:
    """Of the functions it is allowed, with arguments that are an object, unless it was cut off."""
    engine = subject.engine
    declarations = (FunctionDeclaration("never"), FunctionDeclaration("now", "Tells the time."))
    functions = Functions(declarations, Choice.ANY, ("now",))
    request = Request((Message(Role.USER, "What time is it?"),), Sampling(max_output_tokens=100), functions)
    if not subject.calls_when_told:
        outcome = await engine.answer(request)
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.UNSUPPORTED
        return
    pieces, answered = await streamed(engine, request)
    (candidate,) = answered.candidates
    assert {call.name for call in candidate.calls} == {"now"}
    assert all(json.loads(call.arguments) == {} for call in candidate.calls)
    assert await counts(engine, request, answered)
    assert pieces == []


async def test_a_conversation_with_calls_goes_on(engine: Engine) -> None:
    """What was called and what came back are read like anything said, also without a declaration."""
    asked = Message(Role.USER, "What time is it?")
    called = Message(Role.MODEL, "", calls=(FunctionCall("now", '{"zone":"CET"}'),))
    returned = Message(Role.TOOL, "", returns=(FunctionReturn("now", '{"hour":9}'),))
    request = Request((asked, called, returned), Sampling(max_output_tokens=4))
    assert await engine.count_tokens(request) > await engine.count_tokens(Request((asked,)))
    assert isinstance(await engine.answer(request), Answered)


async def test_thinking_is_no_reason_to_refuse(engine: Engine) -> None:
    """A model that does not think answers as ever; one that does counts what it thought."""
    for budget in (0, 8, -1):
        request = ask("How are you?", thinking_budget=budget, include_thoughts=True, max_output_tokens=30)
        _, answered = await streamed(engine, request)
        (candidate,) = answered.candidates
        assert candidate.thought_tokens <= answered.usage.output_tokens
        if budget == 0 or not (await engine.ready()).thinks:
            assert (candidate.thought, candidate.thought_tokens) == ("", 0)


# --- the end


async def test_leaving_the_context_answers_everyone_who_waits() -> None:
    """No task hangs on an Engine that has been stopped, and later askers are told."""
    engine = ScriptedEngine(delay_seconds=60.0)
    async with engine:
        await engine.ready()
        waiting = asyncio.create_task(engine.answer(ask("Anyone?")))
        chunk = asyncio.create_task(many(engine, [ask("You?"), ask("Or you?")]))
        await asyncio.sleep(0)
    assert isinstance(await waiting, Failed)
    assert [type(outcome) for outcome in await chunk] == [Failed, Failed]
    assert isinstance(await engine.answer(ask("Anyone now?")), Failed)


async def test_leaving_the_context_leaves_no_process() -> None:
    """Nothing runs on after the server, not even in the middle of an answer."""
    async with EmbeddedEngine(real_model(), settings=QUICK) as engine:
        await engine.ready()
        pid = engine.pid
        waiting = asyncio.create_task(engine.answer(ask("Go on and on.", max_output_tokens=200)))
        chunk = asyncio.create_task(many(engine, [ask("And on.", max_output_tokens=200)] * 2))
        await asyncio.sleep(0)
    assert pid is not None
    assert not alive(pid)
    assert isinstance(await waiting, Failed)
    assert [type(outcome) for outcome in await chunk] == [Failed, Failed]
    assert isinstance(await engine.answer(ask("Anyone now?")), Failed)


@pytest.mark.parametrize(
    "engine",
    [
        ScriptedEngine(broken="There is no such script."),
        EmbeddedEngine("/nowhere/model.gguf", settings=QUICK),
    ],
    ids=["scripted", "embedded"],
)
async def test_an_engine_that_cannot_load_says_why(engine: Engine) -> None:
    """BROKEN is a state with a sentence, not a hang."""
    async with engine, asyncio.timeout(30):
        with pytest.raises(EngineBroken, match="There is no"):
            await engine.ready()
        assert engine.state is EngineState.BROKEN
        assert engine.trouble is not None
        assert isinstance(await engine.answer(ask("Hello?")), Failed)
        outcomes = await many(engine, [ask("Hello?"), ask("Nobody?")])
        assert [type(outcome) for outcome in outcomes] == [Failed, Failed]
