"""Asking Anthropic's Messages API: bodies are such as its own SDK allows, and its answers are heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish
from halfrate.domain.request import (
    Attachment,
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
from halfrate.domain.usage import Usage
from halfrate.wire.anthropic.asking import (
    Manner,
    StreamHeard,
    body_of,
    count_body,
    counted,
    failure_of,
    model_in,
    models_in,
    outcome_in,
)
from halfrate.wire.gemini.schema import ANY_JSON
from halfrate.wire.rejected import Rejected
from tests.support.messages_api import check_count_body, check_message_body
from tests.unit.wire.strategies import requests

MANNER = Manner("claude-x", max_tokens=500)
HELLO = Message(Role.USER, "Hello")


def ask(*messages: Message, functions: Functions | None = None, **sampling: Any) -> Request:
    return Request(messages or (HELLO,), Sampling(**sampling), functions)


def body(request: Request, manner: Manner = MANNER) -> Any:
    said = body_of(request, manner)
    assert isinstance(said, bytes), said
    check_message_body(json.loads(said))
    return json.loads(said)


# What is asked ----------------------------------------------------------------------------------------


@given(requests())
def test_every_body_is_one_that_the_api_knows(request_sent: Request) -> None:
    said = body_of(request_sent, MANNER)
    if isinstance(said, Failed):
        assert said.cause is Cause.UNSUPPORTED
    else:
        check_message_body(json.loads(said))
        check_count_body(json.loads(count_body(request_sent, MANNER)))


def test_the_least_there_is_to_say() -> None:
    assert body(ask()) == {
        "model": "claude-x",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "max_tokens": 500,
    }


def test_an_instruction_goes_first_and_how_to_decode_goes_along() -> None:
    said = body(
        ask(Message(Role.SYSTEM, "Be brief."), HELLO, temperature=0.5, top_p=0.9, top_k=4, stop=("x",))
    )
    assert said["system"] == [{"type": "text", "text": "Be brief."}]
    assert len(said["messages"]) == 1
    assert (said["temperature"], said["top_p"], said["top_k"]) == (0.5, 0.9, 4)
    assert said["stop_sequences"] == ["x"]


def test_what_the_settings_add_stands_in_every_body() -> None:
    manner = Manner("m", fields={"service_tier": "standard_only"})
    assert body(ask(), manner)["service_tier"] == "standard_only"


def test_the_bound_of_an_answer_is_one_the_model_allows() -> None:
    manner = Manner("m", max_tokens=500, max_tokens_limit=1_000)
    assert body(ask(max_output_tokens=20), manner)["max_tokens"] == 20
    assert body(ask(max_output_tokens=10**6), manner)["max_tokens"] == 1_000


def test_an_image_stands_where_it_stood() -> None:
    image = Attachment(5, "image/png", b"\x89PNG")
    (turn,) = body(ask(Message(Role.USER, "Look:\nwhat is it?", attachments=(image,))))["messages"]
    assert [block["type"] for block in turn["content"]] == ["text", "image", "text"]
    assert turn["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}


def test_what_a_function_gave_back_is_tied_to_its_call() -> None:
    """By its id where there is one, by its name where there is none; two of one name in their order."""
    calls = (FunctionCall("f", '{"n":1}'), FunctionCall("g", "{}"), FunctionCall("f", '{"n":2}'))
    returns = (FunctionReturn("g", '{"g":1}'), FunctionReturn("f", '{"f":1}'), FunctionReturn("f", '{"f":2}'))
    past = (HELLO, Message(Role.MODEL, "Well.", calls), Message(Role.TOOL, "", returns=returns))
    said = body(ask(*past))
    uses = {block["id"]: block for block in said["messages"][1]["content"][1:]}
    tied = [(uses[b["tool_use_id"]]["input"], b["content"]) for b in said["messages"][2]["content"]]
    assert tied == [({}, '{"g":1}'), ({"n": 1}, '{"f":1}'), ({"n": 2}, '{"f":2}')]
    by_id = (FunctionCall("f", '{"n":1}', "a"), FunctionCall("f", '{"n":2}', "b"))
    swapped = (FunctionReturn("f", '{"f":2}', "b"), FunctionReturn("f", '{"f":1}', "a"))
    said = body(ask(HELLO, Message(Role.MODEL, "", by_id), Message(Role.TOOL, "", returns=swapped)))
    uses = {block["id"]: block for block in said["messages"][1]["content"]}
    tied = [(uses[b["tool_use_id"]]["input"], b["content"]) for b in said["messages"][2]["content"]]
    assert tied == [({"n": 2}, '{"f":2}'), ({"n": 1}, '{"f":1}')]


def test_a_conversation_with_calls_declares_them_though_none_may_be_called() -> None:
    said = body(ask(HELLO, Message(Role.MODEL, "", (FunctionCall("f", "{}"),)), HELLO))
    assert [tool["name"] for tool in said["tools"]] == ["f"]
    assert said["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("choice", "allowed", "names", "told"),
    [
        (Choice.AUTO, (), ["f", "g"], {"type": "auto"}),
        (Choice.AUTO, ("g",), ["g"], {"type": "auto"}),
        (Choice.ANY, (), ["f", "g"], {"type": "any"}),
        (Choice.ANY, ("g",), ["g"], {"type": "tool", "name": "g"}),
        (Choice.NONE, (), ["f", "g"], {"type": "none"}),
    ],
)
def test_only_what_may_be_called_is_declared(
    choice: Choice, allowed: tuple[str, ...], names: list[str], told: dict[str, str]
) -> None:
    declared = (FunctionDeclaration("f", "Does f.", '{"properties":{}}'), FunctionDeclaration("g"))
    said = body(ask(functions=Functions(declared, choice, allowed)))
    assert [tool["name"] for tool in said["tools"]] == names
    assert all(tool["input_schema"]["type"] == "object" for tool in said["tools"])
    assert said["tool_choice"] == told


def test_an_answer_is_held_to_a_schema_or_to_a_choice() -> None:
    inner = '{"type":"object","properties":{"a":{"type":"object","properties":{}},"enum":{"type":"null"}}}'
    schema = body(ask(json_schema=inner))["output_config"]["format"]["schema"]
    assert schema["additionalProperties"] is schema["properties"]["a"]["additionalProperties"] is False
    assert schema["properties"]["enum"] == {"type": "null"}
    chosen = body(ask(choices=("yes", "no")))["output_config"]["format"]["schema"]
    assert chosen["properties"] == {"answer": {"type": "string", "enum": ["yes", "no"]}}


@pytest.mark.parametrize(
    ("budget", "most", "thinks", "told"),
    [
        (None, 5_000, {"enabled"}, None),
        (0, 5_000, {"enabled", "disabled"}, {"type": "disabled"}),
        (0, 5_000, {"enabled"}, None),
        (2_000, 5_000, {"enabled", "adaptive"}, {"type": "enabled", "budget_tokens": 2_000}),
        (10, 5_000, {"enabled"}, {"type": "enabled", "budget_tokens": 1_024}),
        (9_000, 5_000, {"enabled"}, {"type": "enabled", "budget_tokens": 4_999}),
        (9_000, 900, {"enabled", "disabled"}, {"type": "disabled"}),
        (2_000, 5_000, {"adaptive"}, {"type": "adaptive"}),
        (-1, 5_000, {"enabled", "adaptive"}, {"type": "adaptive"}),
        (-1, 5_000, {"enabled"}, {"type": "enabled", "budget_tokens": 2_500}),
        (2_000, 5_000, set(), None),
    ],
)
def test_how_long_to_think_is_said_as_the_model_understands(
    budget: int | None, most: int, thinks: set[str], told: dict[str, object] | None
) -> None:
    """A budget leaves room for the answer, and is as large as the API wants."""
    for shown, display in ((True, "summarized"), (False, "omitted")):
        request = ask(thinking_budget=budget, max_output_tokens=most, include_thoughts=shown)
        said = body(request, Manner("m", thinks=frozenset(thinks))).get("thinking")
        quiet = told is None or told["type"] == "disabled"
        assert said == (told if quiet else {**(told or {}), "display": display})


def test_what_many_share_is_marked_when_it_is_to_be_kept() -> None:
    """The instruction, and all before the last Message."""
    manner = Manner("m", cache_ttl="1h")
    book = Message(Role.USER, "A long book.")
    said = body(ask(Message(Role.SYSTEM, "Read."), book, Message(Role.MODEL, "I have."), HELLO), manner)
    mark = {"type": "ephemeral", "ttl": "1h"}
    blocks = [*said["system"], *(block for turn in said["messages"] for block in turn["content"])]
    assert [block.get("cache_control") for block in blocks] == [mark, None, mark, None]
    assert "cache_control" not in json.dumps(body(ask(), manner))


@pytest.mark.parametrize(
    ("request_sent", "why"),
    [
        (ask(seed=1), "seed"),
        (ask(presence_penalty=0.5), "penalties"),
        (ask(frequency_penalty=0.5), "penalties"),
        (ask(json_schema=ANY_JSON), "schema"),
        (ask(Message(Role.USER, "", attachments=(Attachment(0, "image/heic", b"x"),))), "image/heic"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(request_sent: Request, why: str) -> None:
    failed = body_of(request_sent, MANNER)
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.UNSUPPORTED
    assert why in failed.detail


# What is answered -------------------------------------------------------------------------------------


def message(*content: dict[str, object], stop_reason: str = "end_turn", **usage: object) -> bytes:
    counts = {"input_tokens": 5, "output_tokens": 7, **usage}
    said = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    return json.dumps(
        {**said, "content": content, "stop_reason": stop_reason, "usage": counts}, indent=1
    ).encode()


TEXT = {"type": "text", "text": "Nine."}
THOUGHT = {"type": "thinking", "thinking": "Let me see.", "signature": "x"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {"zone": "CET"}}


def test_an_answer_with_all_there_can_be() -> None:
    told = message(
        THOUGHT,
        {"type": "redacted_thinking", "data": "x"},
        TEXT,
        USE,
        stop_reason="tool_use",
        cache_read_input_tokens=20,
        cache_creation_input_tokens=3,
        output_tokens_details={"thinking_tokens": 4},
    )
    calls = (FunctionCall("now", '{"zone":"CET"}', "toolu_1"),)
    one = Candidate("Nine.", Finish.STOP, "Let me see.", 4, calls)
    assert outcome_in(told, ask(include_thoughts=True)) == Answered((one,), Usage(28, 7, 20))
    quiet = outcome_in(told, ask())
    assert isinstance(quiet, Answered)
    assert quiet.candidates[0].thought == ""


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("refusal", Finish.BLOCKED),
        ("pause_turn", Finish.OTHER),
        ("a_new_one", Finish.OTHER),
    ],
)
def test_why_an_answer_ends(reason: str, finish: Finish) -> None:
    assert outcome_in(message(TEXT, stop_reason=reason), ask()) == Answered.of("Nine.", finish, Usage(5, 7))


def test_a_call_that_was_cut_off_is_none() -> None:
    outcome = outcome_in(message(TEXT, USE, stop_reason="max_tokens"), ask())
    assert outcome == Answered.of("Nine.", Finish.MALFORMED_CALL, Usage(5, 7))


def test_a_choice_is_taken_out_of_the_object_around_it() -> None:
    wrapped = {"type": "text", "text": '{"answer": "yes"}'}
    assert outcome_in(message(wrapped), ask(choices=("yes",))) == Answered.of("yes", Finish.STOP, Usage(5, 7))
    cut = {"type": "text", "text": '{"answ'}
    outcome = outcome_in(message(cut, stop_reason="max_tokens"), ask(choices=("yes",)))
    assert outcome == Answered.of('{"answ', Finish.LENGTH, Usage(5, 7))


@pytest.mark.parametrize("said", [b"", b"<html>", b"{}", b"[]", b'{"content":7}', b"[" * 9_999])
def test_an_answer_that_is_none_is_told(said: bytes) -> None:
    outcome = outcome_in(said, ask())
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.UPSTREAM


def test_tokens_and_models_are_read() -> None:
    assert counted(b'{"input_tokens": 14}') == 14
    assert counted(b"no") is None
    plain = model_in(b'{"id":"claude-x","type":"model","display_name":"X"}')
    assert plain is not None
    assert (plain.thinks, plain.sees, plain.structured) == (None, True, True)
    support = {"supported": True}
    types = {"adaptive": support, "enabled": {"supported": False}}
    capabilities = {
        "image_input": {"supported": False},
        "structured_outputs": {"supported": False},
        "thinking": {"supported": True, "types": types},
        "batch": support,
    }
    full = model_in(json.dumps({"id": "x", "max_tokens": 9, "capabilities": capabilities}).encode())
    assert full is not None
    assert (full.thinks, full.sees, full.structured, full.max_tokens) == ({"adaptive"}, False, False, 9)
    assert model_in(b"no") is None
    assert models_in(b'{"data":[{"id":"a"}],"has_more":false}') == [model_in(b'{"id":"a"}')]
    assert models_in(b"no") is None


# Piece by piece ---------------------------------------------------------------------------------------


def events(*said: dict[str, object]) -> list[bytes]:
    return [json.dumps(each).encode() for each in said]


def delta(index: int, **piece: object) -> dict[str, object]:
    kind = {"text": "text_delta", "thinking": "thinking_delta", "partial_json": "input_json_delta"}
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": kind[next(iter(piece))], **piece},
    }


START = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 2}}}
STREAM = events(
    START,
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    delta(0, thinking="Let me"),
    delta(0, thinking=" see."),
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    delta(1, text="Ni"),
    delta(1, text="ne."),
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t", "name": "now", "input": {}},
    },
    delta(2, partial_json='{"zone":'),
    delta(2, partial_json=' "CET"}'),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
)


def test_a_stream_says_together_what_an_answer_says() -> None:
    heard = StreamHeard(ask(include_thoughts=True))
    told = [piece for event in STREAM[:-1] for piece in heard.hear(event)]
    assert told == [Delta("", "Let me"), Delta("", " see."), Delta("Ni"), Delta("ne.")]
    assert not heard.done
    assert heard.outcome() is None, "cut off here, it is no answer"
    assert heard.hear(STREAM[-1]) == []
    assert heard.done
    one = Candidate("Nine.", Finish.STOP, "Let me see.", 0, (FunctionCall("now", '{"zone":"CET"}', "t"),))
    assert heard.outcome() == Answered((one,), Usage(7, 9, 2))


def test_thoughts_that_nobody_asked_for_and_objects_around_a_choice_are_not_told() -> None:
    heard = StreamHeard(ask(choices=("yes",)))
    assert [piece for event in STREAM for piece in heard.hear(event)] == []


def test_a_stream_may_end_in_an_error() -> None:
    heard = StreamHeard(ask())
    heard.hear(STREAM[0])
    heard.hear(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert heard.done
    assert heard.outcome() == Failed(Cause.OVERLOADED, "Overloaded")


def test_a_stream_that_is_none_is_told() -> None:
    heard = StreamHeard(ask())
    heard.hear(b"hello")
    assert isinstance(heard.outcome(), Failed)


# What is refused --------------------------------------------------------------------------------------


def error(kind: str, why: str = "Why.") -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": why}, "request_id": "r"}).encode()


@pytest.mark.parametrize(
    ("status", "said", "cause"),
    [
        (400, error("invalid_request_error"), Cause.INVALID),
        (413, error("request_too_large"), Cause.TOO_LONG),
        (429, error("rate_limit_error"), Cause.OVERLOADED),
        (500, error("api_error"), Cause.UPSTREAM),
        (504, error("timeout_error"), Cause.TIMED_OUT),
        (529, error("overloaded_error"), Cause.OVERLOADED),
        (529, b"<html>", Cause.OVERLOADED),
        (502, b"<html>", Cause.UPSTREAM),
    ],
)
def test_a_refusal_is_a_failure_with_its_cause(status: int, said: bytes, cause: Cause) -> None:
    failed = failure_of(status, said)
    assert isinstance(failed, Failed)
    assert failed.cause is cause
    assert failed.detail in {"Why.", "<html>"}


@pytest.mark.parametrize(
    "why",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    ],
)
def test_a_prompt_that_is_too_long_is_told_from_one_that_is_wrong(why: str) -> None:
    assert failure_of(400, error("invalid_request_error", why)) == Failed(Cause.TOO_LONG, why)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
    ],
)
def test_a_caller_that_is_not_taken_is_told_from_a_request_that_is_not(status: int, kind: str) -> None:
    assert failure_of(status, error(kind)) == Rejected("Why.")


LIMITS = {
    "date": "Wed, 21 Oct 2026 07:28:00 GMT",
    "anthropic-ratelimit-requests-remaining": "3",
    "anthropic-ratelimit-requests-reset": "2026-10-21T09:00:00Z",
    "anthropic-ratelimit-tokens-remaining": "0",
    "anthropic-ratelimit-tokens-reset": "2026-10-21T07:28:40Z",
}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12", **LIMITS}, 12.0),
        (LIMITS, 40.0),
        ({**LIMITS, "date": ""}, None),
        ({}, None),
    ],
)
def test_how_long_to_stay_away_is_read_from_the_headers(
    headers: dict[str, str], seconds: float | None
) -> None:
    failed = failure_of(429, error("rate_limit_error"), headers)
    assert failed == Failed(Cause.OVERLOADED, "Why.", seconds)
