"""An Engine over HTTP, and servers that do everything wrong."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from halfrate.domain.errors import ConfigError, EngineBroken
from halfrate.domain.outcome import Answered, Cause, Delta, Failed, Outcome
from halfrate.engines.api import EngineState
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import Patience, UpstreamSettings
from tests.engines import ask, eventually
from tests.support.certificates import certificate_for
from tests.support.hostile_server import (
    MODEL,
    STREAM_END,
    STREAM_HEAD,
    Act,
    Asked,
    HostileServer,
    chunked,
    completion,
    event,
    saying,
)

LONG = 30.0
PATIENCE = Patience(
    connect_seconds=5.0, first_token_seconds=LONG, between_tokens_seconds=LONG, total_seconds=LONG
)


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as server:
        yield server


Connect = Callable[..., AbstractAsyncContextManager[UpstreamEngine]]


@pytest.fixture
def connect(server: HostileServer) -> Connect:
    """Ask that server."""

    @asynccontextmanager
    async def connect(**settings: object) -> AsyncIterator[UpstreamEngine]:
        defaults = {"patience": PATIENCE, "concurrency_max": 4, "look_seconds": 0.01}
        made = UpstreamSettings(urls=(server.url,), **{**defaults, **settings})  # type: ignore[arg-type]
        left_open: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_debug(True)  # else the client says nothing of what it finds open
        loop.set_exception_handler(lambda _, context: left_open.append(context))
        async with asyncio.timeout(60), UpstreamEngine(made, OpenAIDialect) as engine:
            yield engine
        # What is only closed by being forgotten may be remembered for long.
        assert left_open == []

    return connect


async def failed(engine: UpstreamEngine, *, streamed: bool = False) -> Failed:
    """What comes of asking; the connection must be given up, and the Engine must answer again."""
    wrote: list[Delta] = []
    outcome = await engine.answer(ask("Hello?"), wrote=wrote.append if streamed else None)
    assert isinstance(outcome, Failed), outcome
    return outcome


async def hang(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(LONG * 10)


def streaming(*pieces: bytes, then: Act | None = None, kind: str = "text/event-stream") -> Act:
    """Stream these, and then end the stream, or act."""

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD.replace(b"text/event-stream", kind.encode()))
        for piece in pieces:
            writer.write(chunked(piece))
        await writer.drain()
        if then is not None:
            await then(asked, writer)
        else:
            writer.write(STREAM_END)

    return act


async def hang_up(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    writer.transport.abort()


# --- what goes well


async def test_it_asks_and_says_what_was_answered(server: HostileServer, connect: Connect) -> None:
    async with connect(key="s3cret", key_env="HOSTILE_KEY") as engine:
        outcome = await engine.answer(ask("Hello?", max_output_tokens=5))
    assert isinstance(outcome, Answered)
    assert (outcome.text, outcome.usage.input_tokens, outcome.usage.output_tokens) == ("Hello.", 3, 2)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == "Bearer s3cret"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["accept-encoding"] == "identity"
    assert msgspec.json.decode(asked.body) == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hello?"}],
        "max_tokens": 5,
    }


async def test_connections_are_used_again(server: HostileServer, connect: Connect) -> None:
    async with connect(concurrency_max=2) as engine:
        outcomes: list[Outcome] = []
        await engine.answer_many(
            [ask(f"{n}") for n in range(40)], lambda _, outcome: outcomes.append(outcome)
        )
    assert len(outcomes) == 40
    assert server.connections == 3  # one of them asked for the models


async def test_a_stream_is_told_as_it_comes(server: HostileServer, connect: Connect) -> None:
    go_on = asyncio.Event()

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunked(event("Hel")))
        await go_on.wait()
        writer.write(chunked(event("lo", "stop") + b"data: [DONE]\n\n") + STREAM_END)

    server.act = act
    pieces: list[Delta] = []

    def wrote(delta: Delta) -> None:
        pieces.append(delta)
        go_on.set()

    async with connect() as engine:
        outcome = await engine.answer(ask("Hello?"), wrote=wrote)
    assert isinstance(outcome, Answered)
    assert outcome.text == "Hello"
    assert pieces == [Delta("Hel"), Delta("lo")]
    assert msgspec.json.decode(server.asked[0].body)["stream"] is True


async def test_every_answer_is_streamed_where_the_settings_say_so(
    server: HostileServer, connect: Connect
) -> None:
    server.act = streaming(event("Hello.", "stop"), b"data: [DONE]\n\n")
    async with connect(stream=True) as engine:
        outcomes: list[Outcome] = []
        await engine.answer_many([ask("Hello?")], lambda _, outcome: outcomes.append(outcome))
    assert isinstance(outcomes[0], Answered)
    assert outcomes[0].text == "Hello."


async def test_a_stream_that_is_complete_and_does_not_end_is_hung_up(
    server: HostileServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halfrate.engines.upstream.transport.GRACE_SECONDS", 0.01)
    server.act = streaming(event("Hello.", "stop"), b"data: [DONE]\n\n", event("More."), then=hang)
    async with connect(stream=True) as engine:
        outcome = await engine.answer(ask("Hello?"))
        assert isinstance(outcome, Answered)
        assert outcome.text == "Hello."
        await eventually(lambda: not server.open)


def test_what_comes_after_the_end_of_a_stream_says_nothing() -> None:
    listener = OpenAIDialect(UpstreamSettings(urls=("http://nowhere/v1",))).listener(ask("Hello?"))
    assert listener.hear(event("Hello.", "stop") + b"data: [DO") == [Delta("Hello.")]
    assert not listener.done
    assert listener.hear(b"NE]\n\n" + event("More.")) == []
    assert listener.done
    assert listener.hear(event("Still more.")) == []
    outcome = listener.outcome()
    assert isinstance(outcome, Answered)
    assert outcome.text == "Hello."


async def test_a_server_that_is_down_is_waited_for_and_said_to_be(
    server: HostileServer, connect: Connect
) -> None:
    await server.down()
    async with connect() as engine:
        await eventually(lambda: engine.trouble is not None)
        assert engine.state is EngineState.LOADING
        assert f"{server.url} cannot be reached" in str(engine.trouble)
        assert engine.trouble is not None
        await eventually(lambda: engine.trouble is not None and engine.trouble.again_at is not None)
        waiting = asyncio.create_task(engine.answer(ask("Hello?")))
        await server.up()
        assert isinstance(await waiting, Answered)
        assert (engine.state, engine.trouble) == (EngineState.READY, None)


async def test_a_proxy_in_the_environment_is_not_asked(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with connect() as engine:
        assert isinstance(await engine.answer(ask("Hello?")), Answered)
    async with connect(proxy_from_env=True) as engine:
        await eventually(lambda: engine.trouble is not None)
        assert "127.0.0.1" in str(engine.trouble)


async def test_a_bound_that_the_context_does_not_hold_is_left_to_the_server(
    server: HostileServer, connect: Connect
) -> None:
    """vLLM refuses a bound that it cannot promise, rather than to stop where its context ends."""

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        refused = {
            "error": {"message": "'max_tokens' or 'max_completion_tokens' is too large: 4000.", "code": 400}
        }
        bounded = "max_tokens" in msgspec.json.decode(asked.body)
        await (saying(refused, status=400) if bounded else saying(completion()))(asked, writer)

    server.act = act
    async with connect() as engine:
        assert isinstance(await engine.answer(ask("Hello?", max_output_tokens=4_000)), Answered)
        assert len(server.asked) == 2


async def test_a_connection_that_had_ended_before_the_call_is_no_answer(
    server: HostileServer, connect: Connect
) -> None:
    """llama-server ends one after its second stream, and says so to nobody."""
    calls: dict[asyncio.StreamWriter, int] = {}

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        calls[writer] = calls.get(writer, 0) + 1
        await (hang_up if calls[writer] == 2 else saying(completion()))(asked, writer)

    server.act = act
    async with connect() as engine:
        for _ in range(3):
            assert isinstance(await engine.answer(ask("Hello?")), Answered)
        assert sorted(calls.values()) == [1, 2, 2]


async def test_a_new_connection_that_ends_had_been_heard(server: HostileServer, connect: Connect) -> None:
    """Whatever ends it may have been the Request: it is not sent again behind everybody's back."""
    server.act = hang_up
    async with connect() as engine:
        assert (await failed(engine)).cause is Cause.UPSTREAM
        assert len(server.asked) == 1


