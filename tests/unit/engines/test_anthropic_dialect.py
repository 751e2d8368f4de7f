"""An Engine that asks Anthropic's Messages API, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from halfrate.domain.embedding import Embedding
from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Answered, Cause, Failed
from halfrate.engines.api import Ability
from halfrate.engines.upstream.anthropic import AnthropicDialect
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.settings import UpstreamSettings
from tests.engines import ask
from tests.support.messages_server import KEY, MessagesServer, messages_server
from tests.support.upstream_server import MODEL


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with messages_server() as server:
        yield server


def engine_for(server: MessagesServer, **settings: object) -> UpstreamEngine:
    given = {"model": MODEL, "key": KEY, "key_env": "THE_KEY", "look_seconds": 0.01, **settings}
    return UpstreamEngine(UpstreamSettings(urls=(server.url,), **given), AnthropicDialect)  # type: ignore[arg-type]


async def test_the_key_and_the_version_go_along(server: MessagesServer) -> None:
    async with engine_for(server) as engine:
        assert isinstance(await engine.answer(ask("Hello")), Answered)
    assert {headers["x-api-key"] for headers in server.headers} == {KEY}
    assert {headers["anthropic-version"] for headers in server.headers} == {"2023-06-01"}


async def test_a_wrong_key_is_told_without_telling_it(server: MessagesServer) -> None:
    async with engine_for(server, key="sk-wrong") as engine:
        with pytest.raises(EngineBroken, match=r"invalid x-api-key Check the key in .* THE_KEY") as error:
            await engine.ready()
    assert "sk-wrong" not in str(error.value)


async def test_a_model_that_is_not_there_is_told(server: MessagesServer) -> None:
    async with engine_for(server, model="elsewhere") as engine:
        with pytest.raises(EngineBroken, match="model: elsewhere"):
            await engine.ready()


async def test_the_only_model_there_is_needs_no_name(server: MessagesServer) -> None:
    async with engine_for(server, model=None) as engine:
        assert (await engine.ready()).model_version == MODEL


async def test_what_the_model_can_is_what_the_server_says(server: MessagesServer) -> None:
    no, yes = {"supported": False}, {"supported": True}
    thinking = {"supported": True, "types": {"adaptive": yes, "enabled": no, "disabled": yes}}
    server.capabilities = {"image_input": no, "structured_outputs": no, "thinking": thinking}
    async with engine_for(server) as engine:
        facts = await engine.ready()
        assert facts.abilities == {Ability.FUNCTIONS}
        assert (facts.context_tokens, facts.thinks) == (4_096, True)
        held = await engine.answer(ask("x", json_schema='{"type":"object","properties":{}}'))
        assert isinstance(held, Failed)
        assert held.cause is Cause.UNSUPPORTED
        await engine.answer(ask("x", max_output_tokens=10**6, thinking_budget=2_000))
    assert server.bodies[-1]["max_tokens"] == 4_096
    assert server.bodies[-1]["thinking"] == {"type": "adaptive", "display": "omitted"}


async def test_what_the_api_has_no_word_for_is_refused(server: MessagesServer) -> None:
    async with engine_for(server) as engine:
        requests = [ask("x", seed=1), ask("x", candidates=2), ask("x", logprobs=1), Embedding("x")]
        outcomes = [await engine.answer(request) for request in requests]
    assert [isinstance(o, Failed) and o.cause for o in outcomes] == [Cause.UNSUPPORTED] * 4
    assert server.bodies == []


async def test_not_now_says_for_how_long(server: MessagesServer) -> None:
    async with engine_for(server) as engine:
        await engine.ready()
        server.next_errors = [
            (429, "rate_limit_error", {"retry-after": "7"}),
            (529, "overloaded_error", {}),
            (500, "api_error", {}),
            (400, "invalid_request_error", {}),
        ]
        outcomes = [await engine.answer(ask("Hello")) for _ in range(5)]
    failed = [(o.cause, o.retry_after_seconds) for o in outcomes if isinstance(o, Failed)]
    assert failed == [
        (Cause.OVERLOADED, 7.0),
        (Cause.OVERLOADED, None),
        (Cause.UPSTREAM, None),
        (Cause.INVALID, None),
    ]
    assert isinstance(outcomes[-1], Answered)


async def test_an_error_in_the_middle_of_a_stream_is_the_outcome(server: MessagesServer) -> None:
    async with engine_for(server) as engine:
        outcome = await engine.answer(ask("word " * 5_000), wrote=lambda _: None)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.TOO_LONG


async def test_what_many_share_is_kept_when_the_settings_say_so(server: MessagesServer) -> None:
    async with engine_for(server, cache_ttl="5m") as engine:
        await engine.answer(ask("Hello", system="Be brief."))
    assert server.bodies[0]["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
