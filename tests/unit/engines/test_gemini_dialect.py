"""What an Engine finds out of a Gemini API, and what it makes of its refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from halfrate.domain.embedding import Embedding
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role
from halfrate.engines.upstream.dialect import Call, Lack, NoReply, Reply
from halfrate.engines.upstream.gemini import GeminiDialect
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.wire.rejected import Rejected

HELLO = Request((Message(Role.USER, "Hello"),))
FLASH = {"name": "models/flash", "inputTokenLimit": 1_000, "outputTokenLimit": 99, "thinking": True}


def dialect(**settings: object) -> GeminiDialect:
    given = {"urls": ("http://there/v1beta",), "model": "flash", **settings}
    return GeminiDialect(UpstreamSettings(**given))  # type: ignore[arg-type]


def told(*replies: Reply | NoReply) -> Callable[[Call], Awaitable[Reply | NoReply]]:
    """Answer one after the other."""
    left = list(replies)

    async def fetch(_: Call) -> Reply | NoReply:
        return left.pop(0)

    return fetch


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(body))


def refused(status: int, name: str, message: str = "Why.") -> Reply:
    return reply({"error": {"code": status, "status": name, "message": message}}, status)


async def test_what_a_model_can_is_what_the_server_says() -> None:
    facts = await dialect().discover(told(reply(FLASH)))
    assert (facts.model_version, facts.context_tokens, facts.thinks) == ("flash", 1_000, True)
    assert (facts.dimensions, facts.logprobs_max) == (0, 20)


async def test_the_only_model_there_is_needs_no_name() -> None:
    asked = dialect(model=None)
    await asked.discover(told(reply({"models": [FLASH]}), reply(FLASH)))
    call = asked.ask(HELLO, streamed=False)
    assert isinstance(call, Call)
    assert call.path == "/models/flash:generateContent"
    with pytest.raises(EngineBroken, match=r"flash, flash\. Name the one to ask"):
        await dialect(model=None).discover(told(reply({"models": [FLASH, FLASH]})))


async def test_the_length_of_vectors_is_found_out() -> None:
    vector = reply({"embedding": {"values": [0.6, 0.8, 0.0]}})
    facts = await dialect(kind=Kind.EMBEDDING).discover(told(reply(FLASH), vector))
    assert facts.dimensions == 3
    with pytest.raises(EngineBroken, match="makes no embeddings"):
        await dialect(kind=Kind.EMBEDDING).discover(told(reply(FLASH), refused(400, "INVALID_ARGUMENT")))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (NoReply(Lack.UNREACHABLE, "It is not there."), Unreachable, "not there"),
        (refused(503, "UNAVAILABLE"), Unreachable, "503: Why"),
        (refused(404, "NOT_FOUND"), EngineBroken, "404: Why"),
        (refused(403, "PERMISSION_DENIED"), EngineBroken, "key_env"),
        (Reply(200, b"<html>"), EngineBroken, "v1beta"),
    ],
)
async def test_a_server_that_cannot_be_used_is_told_from_one_that_is_down(
    answer: Reply | NoReply, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        await dialect().discover(told(answer))


def test_the_key_goes_along_and_is_told_nowhere() -> None:
    asked = dialect(key="secret", key_env="THE_KEY")
    assert asked.headers() == {"x-goog-api-key": "secret"}
    said = asked.read(HELLO, refused(403, "PERMISSION_DENIED"))
    assert said == Rejected(
        "http://there/v1beta answered 403: Why. Check the key in the environment variable THE_KEY, and the "
        "account behind it."
    )
    assert dialect().headers() == {}


def test_each_kind_of_request_has_its_call() -> None:
    calls = [
        dialect().ask(HELLO, streamed=False),
        dialect().ask(HELLO, streamed=True),
        dialect().ask(Embedding("x"), streamed=False),
    ]
    paths = [call.path for call in calls if isinstance(call, Call)]
    verbs = ["generateContent", "streamGenerateContent?alt=sse", "embedContent"]
    assert paths == [f"/models/flash:{verb}" for verb in verbs]


def test_what_the_settings_add_stands_in_every_body() -> None:
    call = dialect(body={"serviceTier": "flex"}).ask(HELLO, streamed=False)
    assert isinstance(call, Call)
    assert b'"serviceTier":"flex"' in (call.body or b"")


def test_refusals_of_one_request_are_its_own() -> None:
    assert dialect().read(HELLO, refused(400, "INVALID_ARGUMENT")) == Failed(Cause.INVALID, "Why.")
    assert isinstance(dialect().read(HELLO, refused(404, "NOT_FOUND")), Rejected)


async def test_tokens_are_counted_by_the_server() -> None:
    assert await dialect().count_tokens(HELLO, told(reply({"totalTokens": 7}))) == 7
    for answer in (NoReply(Lack.SILENT, "Nothing came."), refused(500, "INTERNAL"), Reply(200, b"no")):
        with pytest.raises(EngineBroken):
            await dialect().count_tokens(HELLO, told(answer))


def test_a_stream_comes_cut_anywhere() -> None:
    listener = dialect().listener(HELLO)
    data = b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}\r\n\r\n'
    pieces = [delta for n in range(len(data)) for delta in listener.hear(data[n : n + 1])]
    assert [piece.text for piece in pieces] == ["Hi"]
    assert listener.done
    silent = dialect().listener(HELLO)
    assert silent.outcome() == Failed(Cause.UPSTREAM, "The server broke the answer off.")
