"""Lines of OpenAI's dialect beside those of the Gemini dialect, and the output in either."""

from __future__ import annotations

import json

import pytest

from halfrate.domain.errors import CorruptData
from halfrate.domain.line import Line, Plain, Rejection
from halfrate.domain.outcome import Answered, Candidate, Cause, Failed, Finish, TokenLogprob
from halfrate.domain.request import FunctionCall, Message, Role
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.lines import result_line
from halfrate.wire.gemini.results import read_result
from halfrate.wire.lines import parse_line, parse_lines, read_lines
from halfrate.wire.openai import lines as openai
from halfrate.wire.openai.output import Translation

BODY = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
LINE = {"custom_id": "k1", "method": "POST", "url": "/v1/chat/completions", "body": BODY}
NATIVE = b'{"key": "k2", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}'
# Plain to the eye, but for a word in it.
WORDY = b'{"key": "k3", "request": {"contents": [{"parts": [{"text": "what is a \\"custom_id\\"?"}]}]}}'


def raw(**fields: object) -> bytes:
    return json.dumps({name: value for name, value in (LINE | fields).items() if value is not None}).encode()


def test_a_line():
    line = parse_line(raw())
    assert isinstance(line, Line)
    assert (line.key, line.model, line.metadata) == ("k1", "gpt-x", None)
    assert line.request.messages == (Message(Role.USER, "hi"),)


def test_a_line_asks_what_the_other_dialect_asks():
    assert parse_line(raw()).request == parse_line(NATIVE).request


@pytest.mark.parametrize(
    "file", [[raw(), NATIVE, WORDY], [NATIVE, raw(), WORDY], [WORDY, NATIVE, raw()], [WORDY, NATIVE]]
)
def test_each_line_of_a_file_is_read_in_its_own_dialect(file):
    assert parse_lines(file) == [parse_line(one) for one in file]
    assert not any(isinstance(line, Rejection) for line in parse_lines(file))


def test_lines_of_texts_alone_are_left_as_they_are():
    assert {type(line) for line in read_lines([NATIVE, NATIVE])} == {Plain}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"custom_id": 5}, "custom_id"),
        ({"method": "GET"}, "method is 'GET'"),
        ({"url": None}, "url"),
        ({"foo": 1}, "foo"),
        ({"url": 1}, "url"),
    ],
)
def test_what_is_wrong_around_a_request_rejects_the_line(fields, says):
    line = parse_line(raw(**fields))
    assert isinstance(line, Rejection)
    assert says in line.message


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": "/v1/responses"}, "it can be /v1/chat/completions or /v1/embeddings"),
        ({"body": BODY | {"foo": 1}}, "Unknown parameter: 'foo'"),
        ({"body": BODY | {"n": 99}}, "Invalid 'n'"),
        ({"body": BODY | {"stream": True}}, "stream is not possible"),
        ({"body": []}, "Expected `object`"),
    ],
)
def test_what_is_wrong_with_a_request_fails_that_request(fields, says):
    line = parse_line(raw(**fields))
    assert isinstance(line, Line)
    assert line.key == "k1"
    assert isinstance(line.request, Failed)
    assert line.request.cause is Cause.INVALID
    assert says in line.request.detail


@pytest.mark.parametrize(
    "other",
    [
        NATIVE,
        WORDY,
        b'{"custom_id": "a", "params": {}}',
        b'{"custom_id": "a", "body": ',
        b'"custom_id"',
        b'{"custom_id": "\xff", "url": "", "body": {}}',
        b'{"custom_id": "a", "url": "", "body": ' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_line_of_this_dialect_is_left_to_the_other_one(other):
    assert openai.parse_line(other) is None
    assert parse_line(other)


# Output -----------------------------------------------------------------------------------------------

FULL = Answered(
    (
        Candidate(
            "text",
            Finish.LENGTH,
            "thought",
            4,
            (FunctionCall("f", '{"a":1}', "c1"),),
            (TokenLogprob("t", 5, -0.5, (TokenLogprob("t", 5, -0.5), TokenLogprob("u", 6, -2.0))),),
        ),
        Candidate("other", Finish.STOP),
    ),
    Usage(7, 9, 3),
)


def native(key: str | None, outcome: object, number: int = 0) -> bytes:
    return result_line(key, outcome, model_version="m1", response_id=f"job-{number}") + b"\n"


@pytest.mark.parametrize("outcome", [FULL, Answered.of("plain", Finish.STOP, Usage(1, 2))])
def test_an_answer_is_read_back_whole(outcome):
    read = read_result(native("k", outcome), expired=False)
    assert read.outcome == outcome
    assert (read.key, read.response_id, read.model_version) == ("k", "job-0", "m1")


@pytest.mark.parametrize("cause", Cause)
def test_a_failure_is_read_back_as_far_as_its_code_tells(cause):
    read = read_result(native(None, Failed(cause, "why")), expired=cause is Cause.EXPIRED)
    assert isinstance(read.outcome, Failed)
    assert read.outcome.detail == "why"
    alike = {
        Cause.TOO_LONG: Cause.INVALID,
        Cause.ENGINE_DIED: Cause.OVERLOADED,
        Cause.UPSTREAM: Cause.OVERLOADED,
    }
    assert read.outcome.cause is alike.get(cause, cause)


def test_what_is_no_line_of_an_output_is_damage():
    with pytest.raises(CorruptData):
        read_result(b"{", expired=False)


def translated(output: bytes, *, errors: bool, step: int = 1 << 20, expired: bool = False) -> list[dict]:
    translation = Translation("job", model="m0", created=5.5, errors=errors, expired=expired)
    pieces = [output[at : at + step] for at in range(0, len(output), step)]
    return [json.loads(line) for line in b"".join(map(translation.feed, pieces)).splitlines()]


OUTPUT = (
    native("a", FULL)
    + native('say "error": now', Answered.of("b", Finish.STOP, Usage(1, 1)), 1)
    + native("c", Failed(Cause.TOO_LONG, "too long"))
    + native("d", Failed(Cause.CANCELLED, "never"))
    + native(None, Failed(Cause.EXPIRED, "late"))
)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_answers_and_errors_each_in_their_file(step):
    answers = translated(OUTPUT, errors=False, step=step)
    assert [line["custom_id"] for line in answers] == ["a", 'say "error": now']
    first = answers[0]
    assert first["error"] is None
    assert first["response"]["status_code"] == 200
    assert first["response"]["request_id"] == "job-0"
    body = first["response"]["body"]
    assert (body["model"], body["created"], body["object"]) == ("m1", 5, "chat.completion")
    assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "c1"
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}

    failed, cancelled, expired = translated(OUTPUT, errors=True, step=step, expired=True)
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["body"]["error"]["message"] == "too long"
    assert (cancelled["response"], cancelled["error"]["code"]) == (None, "batch_cancelled")
    assert expired["error"] == {"code": "batch_expired", "message": "late"}
    ids = [line["id"] for line in [*answers, failed, cancelled, expired]]
    assert len(set(ids)) == 5
