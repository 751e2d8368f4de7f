"""Chat completion requests become the Requests they mean."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.outcome import Answered, Candidate, Delta, Finish, TokenLogprob
from halfrate.domain.request import Choice, FunctionCall, FunctionReturn, Message, Role
from halfrate.domain.usage import Usage
from halfrate.wire.openai.chat import read_chat, understand
from halfrate.wire.openai.completions import CompletionStream, completion

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
SYSTEM = {"role": "system", "content": "be kind"}
CACHED = {"cached_content": "cachedContents/abc"}
PIXEL = "data:image/png;base64,aGVsbG8="


def request(**fields: object):
    return understand(read_chat(json.dumps({"model": "m", "messages": [USER]} | fields).encode()))


def test_what_system_and_developer_say_is_one_instruction_and_goes_first():
    said = request(
        messages=[
            {"role": "system", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            {"role": "assistant", "content": "d", "refusal": None, "annotations": [], "tool_calls": None},
            {"role": "developer", "content": "e"},
            {"role": "user", "content": "f", "name": "ann"},
        ]
    )
    assert said.messages == (
        Message(Role.SYSTEM, "a\n\ne"),
        Message(Role.USER, "b\nc"),
        Message(Role.MODEL, "d"),
        Message(Role.USER, "f"),
    )


def test_calls_and_what_they_gave_back():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    other = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}
    said = request(
        messages=[
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call, other]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"y": 2}'},
            {"role": "tool", "tool_call_id": "c2", "content": "plain words"},
        ],
        tools=[TOOL],
    )
    assert said.messages[1].calls == (FunctionCall("f", '{"x":1}', "c1"), FunctionCall("g", "{}", "c2"))
    assert said.messages[2] == Message(
        Role.TOOL,
        "",
        returns=(
            FunctionReturn("f", '{"y":2}', "c1"),
            FunctionReturn("g", '{"result":"plain words"}', "c2"),
        ),
    )


def test_an_image_is_attached_where_it_stands():
    said = request(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
                ],
            }
        ]
    )
    attached = said.messages[0].attachments[0]
    assert (attached.at, attached.mime_type, attached.data) == (3, "image/png", b"hello")


def test_how_to_decode():
    sampling = request(
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        seed=2**40 + 3,
        presence_penalty=1,
        frequency_penalty=-1,
        stop="x",
        n=2,
        logprobs=True,
        top_logprobs=4,
        reasoning_effort="low",
    ).sampling
    assert (sampling.max_output_tokens, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)
    assert (sampling.seed, sampling.presence_penalty, sampling.frequency_penalty) == (3, 1, -1)
    assert (sampling.stop, sampling.candidates, sampling.logprobs) == (("x",), 2, 4)
    assert sampling.thinking_budget == 1_024
    assert request(max_tokens=3).sampling.max_output_tokens == 3


def test_the_form_of_the_answer():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    assert json.loads(request(response_format=form).sampling.json_schema or "") == schema
    assert request(response_format={"type": "json_object"}).sampling.json_schema == '{"type":"object"}'
    assert request(response_format={"type": "text"}).sampling.json_schema is None


@pytest.mark.parametrize(
    ("choice", "meant", "allowed"),
    [
        ("auto", Choice.AUTO, ()),
        ("none", Choice.NONE, ()),
        ("required", Choice.ANY, ()),
        ({"type": "function", "function": {"name": "f"}}, Choice.ANY, ("f",)),
    ],
)
def test_tools(choice, meant, allowed):
    functions = request(tools=[TOOL], tool_choice=choice).functions
    assert functions is not None
    assert functions.several
    one = request(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False).functions
    assert one == replace(functions, several=False)
    assert (functions.choice, functions.allowed) == (meant, allowed)
    assert functions.declarations[0].parameters == '{"type":"object","properties":{}}'


@pytest.mark.parametrize(
    "around", [lambda google: {"google": google}, lambda g: {"extra_body": {"google": g}}]
)
def test_what_geminis_layer_adds(around):
    said = request(
        **around(
            {
                "cached_content": "cachedContents/abc",
                "thinking_config": {"thinking_budget": 9, "include_thoughts": True},
            }
        )
    )
    assert said.cache == "abc"
    assert (said.sampling.thinking_budget, said.sampling.include_thoughts) == (9, True)


def test_what_has_no_effect_is_taken():
    fields = {"user": "u", "store": True, "metadata": {"a": "b"}, "service_tier": "flex", "stream": False}
    assert request(**fields, prompt_cache_key="k", safety_identifier="s") == request()


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"foo": 1}, "foo", "Unknown parameter: 'foo'"),
        ({"messages": [{"role": "user", "content": "x", "foo": 1}]}, "messages[0].foo", "Unknown parameter"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "Missing required parameter"),
        ({"messages": []}, "messages", "empty"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "ends with role 'assistant'"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "instructions only"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "no message before"),
        ({"temperature": 3}, "temperature", "not from 0 to 2"),
        ({"temperature": "hot"}, "temperature", "Invalid type"),
        ({"n": 9}, "n", "not from 1 to 8"),
        ({"max_tokens": 0}, "max_tokens", "not from 1"),
        ({"stop": ["a"] * 6}, "stop", "at most 5"),
        ({"top_logprobs": 2}, "top_logprobs", "only when logprobs"),
        ({"tool_choice": "required"}, "tool_choice", "tools is empty"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "tools is empty"),
        ({"tools": [TOOL, TOOL]}, "tools", "twice"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "Only functions"),
        ({"tools": [TOOL] * 129}, "tools", "at most 128"),
        ({"google": {"cached_content": "abc"}}, "google.cached_content", "cachedContents/ID"),
        ({"google": CACHED, "tools": [TOOL]}, "google.cached_content", "no tools"),
        ({"google": CACHED, "messages": [SYSTEM, USER]}, "google.cached_content", "no system"),
        ({"google": CACHED, "extra_body": {"google": CACHED}}, "google", "given twice"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format", "exclude"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", "Missing"),
        ({"logit_bias": {"1": 2}}, "logit_bias", "not possible"),
        ({"modalities": ["audio"]}, "modalities", "Ask for text"),
        ({"functions": []}, "functions", "Use tools"),
        (
            {"reasoning_effort": "low", "google": {"thinking_config": {"thinking_budget": 1}}},
            "reasoning_effort",
            "Set one",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(fields, param, says):
    with pytest.raises(InvalidArgument, match=says) as refused:
        request(**fields)
    assert refused.value.violations[0][0].startswith(param)


def test_images_come_from_nowhere_else():
    part = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    with pytest.raises(InvalidArgument, match="fetches nothing"):
        request(messages=[{"role": "user", "content": [part]}])


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"model":' + b"[" * 5_000,
        b"[" * 100_000,
        b'{"model": "m", "messages": [], "metadata": "\xff"}',
        b'{"model": "m", "messages": [], "metadata": ' + b"[" * 200 + b"]" * 200 + b"}",
    ],
)
def test_what_is_no_request_is_refused(raw):
    with pytest.raises(InvalidArgument):
        read_chat(raw)


ANSWER = Answered(
    (
        Candidate("a b", Finish.STOP, logprobs=(TokenLogprob("é", 7, -0.5, (TokenLogprob("é", 7, -0.5),)),)),
        Candidate("", Finish.STOP, "hm", 3, (FunctionCall("f", "{}", None),)),
        Candidate("cut", Finish.LENGTH),
    ),
    Usage(5, 9, 2),
)


def test_a_completion():
    shown = completion(ANSWER, id="1", model="m", created=12.7)
    assert (shown["id"], shown["object"], shown["created"]) == ("chatcmpl-1", "chat.completion", 12)
    assert [choice["finish_reason"] for choice in shown["choices"]] == ["stop", "tool_calls", "length"]
    step = shown["choices"][0]["logprobs"]["content"][0]
    assert (step["token"], step["logprob"], step["bytes"]) == ("é", -0.5, [195, 169])
    assert step["top_logprobs"] == [{"token": "é", "logprob": -0.5, "bytes": [195, 169]}]
    message = shown["choices"][1]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "hm")
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert message["tool_calls"][0]["id"]
    assert shown["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 9,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_a_stream_says_what_the_completion_says():
    stream = CompletionStream(id="1", model="m", created=1, candidates=3, include_usage=True)
    pieces = [Delta("a "), Delta(thought="h", index=1), Delta("c", index=2)]
    events = [*stream.begin(), *map(stream.piece, pieces), *stream.end(ANSWER)]
    said: list[dict] = [{"content": "", "reasoning_content": "", "tool_calls": []} for _ in range(3)]
    finishes: dict[int, str] = {}
    for event in map(json.loads, events[:-1]):
        (choice,) = event["choices"]
        assert event["usage"] is None
        delta = choice["delta"]
        for name in ("content", "reasoning_content"):
            said[choice["index"]][name] += delta.get(name) or ""
        said[choice["index"]]["tool_calls"] += delta.get("tool_calls", [])
        if choice["finish_reason"]:
            finishes[choice["index"]] = choice["finish_reason"]
    assert [one["content"] for one in said] == ["a b", "", "cut"]
    assert said[1]["reasoning_content"] == "hm"
    assert said[1]["tool_calls"][0]["index"] == 0
    assert finishes == {0: "stop", 1: "tool_calls", 2: "length"}
    last = json.loads(events[-1])
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 14)
