"""What every Engine that makes embeddings promises, beside what `test_engine` says of those that write."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from halfrate.domain.embedding import Embedded, Embedding, Purpose
from halfrate.domain.errors import EngineBroken
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.engines.api import Engine, EngineState
from halfrate.engines.embedded import EmbeddedEngine
from halfrate.engines.scripted import ScriptedEngine
from halfrate.engines.upstream.engine import MakeDialect, UpstreamEngine
from halfrate.engines.upstream.gemini import GeminiDialect
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.bert import WIDTH, small_folder
from tests.engines import QUICK, alive, ask
from tests.support.upstream_server import MODEL, upstream_server

TEXTS = [f"the {'big ' * (n % 7)}cat sat {'on the mat ' * (n % 5)}" for n in range(24)]


@dataclass
class Subject:
    """An Engine, entered, and what a test must know to be cruel to it."""

    engine: Engine
    stop: Callable[[], Awaitable[None]]
    kill: Callable[[], Awaitable[None]]
    deaths: frozenset[Cause] = frozenset({Cause.ENGINE_DIED})  # what comes of what it held


async def nothing() -> None:
    """What holds answers a moment in any case is not to be held still."""


async def scripted(_: Path) -> AsyncIterator[Subject]:
    async with ScriptedEngine(delay_seconds=0.002, lanes=4, restart_seconds=0.01, dimensions=WIDTH) as engine:
        yield Subject(engine, stop=nothing, kill=engine.die)


async def embedded(folder: Path) -> AsyncIterator[Subject]:
    model = small_folder(folder / "model")
    async with EmbeddedEngine(model, kind=Kind.EMBEDDING, settings=QUICK) as engine:

        async def kill() -> None:
            os.kill(engine.pid or 0, signal.SIGKILL)

        async def stop() -> None:
            os.kill(engine.pid or 0, signal.SIGSTOP)

        yield Subject(engine, stop=stop, kill=kill)


@asynccontextmanager
async def upstream(folder: Path, path: str, dialect: MakeDialect) -> AsyncIterator[Subject]:
    def playing() -> ScriptedEngine:
        return ScriptedEngine(delay_seconds=0.002, lanes=4, dimensions=WIDTH)

    async with upstream_server(folder / "there", playing, kind=Kind.EMBEDDING) as server:
        settings = UpstreamSettings(
            urls=(f"{server.origin}{path}",),
            model=MODEL,
            kind=Kind.EMBEDDING,
            concurrency_min=len(TEXTS),
            concurrency_max=len(TEXTS),
            look_seconds=0.01,
        )
        async with UpstreamEngine(settings, dialect) as engine:

            async def stop() -> None:
                await server.hold(len(TEXTS))

            # A server that was back before anybody looked for it has not died, as far as can be told.
            deaths = frozenset({Cause.ENGINE_DIED, Cause.UPSTREAM})
            yield Subject(engine, stop, server.crash, deaths)


async def gemini(folder: Path) -> AsyncIterator[Subject]:
    async with upstream(folder, "/v1beta", GeminiDialect) as subject:
        yield subject


async def openai(folder: Path) -> AsyncIterator[Subject]:
    async with upstream(folder, "/openai/v1", OpenAIDialect) as subject:
        yield subject


@pytest.fixture(params=[scripted, embedded, gemini, openai])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async for subject in request.param(tmp_path):
        await subject.engine.ready()
        yield subject


@pytest.fixture
def engine(subject: Subject) -> Engine:
    return subject.engine


async def vector(engine: Engine, text: str, **options: object) -> Embedded:
    outcome = await engine.answer(Embedding(text, **options))  # type: ignore[arg-type]
    assert isinstance(outcome, Embedded), outcome
    return outcome


async def test_it_embeds_and_says_what_it_makes(engine: Engine) -> None:
    facts = await engine.ready()
    assert engine.state is EngineState.READY
    assert facts.dimensions == WIDTH
    made = await vector(engine, "the cat sat")
    assert len(made.values) == WIDTH
    assert math.hypot(*made.values) == pytest.approx(1, abs=1e-6)
    assert made.usage.output_tokens == 0


async def test_usage_agrees_with_the_count(engine: Engine) -> None:
    made = await vector(engine, "the cat sat on the mat")
    counted = await engine.count_tokens(Embedding("the cat sat on the mat"))
    assert counted > 0
    assert made.usage.input_tokens > 0
    if (await engine.ready()).counts_exactly:
        assert made.usage.input_tokens == counted


async def test_a_text_has_one_vector_alone_and_among_others(engine: Engine) -> None:
    """To the last bit, one by one, all at once, and handed over as a chunk."""
    embeddings = [Embedding(text) for text in TEXTS]
    alone = [await engine.answer(embedding) for embedding in embeddings]
    assert await asyncio.gather(*map(engine.answer, embeddings)) == alone
    taken: dict[int, Outcome] = {}
    await engine.answer_many(embeddings[::-1], taken.__setitem__)
    assert [taken[position] for position in reversed(range(len(TEXTS)))] == alone
    assert len(set(alone)) == len(set(TEXTS))


async def test_dimensions_are_given_up_to_what_there_are(engine: Engine) -> None:
    for dimensions in (1, 7, WIDTH):
        made = await vector(engine, "the cat", dimensions=dimensions)
        assert len(made.values) == dimensions
        assert math.hypot(*made.values) == pytest.approx(1, abs=1e-6)
    refused = await engine.answer(Embedding("the cat", dimensions=WIDTH + 1))
    assert isinstance(refused, Failed)
    assert refused.cause is Cause.INVALID
    assert f"Ask for 1 to {WIDTH}." in refused.detail


async def test_a_title_counts(engine: Engine) -> None:
    plain = await vector(engine, "the cat", purpose=Purpose.RETRIEVAL_DOCUMENT)
    titled = await vector(engine, "the cat", purpose=Purpose.RETRIEVAL_DOCUMENT, title="big tree")
    assert plain.packed != titled.packed


async def test_what_asks_for_a_text_is_refused(engine: Engine) -> None:
    outcome = await engine.answer(ask("Write."))
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.UNSUPPORTED
    assert "writes no text" in outcome.detail


async def test_half_a_surrogate_pair_is_a_failure(engine: Engine, subject: Subject) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script encodes nothing")
    for embedding in (Embedding("\ud800"), Embedding("cat", Purpose.RETRIEVAL_DOCUMENT, "\ud800")):
        outcome = await engine.answer(embedding)
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.INVALID


async def test_what_it_holds_when_it_dies_comes_back_and_it_starts_again(subject: Subject) -> None:
    engine = subject.engine
    before = await vector(engine, TEXTS[0])
    await subject.stop()
    asked = [asyncio.ensure_future(engine.answer(Embedding(text))) for text in TEXTS]
    await asyncio.sleep(0)
    await subject.kill()
    outcomes = await asyncio.gather(*asked)
    assert all(isinstance(outcome, Failed) and outcome.cause in subject.deaths for outcome in outcomes)
    async with asyncio.timeout(60):
        await engine.ready()
        assert await vector(engine, TEXTS[0]) == before


async def test_a_wait_can_be_given_up(engine: Engine) -> None:
    waiting = asyncio.ensure_future(engine.answer_many([Embedding(text) for text in TEXTS], lambda *_: None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await vector(engine, "the cat")).usage.input_tokens > 0


# The embedded one alone -------------------------------------------------------------------------------


async def test_a_text_without_a_word_is_refused(tmp_path: Path) -> None:
    async with EmbeddedEngine(
        small_folder(tmp_path / "model"), kind=Kind.EMBEDDING, settings=QUICK
    ) as engine:
        outcome = await engine.answer(Embedding("\u200b"))
        assert outcome == Failed(Cause.INVALID, "The text is empty.")


async def test_a_model_that_is_no_encoder_breaks_it_and_leaves_no_process(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "model", model_type="roberta")
    async with EmbeddedEngine(folder, kind=Kind.EMBEDDING, settings=QUICK) as engine:
        with pytest.raises(EngineBroken, match="its model_type is 'roberta'"):
            await engine.ready()
        assert engine.state is EngineState.BROKEN
        pid = engine.pid
    assert pid is None or not alive(pid)


async def test_a_process_that_hangs_over_a_text_is_killed(tmp_path: Path) -> None:
    settings = replace(QUICK, hang_seconds=0.5)
    async with EmbeddedEngine(
        small_folder(tmp_path / "model"), kind=Kind.EMBEDDING, settings=settings
    ) as engine:
        await engine.ready()
        os.kill(engine.pid or 0, signal.SIGSTOP)
        async with asyncio.timeout(60):
            outcome = await engine.answer(Embedding("the cat"))
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.ENGINE_DIED
        assert "made no progress" in outcome.detail