async def test_what_a_dying_server_may_have_seen_is_suspect(server: HostileServer, connect: Connect) -> None:
    async def die(asked: Asked, writer: asyncio.StreamWriter) -> None:
        server.stop_listening()
        writer.transport.abort()

    async with connect() as engine:
        assert isinstance(await engine.answer(ask("Hello?")), Answered)
        server.act = die
        assert (await failed(engine)).cause is Cause.ENGINE_DIED


async def test_a_server_must_prove_its_name(tmp_path: Path) -> None:
    certificate = certificate_for("localhost", tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with asyncio.timeout(60), HostileServer(tls) as server:
        trusting = UpstreamSettings(urls=(server.url,), ca_file=str(certificate), key="s3cret")
        async with UpstreamEngine(trusting, OpenAIDialect) as engine:
            assert isinstance(await engine.answer(ask("Hello?")), Answered)
        asked = len(server.asked)
        async with UpstreamEngine(UpstreamSettings(urls=(server.url,)), OpenAIDialect) as engine:
            await eventually(lambda: engine.trouble is not None)
            assert "certificate verify failed" in str(engine.trouble)
        assert len(server.asked) == asked


async def test_a_file_that_has_no_certificates_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("empty.pem", "missing.pem"):
        settings = UpstreamSettings(urls=("https://localhost:9/v1",), ca_file=str(tmp_path / name))
        with pytest.raises(ConfigError, match=f"ca_file .*{name}"):
            async with UpstreamEngine(settings, OpenAIDialect):
                pass


# --- what goes wrong

WRONG: dict[str, tuple[Act, Cause, str]] = {
    "no JSON": (saying(b"{"), Cause.UPSTREAM, "cannot be read"),
    "another document": (saying({"hello": 1}), Cause.UPSTREAM, "before it is complete"),
    "too large": (saying(b" " * 9_000), Cause.UPSTREAM, "more than 8,000 bytes"),
    "said to be too large": (
        saying(b"{", headers={"Content-Length": "90000"}),
        Cause.UPSTREAM,
        "more than 8,000 bytes",
    ),
    "larger and larger": (
        streaming(*[b" " * 3_000] * 3, kind="application/json"),
        Cause.UPSTREAM,
        "more than 8,000 bytes",
    ),
    "a redirect": (
        saying(b"", status=307, headers={"Location": "http://127.0.0.1:9/"}),
        Cause.UPSTREAM,
        "Redirects are not followed",
    ),
    "hung up at once": (hang_up, Cause.UPSTREAM, "hung up"),
    "no HTTP": (saying(b"", headers={"Bad\r\n header": "x"}), Cause.UPSTREAM, "valid HTTP"),
    "400": (
        saying({"error": {"message": "top_q is no parameter."}}, status=400),
        Cause.INVALID,
        "top_q is no parameter",
    ),
    "too long": (
        saying({"error": {"message": "x", "code": "context_length_exceeded"}}, status=400),
        Cause.TOO_LONG,
        "400",
    ),
    "500": (saying(b"<html><title>Oh</title><p>Bad luck", status=500), Cause.UPSTREAM, "Bad luck"),
    "502": (saying(b"", status=502), Cause.UPSTREAM, "502"),
    "503": (saying(b"", status=503), Cause.OVERLOADED, "503"),
    "501": (saying({"detail": "No such thing."}, status=501), Cause.UNSUPPORTED, "No such thing"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_a_server_does_wrong_is_said_and_harms_nobody(
    server: HostileServer, connect: Connect, name: str
) -> None:
    server.act, cause, said = WRONG[name]
    async with connect(answer_bytes_max=8_000) as engine:
        outcome = await failed(engine)
        assert (outcome.cause, engine.state) == (cause, EngineState.READY)
        assert said in outcome.detail
        server.act = saying(completion())
        assert isinstance(await engine.answer(ask("And now?")), Answered)
        await eventually(lambda: len(server.open) <= 1)  # the one that is kept for the next call
    async with asyncio.timeout(10):
        await server.none_open()


async def drop(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"choices": [')
    await hang_up(asked, writer)


@pytest.mark.parametrize(
    ("act", "streamed"),
    [
        (drop, False),
        (streaming(event("Hel"), then=hang_up), True),
        (streaming(event("Hel")), True),
        (streaming(*[event("Hel" * 1_000)] * 3, then=hang), True),
        (streaming(b"data: {oh"), True),
        (streaming(b'data: {"error": {"message": "No memory."}}\n\n'), True),
    ],
    ids=[
        "half a body",
        "half a stream",
        "a stream without an end",
        "too long a stream",
        "no JSON",
        "an error in the stream",
    ],
)
async def test_an_answer_that_is_not_whole_is_none(
    server: HostileServer, connect: Connect, act: Act, streamed: bool
) -> None:
    server.act = act
    async with connect(answer_bytes_max=8_000) as engine:
        assert (await failed(engine, streamed=streamed)).cause is Cause.UPSTREAM
        assert engine.state is EngineState.READY
        server.act = saying(completion())
        assert isinstance(await engine.answer(ask("And now?")), Answered)


async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(chunked(event("drip ")))
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("act", "patience", "streamed", "said"),
    [
        (hang, {"total_seconds": 0.05}, False, "was not done within 0.05 s"),
        (hang, {"first_token_seconds": 0.05}, True, "gave no answer within 0.05 s"),
        (streaming(then=hang), {"first_token_seconds": 0.05}, True, "gave no answer within 0.05 s"),
        (streaming(event("Hel"), then=hang), {"between_tokens_seconds": 0.05}, True, "said no more within"),
        (streaming(then=drip), {"total_seconds": 0.2}, True, "was not done within 0.2 s"),
    ],
    ids=["no answer", "no first token", "only a head", "no next token", "for ever"],
)
async def test_no_phase_of_a_call_lasts_for_ever(
    server: HostileServer, connect: Connect, act: Act, patience: dict[str, float], streamed: bool, said: str
) -> None:
    server.act = act
    seconds = {
        "connect_seconds": LONG,
        "first_token_seconds": LONG,
        "between_tokens_seconds": LONG,
        "total_seconds": LONG,
    }
    async with connect(patience=Patience(**{**seconds, **patience})) as engine:
        outcome = await failed(engine, streamed=streamed)
        assert outcome.cause is Cause.TIMED_OUT
        assert said in outcome.detail
        await eventually(lambda: not server.open)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        (
            {"Retry-After": "Tue, 24 Nov 2026 10:00:30 GMT", "Date": "Tue, 24 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
        ({}, None),
    ],
)
async def test_how_long_to_stay_away_is_told(
    server: HostileServer, connect: Connect, headers: dict[str, str], seconds: float | None
) -> None:
    server.act = saying({"error": {"message": "Slow down."}}, status=429, headers=headers)
    async with connect() as engine:
        outcome = await failed(engine)
        assert (outcome.cause, outcome.retry_after_seconds) == (Cause.OVERLOADED, seconds)


async def test_who_is_gone_in_the_middle_of_a_call_has_died(server: HostileServer, connect: Connect) -> None:
    """Only then: whoever was held is tried alone, and many would wait for each of many."""
    server.act = hang
    async with connect() as engine:
        await engine.ready()
        asking = asyncio.create_task(engine.answer(ask("Hello?")))
        await server.arrived.wait()
        await server.down()
        outcome = await asking
        assert isinstance(outcome, Failed)
        assert outcome.cause is Cause.ENGINE_DIED
        assert engine.state is EngineState.LOADING
        server.act = saying(completion())
        await server.up()
        assert isinstance(await engine.answer(ask("Again?")), Answered)


async def test_what_cannot_be_sent_is_no_attempt(server: HostileServer, connect: Connect) -> None:
    async with connect() as engine:
        await engine.ready()
        await server.down()
        outcome = await failed(engine)
        assert outcome.cause in {Cause.OVERLOADED, Cause.ENGINE_DIED}  # it may be sent before the end is seen
        assert engine.state is EngineState.LOADING


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_told_by_the_name_it_has(
    server: HostileServer, connect: Connect, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = server.models
    server.models = saying({"error": {"message": "Incorrect API key provided."}}, status=status)
    async with connect(key="s3cret", key_env="HOSTILE_KEY") as engine:
        with pytest.raises(EngineBroken, match=r"Incorrect API key provided.*HOSTILE_KEY"):
            await engine.ready()
        assert engine.state is EngineState.BROKEN
        assert "s3cret" not in str(engine.trouble) + caplog.text
        assert "s3cret" not in repr(UpstreamSettings(urls=(server.url,), key="s3cret"))
        server.models = good
        await eventually(lambda: engine.state is EngineState.READY)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": {"message": "Incorrect API key provided."}}),
        (429, {"error": {"message": "You exceeded your quota.", "type": "insufficient_quota"}}),
        (404, {"error": {"message": "The model `hostile-1` does not exist."}}),
    ],
)
async def test_a_server_that_refuses_everything_is_broken_until_it_does_no_more(
    server: HostileServer, connect: Connect, status: int, body: object
) -> None:
    server.act = saying(body, status=status)
    server.models = saying(b"", status=503)
    async with connect() as engine:
        server.models = saying({"data": [{"id": MODEL}]})
        await engine.ready()
        server.models = saying(b"", status=401)
        outcome = await failed(engine)
        assert outcome.cause is Cause.OVERLOADED  # it costs no Attempt: nothing is wrong with the Request
        with pytest.raises(EngineBroken, match=str(status)):
            await engine.ready()
        assert (await failed(engine)).cause is Cause.OVERLOADED
        server.act, server.models = saying(completion()), saying({"data": [{"id": MODEL}]})
        await eventually(lambda: engine.state is EngineState.READY)
        assert isinstance(await engine.answer(ask("And now?")), Answered)


async def test_a_model_that_is_not_there_is_told_with_those_that_are(
    server: HostileServer, connect: Connect
) -> None:
    async with connect(model="other") as engine:
        with pytest.raises(EngineBroken, match=f"has the models: {MODEL}. There is no other among them"):
            await engine.ready()
    server.models = saying({"data": [{"id": "one"}, {"id": "two"}]})
    async with connect() as engine:
        with pytest.raises(EngineBroken, match=r"one, two\. Name the one to ask"):
            await engine.ready()


async def test_what_is_no_list_of_models_is_told(server: HostileServer, connect: Connect) -> None:
    server.models = saying(b"<html>It works!</html>")
    async with connect() as engine:
        with pytest.raises(EngineBroken, match=r"no list of models.*mostly ends in /v1"):
            await engine.ready()


@pytest.mark.parametrize("interactive", [True, False])
async def test_hanging_up_is_seen_by_the_server(
    server: HostileServer, connect: Connect, interactive: bool
) -> None:
    """It is to stop writing what nobody waits for; and whoever worked on that works on."""
    server.act = hang
    outcomes: list[Outcome] = []

    async def asking(engine: UpstreamEngine) -> None:
        if interactive:
            outcomes.append(await engine.answer(ask("Hello?"), interactive=True))
        else:
            await engine.answer_many([ask("Hello?")], lambda _, outcome: outcomes.append(outcome))

    async with connect(concurrency_max=1) as engine:
        for _ in range(4):
            server.arrived.clear()
            task = asyncio.create_task(asking(engine))
            await server.arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: not server.open)
        server.act = saying(completion())
        await asking(engine)
    assert [type(outcome) for outcome in outcomes] == [Answered]


async def test_a_callback_that_raises_is_heard_of_and_ends_nothing(connect: Connect) -> None:
    def took(*_: object) -> None:
        raise RuntimeError("a bug")

    async with connect(concurrency_max=1) as engine:
        with pytest.raises(RuntimeError, match="a bug"):
            await engine.answer_many([ask("Hello?"), ask("And you?")], took)
        outcomes: list[Outcome] = []
        await engine.answer_many([ask("Hello?")], lambda _, outcome: outcomes.append(outcome))
        assert isinstance(outcomes[0], Answered)
