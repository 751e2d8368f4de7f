"""A real llama-server, and what is known of it that others do not tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Answered, Cause, Failed
from halfrate.domain.request import Request
from halfrate.engines.api import Ability
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.engines import ask, real_model
from tests.support.llama_server import LlamaServer, llama_server

KEY = "the-key"


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    with llama_server(real_model(), slots=2, context_tokens=256, key=KEY) as server:
        yield server


@pytest.fixture
async def engine(server: LlamaServer) -> AsyncIterator[UpstreamEngine]:
    settings = UpstreamSettings(urls=(server.url,), key=KEY, concurrency_max=4)
    async with asyncio.timeout(60), UpstreamEngine(settings, OpenAIDialect) as engine:
        yield engine


async def answered(engine: UpstreamEngine, request: Request) -> Answered:
    outcome = await engine.answer(request)
    assert isinstance(outcome, Answered), outcome
    return outcome


async def test_what_it_is_need_not_be_set(engine: UpstreamEngine) -> None:
    facts = await engine.ready()
    assert facts.model_version.endswith("pocket-1.gguf")
    assert facts.context_tokens == 256
    assert facts.default_temperature == pytest.approx(0.8)
    assert facts.counts_exactly
    assert not facts.abilities & {Ability.IMAGES, Ability.CANDIDATES}


async def test_a_wrong_key_is_noticed_though_its_models_are_told_to_anyone(server: LlamaServer) -> None:
    settings = UpstreamSettings(urls=(server.url,), key="another", key_env="LLAMA_KEY")
    async with asyncio.timeout(60), UpstreamEngine(settings, OpenAIDialect) as engine:
        with pytest.raises(EngineBroken, match=r"401.*LLAMA_KEY"):
            await engine.ready()


async def test_what_was_in_its_cache_is_told(engine: UpstreamEngine) -> None:
    request = ask("The same long beginning of a prompt, which is asked twice.", temperature=0.0)
    await answered(engine, request)
    again = await answered(engine, request)
    assert 0 < again.usage.cached_tokens < again.usage.input_tokens


async def test_a_schema_holds(engine: UpstreamEngine) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    told = await answered(engine, ask("Choose.", temperature=1.0, json_schema=json.dumps(schema)))
    assert json.loads(told.text)["n"] in {1, 2}


async def test_tokens_have_their_ids(engine: UpstreamEngine) -> None:
    told = await answered(engine, ask("Hello.", temperature=0.0, logprobs=2, max_output_tokens=3))
    steps = told.candidates[0].logprobs
    assert len(steps) == told.usage.output_tokens
    assert all(len(step.top) == 2 and step.token_id > 0 and step.logprob <= 0 for step in steps)


async def test_what_does_not_fit_is_too_long(engine: UpstreamEngine) -> None:
    outcome = await engine.answer(ask("word " * 400))
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TOO_LONG
    assert "context" in outcome.detail
