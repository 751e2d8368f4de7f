"""Asking a Gemini API: what is written is what a server reads, and what a server says is what is heard."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish, TokenLogprob
from halfrate.domain.request import AnyRequest, FunctionCall, Message, Request, Role, Sampling
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.asking import (
    StreamHeard,
    body_of,
    count_body,
    counted,
    failure_of,
    line_of,
    model_in,
    models_in,
    outcome_in,
)
from halfrate.wire.gemini.embeddings import embedded_body, parse_embed
from halfrate.wire.gemini.lines import parse_line
from halfrate.wire.gemini.models import (
    GeneratedStream,
    generated,
    parse_count_tokens,
    parse_generate,
    tokens_counted,
)
from halfrate.wire.rejected import Rejected
from tests.unit.wire.strategies import embeddings, requests

HELLO = Request((Message(Role.USER, "Hello"),))
NAMES = {"model_version": "m", "response_id": "r"}


# What is asked ----------------------------------------------------------------------------------------


def asked(request: AnyRequest) -> bytes:
    body = body_of(request)
    assert isinstance(body, bytes), body
    return body


def test_half_a_surrogate_pair_is_told() -> None:
    assert isinstance(body_of(Request((Message(Role.USER, "\ud800"),))), Failed)


@given(requests())
def test_a_request_comes_back_from_its_body(request_sent: Request) -> None:
    assert parse_generate(asked(request_sent), model="m") == request_sent
    assert parse_count_tokens(count_body(request_sent, model="m"), model="m") == request_sent


@given(requests())
def test_a_request_comes_back_from_its_line(request_sent: Request) -> None:
    line = parse_line(line_of('k"1', asked(request_sent)))
    assert (line.key, line.request) == ('k"1', request_sent)  # type: ignore[union-attr]


@given(embeddings())
def test_an_embedding_comes_back_from_its_body(embedding: Embedding) -> None:
    assert parse_embed(asked(embedding), model="m") == embedding
    assert parse_line(line_of("k", asked(embedding))).request == embedding  # type: ignore[union-attr]


def test_a_call_of_a_past_turn_stands_without_its_thought() -> None:
    """Models that want every call signed are told that there is no signature, once a turn."""
    called = Message(Role.MODEL, "", (FunctionCall("a", "{}"), FunctionCall("b", '{"n":1}', "7")))
    _, turn = json.loads(asked(Request((Message(Role.USER, "?"), called))))["contents"]
    assert turn["parts"] == [
        {"functionCall": {"name": "a", "args": {}}, "thoughtSignature": "skip_thought_signature_validator"},
        {"functionCall": {"name": "b", "args": {"n": 1}, "id": "7"}},
    ]


# What is answered -------------------------------------------------------------------------------------

FULL = Answered(
    (
        Candidate(
            "It is nine.",
            Finish.STOP,
            thought="Let me see.",
            thought_tokens=4,
            calls=(FunctionCall("now", '{"zone":"CET"}', "c1"),),
            logprobs=(
                TokenLogprob("It", 7, -0.5, (TokenLogprob("It", 7, -0.5), TokenLogprob("Now", 8, -1.5))),
            ),
        ),
        Candidate("Nine", Finish.LENGTH),
    ),
    Usage(10, 9, 3),
)
TWO = Request(HELLO.messages, Sampling(candidates=2))


def test_an_answer_is_read_as_it_was_given() -> None:
    assert outcome_in(generated(FULL, **NAMES), TWO) == FULL


def test_a_vector_is_read_as_it_was_given_and_made_one_long() -> None:
    vector = Embedded.of([0.6, 0.8], Usage(3))
    assert outcome_in(embedded_body(vector), Embedding("x")) == vector
    cut = outcome_in(b'{"embedding":{"values":[3,4]},"tokenCount":"2"}', Embedding("x"))
    assert cut == Embedded.of([0.6, 0.8], Usage(2))


@pytest.mark.parametrize(
    ("said", "finish", "text"),
    [
        ({"candidates": [{"finishReason": "SAFETY"}]}, Finish.BLOCKED, ""),
        ({"candidates": [{"finishReason": "PROHIBITED_CONTENT", "content": {}}]}, Finish.BLOCKED, ""),
        (
            {"candidates": [{"finishReason": "RECITATION", "content": {"parts": [{"text": "It was the"}]}}]},
            Finish.RECITATION,
            "It was the",
        ),
        ({"candidates": [{"finishReason": "A_NEW_ONE"}]}, Finish.OTHER, ""),
        ({"candidates": [{"finishReason": "UNEXPECTED_TOOL_CALL"}]}, Finish.MALFORMED_CALL, ""),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, Finish.BLOCKED, ""),
    ],
)
def test_what_was_blocked_is_an_answer_that_says_so(
    said: dict[str, object], finish: Finish, text: str
) -> None:
    """With all there was of it, and with its tokens: they are paid for."""
    body = json.dumps({**said, "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}}).encode()
    assert outcome_in(body, HELLO) == Answered.of(text, finish, Usage(5))


def test_arguments_that_came_in_several_lines_are_in_one() -> None:
    args = {"functionCall": {"name": "f", "args": {"a": 1}}}
    body = json.dumps({"candidates": [{"content": {"parts": [args]}}]}, indent=2).encode()
    outcome = outcome_in(body, HELLO)
    assert isinstance(outcome, Answered)
    assert outcome.candidates[0].calls == (FunctionCall("f", '{"a":1}'),)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"candidates":[{"index":"x"}]}', b"[" * 9_999]
)
def test_an_answer_that_is_none_is_told(body: bytes) -> None:
    outcome = outcome_in(body, HELLO)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.UPSTREAM


def test_a_vector_for_a_text_is_no_answer() -> None:
    assert isinstance(outcome_in(embedded_body(Embedded.of([1.0], Usage(1))), HELLO), Failed)
    assert isinstance(outcome_in(generated(FULL, **NAMES), Embedding("x")), Failed)


def test_tokens_and_models_are_read() -> None:
    assert counted(tokens_counted(7)) == 7
    assert counted(b"no") is None
    model = model_in(b'{"name":"models/m","inputTokenLimit":9,"topK":64,"thinking":true}')
    assert model is not None
    assert (model.input_token_limit, model.output_token_limit, model.thinking) == (9, 0, True)
    assert model_in(b"no") is None
    listed = models_in(b'{"models":[{"name":"models/a"},{"name":"models/b"}],"nextPageToken":"x"}')
    assert listed is not None
    assert [each.name for each in listed] == ["models/a", "models/b"]
    assert models_in(b"no") is None


# Piece by piece ---------------------------------------------------------------------------------------


def test_a_stream_says_together_what_an_answer_says() -> None:
    stream = GeneratedStream(**NAMES)
    heard = StreamHeard(TWO)
    pieces = [Delta("", "Let me"), Delta("", " see."), Delta("It is"), Delta("Ni", index=1), Delta(" nine.")]
    told = [delta for piece in pieces for delta in heard.hear(stream.piece(piece))]
    assert told == pieces
    assert not heard.done
    assert heard.outcome() is None, "cut off here, it is no answer"
    assert heard.hear(stream.end(FULL)) == [Delta("ne", index=1)]
    assert heard.done
    assert heard.outcome() == FULL


def test_the_last_usage_counts() -> None:
    heard = StreamHeard(HELLO)
    heard.hear(
        b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":1}}'
    )
    end = b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":%b}'
    heard.hear(end % b'{"promptTokenCount":2,"candidatesTokenCount":3}')
    assert heard.outcome() == Answered.of("a", Finish.STOP, Usage(2, 3))


def test_a_stream_may_end_in_an_error() -> None:
    heard = StreamHeard(HELLO)
    heard.hear(b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}')
    assert heard.hear(b'{"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}') == []
    assert heard.hear(b'{"candidates":[{"finishReason":"STOP"}]}') == []
    assert heard.done
    assert heard.outcome() == Failed(Cause.OVERLOADED, "Overloaded.")


def test_a_stream_that_is_none_is_told() -> None:
    heard = StreamHeard(HELLO)
    assert heard.hear(b"hello") == []
    assert isinstance(heard.outcome(), Failed)


def test_a_blocked_prompt_ends_a_stream() -> None:
    heard = StreamHeard(HELLO)
    heard.hear(b'{"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":4}}')
    assert heard.done
    assert heard.outcome() == Answered.of("", Finish.BLOCKED, Usage(4))


# What is refused --------------------------------------------------------------------------------------


def error(code: int, status: str, message: str = "Why.", *details: dict[str, object]) -> bytes:
    said = {"code": code, "message": message, "status": status, "details": details}
    return msgspec.json.encode({"error": said})


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.5s"}


@pytest.mark.parametrize(
    ("status", "body", "failed"),
    [
        (400, error(400, "INVALID_ARGUMENT"), Failed(Cause.INVALID, "Why.")),
        (429, error(429, "RESOURCE_EXHAUSTED"), Failed(Cause.OVERLOADED, "Why.")),
        (429, error(429, "RESOURCE_EXHAUSTED", "Why.", RETRY), Failed(Cause.OVERLOADED, "Why.", 36.5)),
        (503, error(503, "UNAVAILABLE"), Failed(Cause.OVERLOADED, "Why.")),
        (504, error(504, "DEADLINE_EXCEEDED"), Failed(Cause.TIMED_OUT, "Why.")),
        (500, error(500, "INTERNAL"), Failed(Cause.UPSTREAM, "Why.")),
        (501, error(501, "UNIMPLEMENTED"), Failed(Cause.UNSUPPORTED, "Why.")),
        (400, b"[" + error(400, "INVALID_ARGUMENT") + b"]", Failed(Cause.INVALID, "Why.")),
        (502, b"<html>Bad gateway", Failed(Cause.UPSTREAM, "<html>Bad gateway")),
        (502, b"", Failed(Cause.UPSTREAM, "The upstream answered with status 502, and no more.")),
    ],
)
def test_a_refusal_is_a_failure_with_its_cause(status: int, body: bytes, failed: Failed) -> None:
    assert failure_of(status, body) == failed


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
        "A prompt of 9 bytes does not fit the context of 4 tokens of m. Shorten the prompt.",
        "A prompt of 9 tokens leaves no room for an answer in the context of 9 tokens of m.",
        "The script's context is 4096 words.",
    ],
)
def test_a_prompt_that_is_too_long_is_told_from_one_that_is_wrong(message: str) -> None:
    failed = failure_of(400, error(400, "INVALID_ARGUMENT", message))
    assert failed == Failed(Cause.TOO_LONG, message)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, error(401, "UNAUTHENTICATED")),
        (403, error(403, "PERMISSION_DENIED")),
        (400, error(400, "INVALID_ARGUMENT", "Why.", {"@type": "x", "reason": "API_KEY_INVALID"})),
        (400, error(400, "FAILED_PRECONDITION")),
    ],
)
def test_a_caller_that_is_not_taken_is_told_from_a_request_that_is_not(status: int, body: bytes) -> None:
    assert failure_of(status, body) == Rejected("Why.")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_stay_away_is_read_from_the_header(
    headers: dict[str, str], seconds: float | None
) -> None:
    failed = failure_of(429, error(429, "RESOURCE_EXHAUSTED"), headers)
    assert failed == Failed(Cause.OVERLOADED, "Why.", seconds)
