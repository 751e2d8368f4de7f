"""One line in: a Line or a Rejection, and never an exception. One Outcome out: one line of JSON."""

from __future__ import annotations

import copy
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfrate.domain.line import MODEL_CHARS_MAX, Line, Rejection
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.lines import asked_of, parse_line, result_line


def request_of(raw: bytes | dict) -> Request | Failed:
    line = parse_line(raw if isinstance(raw, bytes) else json.dumps(raw).encode())
    assert isinstance(line, Line), line
    return line.request


def failure_of(request: dict) -> Failed:
    failed = request_of({"request": request})
    assert isinstance(failed, Failed), failed
    return failed


def reason_for(raw: bytes) -> str:
    rejection = parse_line(raw)
    assert isinstance(rejection, Rejection), rejection
    return rejection.message


def ask(**config: object) -> dict:
    return {"contents": [{"parts": [{"text": "q"}]}], "generationConfig": config}


# What a line says ------------------------------------------------------------------------------------


def test_a_line_of_the_guide_is_read():
    line = parse_line(
        b'{"key": "request-1", "request": {"contents": [{"parts": [{"text": "Describe rain."}]}], '
        b'"generation_config": {"temperature": 0.7}}}'
    )
    assert line == Line(
        "request-1",
        None,
        None,
        Request((Message(Role.USER, "Describe rain."),), Sampling(temperature=0.7)),
    )


def test_everything_that_can_be_asked_is_read():
    request = {
        "model": "models/m",
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "thinking", "thought": True}, {"text": "c"}]},
            {"parts": [{"text": "d"}]},
        ],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "labels": {"team": "x"},
        "serviceTier": "flex",
        "store": False,
        "generationConfig": {
            "temperature": 0,
            "topP": 0.9,
            "topK": 40.0,
            "candidateCount": 1,
            "maxOutputTokens": "64",
            "stopSequences": ["END", "STOP"],
            "presencePenalty": 0.1,
            "frequencyPenalty": -0.2,
            "seed": 7,
            "responseModalities": ["TEXT"],
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "thinkingConfig": {"include_thoughts": True, "thinkingBudget": 128},
        },
    }
    line = parse_line(json.dumps({"key": "k", "request": request, "metadata": {"a": "b"}}).encode())
    assert isinstance(line, Line)
    assert (line.key, line.model) == ("k", "m")
    assert line.metadata is not None
    assert json.loads(line.metadata) == {"a": "b"}
    assert line.request == Request(
        (
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.USER, "a\nb"),
            Message(Role.MODEL, "c"),
            Message(Role.USER, "d"),
        ),
        Sampling(
            temperature=0,
            top_p=0.9,
            top_k=40,
            max_output_tokens=64,
            stop=("END", "STOP"),
            presence_penalty=0.1,
            frequency_penalty=-0.2,
            seed=7,
            thinking_budget=128,
            include_thoughts=True,
        ),
    )


def test_a_bare_request_is_read_without_a_key():
    assert parse_line(b'{"contents":[{"parts":[{"text":"q"}]}]}') == Line(
        None, None, None, Request((Message(Role.USER, "q"),))
    )
    assert request_of(b'{"contents":[{"parts":[{"text":"request"}]}]}') == Request(
        (Message(Role.USER, "request"),)
    )


def test_one_message_may_stand_for_a_list():
    assert request_of(b'{"contents":{"parts":{"text":"q"}}}') == Request((Message(Role.USER, "q"),))


def test_a_byte_order_mark_is_stripped():
    assert request_of(b'\xef\xbb\xbf{"contents":[{"parts":[{"text":"q"}]}]}') == Request(
        (Message(Role.USER, "q"),)
    )


def test_null_means_absent():
    request = {"contents": [{"role": None, "parts": [{"text": "q", "inlineData": None}]}], "tools": None}
    assert request_of({"request": request, "key": None, "metadata": None}) == request_of({"request": ask()})


def test_a_thinking_config_and_an_empty_config_change_nothing():
    assert request_of({"request": ask()}) == request_of({"request": ask(thinkingConfig={})})


def test_a_line_of_another_model_fails_by_itself_where_only_one_may_be_named():
    line = parse_line(b'{"request":{"model":"models/a","contents":[{"parts":[{"text":"q"}]}]}}')
    assert isinstance(line, Line)
    assert isinstance(asked_of(line, "a"), Request)
    assert isinstance(asked_of(line, "models/a"), Request)
    assert isinstance(asked_of(line, None), Request)
    failed = asked_of(line, "b")
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.INVALID
    assert "'a'" in failed.detail


@pytest.mark.parametrize(("sent", "known"), [("models/a", "a"), ("a", "a"), ("", None), ("models/", None)])
@pytest.mark.parametrize("form", ['{"request":{%s}}', "{%s}"])
@pytest.mark.parametrize(
    "asked", ['"contents":[{"parts":[{"text":"q"}]}]', '"content":{"parts":[{"text":"q"}]}']
)
def test_a_line_names_a_model_with_or_without_the_word_for_all_of_them(sent, known, form, asked):
    line = parse_line((form % f'"model":"{sent}",{asked}').encode())
    assert isinstance(line, Line)
    assert line.model == known


def test_a_name_too_long_for_a_model_fails_its_line():
    """Names are kept with the index, and a line may be four megabytes."""
    name = "m" * (MODEL_CHARS_MAX + 1)
    line = parse_line(b'{"request":{"model":"%s","contents":[{"parts":[{"text":"q"}]}]}}' % name.encode())
    assert isinstance(line, Line)
    assert line.model is None
    assert isinstance(line.request, Failed)
    assert "The model's name has 201 characters; it may have 200." in line.request.detail


# What a line may not say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "near column 1: unexpected end"),
        (b"   ", "unexpected end"),
        (b"[]", "near column 1: unexpected character: '['; expected '{'"),
        (b'{"key": "a", "request": []}', "near column 25: unexpected character: '['; expected '{'"),
        (b'{"key": 5, "request": {}}', "near column 9: unexpected character: '5'; expected a string"),
        (
            b'{"key": "a", "request": {"thinking_config": {}}}',
            "near column 26: no such field: 'thinking_config'",
        ),
        (b'{"request": {"contents": [{"parts": [{"texd": "q"}]}]}}', "near column 39: no such field: 'texd'"),
        (
            b'{"request": {"contents": [{"parts": [{"text": ["q"]}]}]}}',
            "near column 47: unexpected character: '['; expected a string",
        ),
        (
            b'{"request": {"contents": [{"parts": "q"}]}}',
            "near column 37: unexpected character: '\"'; expected '['",
        ),
        (
            b'{"request": {"generationConfig": {"temperature": "hot"}}}',
            "near column 50: unexpected character: '\"'; expected a number",
        ),
        (
            b'{"request": {"generationConfig": {"responseModalities": ["SMELL"]}}}',
            'near column 58: invalid enum value: "SMELL"',
        ),
        (
            b'{"request": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "ULTRA"}}}}',
            'near column 71: invalid enum value: "ULTRA"',
        ),
        (b'{"request": {"tools": [{"\xff": {}}]}}', "near column 26: byte 0xff is not UTF-8"),
        (b'{"request": {"labels": {"a": "\xff"}}}', "near column 31: byte 0xff is not UTF-8"),
        (b'{"request": {"contents": [}', "near column 27: unexpected character: '}'; expected a value"),
        (b'{"request": {}} {}', "near column 17: unexpected character: '{'; expected the end of the line"),
        (b'{"request": {"store": NaN}}', "near column 23: unexpected token: NaN"),
        (b'{"key": "\\ud800", "request": {}}', "near column 10: "),
        (b'{"key": "\xff", "request": {}}', "near column 10: byte 0xff is not UTF-8"),
        ('{"key": "Zoë", "request": {}, "é": 1}'.encode(), "near column 31: no such field: 'é'"),
        (b'{"key": "a", "contents": [], "request": {}}', "no such field: 'contents'"),
        (b'{"request": {}, "metadata": "x"}', "metadata: it must be an object"),
        (b'{"request": {}, "metadata": {"a": "\xff"}}', "near column 36: byte 0xff is not UTF-8"),
        (b'{"request": {}, "metadata": {"a": "\\ud800"}}', "near column 36: half a character"),
        (b"{'key': 'a'}", "near column 2"),
    ],
)
def test_an_unreadable_line_is_rejected_with_the_place(raw, reason):
    assert reason in reason_for(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"request":' * 100_000 + b"{}" + b"}" * 100_000,
        b'{"request":{"contents":[{"parts":[{"functionCall":' + b"[" * 99_999 + b"]" * 99_999 + b"}]}]}}",
        b'{"request":{"generationConfig":{"seed":' + b"9" * 100_000 + b"}}}",
        b'{"request":{"generationConfig":{"temperature":1e999}}}',
    ],
)
def test_hostile_depth_and_size_are_rejected(raw):
    assert reason_for(raw).startswith("invalid JSON")


# What cannot be answered -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "cause", "says"),
    [
        ({}, Cause.INVALID, "contents is empty"),
        ({"contents": []}, Cause.INVALID, "contents is empty"),
        ({"contents": [{"role": "user"}]}, Cause.INVALID, "contents[0].parts is empty"),
        ({"contents": [{"parts": [{}]}]}, Cause.INVALID, "contents[0].parts[0] is empty"),
        ({"contents": [{"role": "wizard", "parts": [{"text": "q"}]}]}, Cause.INVALID, "valid role"),
        ({"contents": [{"role": "model", "parts": [{"text": "q"}]}]}, Cause.UNSUPPORTED, "ends with a turn"),
        (ask() | {"tools": [{"googleSearch": {}}]}, Cause.UNSUPPORTED, "google_search"),
        (ask() | {"cachedContent": "c"}, Cause.INVALID, "cached_content"),
        (
            {"contents": [{"parts": [{"inline_data": {"mimeType": "audio/mp3", "data": "AAE="}}]}]},
            Cause.UNSUPPORTED,
            "contents[0].parts[0].inline_data",
        ),
        (
            {"contents": [{"parts": [{"inline_data": {"mimeType": "bad/mime_type", "data": "AAE="}}]}]},
            Cause.INVALID,
            "Unsupported MIME type: bad/mime_type",
        ),
        (
            {"contents": [{"parts": [{"inline_data": {"mimeType": "image/png", "data": "A"}}]}]},
            Cause.INVALID,
            "not base64",
        ),
        (
            {"contents": [{"parts": [{"inline_data": {"mimeType": "text/csv", "data": "/w=="}}]}]},
            Cause.INVALID,
            "not UTF-8",
        ),
        (
            {"contents": [{"parts": [{"text": "a"}, {"fileData": {"mimeType": "text/plain"}}]}]},
            Cause.INVALID,
            "contents[0].parts[1].file_data.file_uri",
        ),
        (
            {"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]},
            Cause.UNSUPPORTED,
            "contents[0].parts[0].executable_code",
        ),
        (
            {"contents": [{"parts": [{"text": "a", "functionCall": {"name": "f"}}]}]},
            Cause.INVALID,
            "both text and function_call",
        ),
        (ask(candidateCount=9), Cause.INVALID, "candidate_count"),
        (ask(candidateCount=0), Cause.INVALID, "candidate_count"),
        (ask(maxOutputTokens=0), Cause.INVALID, "max_output_tokens"),
        (ask(temperature=2.1), Cause.INVALID, "temperature is 2.1; it must be from 0 to 2"),
        (ask(temperature="NaN"), Cause.INVALID, "temperature"),
        (ask(topP=1.5), Cause.INVALID, "top_p"),
        (ask(topK=0.5), Cause.INVALID, "top_k"),
        (ask(topK="Infinity"), Cause.INVALID, "top_k"),
        (ask(seed=2**31), Cause.INVALID, "seed"),
        (ask(presencePenalty=3), Cause.INVALID, "presence_penalty"),
        (ask(logprobs=3), Cause.INVALID, "response_logprobs is true"),
        (ask(responseLogprobs=True, logprobs=21), Cause.INVALID, "logprobs is 21"),
        (ask(stopSequences=list("abcdef")), Cause.INVALID, "at most 5"),
        (ask(stopSequences=[""]), Cause.INVALID, "stop_sequences"),
        (ask(responseModalities=["AUDIO"]), Cause.UNSUPPORTED, "response_modalities"),
        (ask(speechConfig={}), Cause.UNSUPPORTED, "speech_config"),
        (ask(responseMimeType="text/x.enum"), Cause.INVALID, "Give a response_schema with an enum"),
        (
            ask(responseMimeType="text/x.enum", responseSchema={"type": "STRING"}),
            Cause.INVALID,
            "of type STRING and have an enum",
        ),
        (
            ask(thinkingConfig={"thinkingBudget": 1, "thinkingLevel": "LOW"}),
            Cause.INVALID,
            "both thinking_budget and thinking_level",
        ),
        (ask(responseMimeType="image/png"), Cause.INVALID, "response_mime_type"),
        (ask(responseSchema={"type": "STRING"}), Cause.INVALID, "text/plain"),
        (
            ask(responseMimeType="application/json", responseSchema={}, responseJsonSchema={}),
            Cause.INVALID,
            "both response_schema and response_json_schema",
        ),
        (
            ask(responseMimeType="application/json", responseSchema={"type": "OBJEKT"}),
            Cause.INVALID,
            "generation_config.response_schema.type is 'OBJEKT'",
        ),
        (
            ask(responseMimeType="application/json", responseJsonSchema=[]),
            Cause.INVALID,
            "generation_config.response_json_schema must be an object",
        ),
    ],
)
def test_what_cannot_be_answered_fails_by_itself_and_names_the_field(request_, cause, says):
    failed = failure_of(request_)
    assert failed.cause is cause
    assert says in failed.detail
    assert failed.detail.endswith(".")


# Properties ------------------------------------------------------------------------------------------

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
parts = st.fixed_dictionaries(
    {"text": texts}, optional={"thought": st.booleans(), "thought_signature": texts}
)
contents = st.fixed_dictionaries(
    {"parts": st.lists(parts, min_size=1, max_size=3)},
    optional={"role": st.sampled_from(["user", "model", "wizard"])},
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(-0.5, 2.5),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 50),
        "max_output_tokens": st.integers(0, 9) | st.integers(1, 9).map(str),
        "candidate_count": st.sampled_from([1, 1, 2]),
        "seed": st.integers(),
        "stop_sequences": st.lists(texts, max_size=6),
        "response_mime_type": st.sampled_from(["text/plain", "application/json"]),
        "response_json_schema": st.just({"type": "object", "min_properties": 1}),
        "thinking_config": st.fixed_dictionaries({}, optional={"thinking_budget": st.integers(-1, 9)}),
    },
)
requests = st.fixed_dictionaries(
    {"contents": st.lists(contents, min_size=1, max_size=3)},
    optional={
        "system_instruction": contents,
        "generation_config": configs,
        "cached_content": texts,
        "safety_settings": st.just([{"category": "X", "threshold": "OFF"}]),
        "labels": st.just({"a_b": "c_d"}),
    },
)


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


FREE = {"labels", "response_json_schema"}


def respelled(value: object, choose) -> object:
    """Spell names in camelCase where ``choose()`` says so, and leave free-form maps alone."""
    if isinstance(value, list):
        return [respelled(inner, choose) for inner in value]
    if isinstance(value, dict):
        return {
            camel(name) if choose() else name: inner if name in FREE else respelled(inner, choose)
            for name, inner in value.items()
        }
    return value


@given(requests, st.data())
def test_both_spellings_and_any_mixture_mean_the_same(request_, data):
    snake = request_of({"request": request_})
    assert request_of({"request": respelled(request_, lambda: True)}) == snake
    mixed = respelled(request_, lambda: data.draw(st.booleans()))
    assert request_of({"request": mixed}) == snake
    assert request_of(mixed) == snake


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line_or_a_rejection(raw):
    assert isinstance(parse_line(raw), Line | Rejection)


@given(any_json)
def test_any_json_is_a_line_or_a_rejection(value):
    assert isinstance(parse_line(json.dumps({"request": value}).encode()), Line | Rejection)
    assert isinstance(
        parse_line(json.dumps({"contents": value, "metadata": value}).encode()), Line | Rejection
    )


@settings(max_examples=300)
@given(requests, st.data())
def test_a_damaged_line_is_a_line_or_a_rejection(request_, data):
    raw = bytearray(json.dumps({"key": "k", "request": request_, "metadata": {"a": "b"}}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert isinstance(parse_line(bytes(raw)), Line | Rejection)


EVERYTHING = {
    "model": "models/m",
    "contents": [{"role": "user", "parts": [{"text": "x", "thought": False, "thoughtSignature": "AA=="}]}],
    "systemInstruction": {"parts": [{"text": "s"}]},
    "safetySettings": [{"category": "X", "threshold": "OFF", "method": "m"}],
    "serviceTier": "flex",
    "store": True,
    "labels": {"a": "b"},
    "continuationToken": "AA",
    "generationConfig": {
        "temperature": 0.5,
        "topK": 40.0,
        "candidateCount": 1,
        "stopSequences": ["END"],
        "responseLogprobs": False,
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "properties": {"a": {"type": "STRING", "format": "date", "enum": ["a"], "nullable": True}},
            "required": ["a"],
            "propertyOrdering": ["a"],
            "anyOf": [{"type": "NULL"}],
            "items": {"type": "STRING", "pattern": "a"},
            "minItems": "1",
            "minimum": 1,
            "additionalProperties": False,
        },
        "responseModalities": ["TEXT"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1, "thinkingLevel": "LOW"},
    },
}
UNBUILT = {
    "tools": [{"googleSearch": {}}],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    "cachedContent": "cachedContents/c",
    "contents": [
        {"parts": [{"inlineData": {"mimeType": "a/b", "data": "AA=="}}, {"functionCall": {"name": "f"}}]}
    ],
}
odd_values = any_json | st.sampled_from([[[]], [{}], [None], "NaN", "null", 10**40, 1e300, -1, "1"])


@settings(max_examples=500)
@given(requests | st.just(EVERYTHING) | st.just(EVERYTHING | UNBUILT), odd_values, st.data())
def test_a_wrong_value_anywhere_is_a_line_or_a_rejection(request_, wrong, data):
    request_ = copy.deepcopy(request_)  # what was drawn may be shared with the next example
    holder: dict | list = {"request": request_}
    while True:
        key = data.draw(st.sampled_from(list(holder if isinstance(holder, dict) else range(len(holder)))))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 3)) == 0:
            break
        holder = inner
    holder[key] = wrong
    raw = json.dumps({"request": request_}).encode()
    assert isinstance(parse_line(raw), Line | Rejection)


# Results ---------------------------------------------------------------------------------------------


def test_an_answer_is_written_as_the_api_does():
    answered = Answered.of("Hello", Finish.STOP, Usage(input_tokens=3, output_tokens=4, cached_tokens=2))
    assert json.loads(result_line("k", answered, model_version="m", response_id="r")) == {
        "key": "k",
        "response": {
            "candidates": [
                {
                    "content": {"parts": [{"text": "Hello"}], "role": "model"},
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 3,
                "candidatesTokenCount": 4,
                "totalTokenCount": 7,
                "cachedContentTokenCount": 2,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
                "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
            },
            "modelVersion": "m",
            "responseId": "r",
        },
    }


def test_an_answer_without_cached_tokens_does_not_mention_them():
    answered = Answered.of("", Finish.LENGTH, Usage(input_tokens=3))
    result = json.loads(result_line(None, answered, model_version="m", response_id="r"))
    assert "key" not in result
    assert "cachedContentTokenCount" not in result["response"]["usageMetadata"]
    assert result["response"]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert result["response"]["candidates"][0]["content"]["parts"] == [{"text": ""}]


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (Cause.INVALID, 3),
        (Cause.UNSUPPORTED, 12),
        (Cause.TOO_LONG, 3),
        (Cause.OVERLOADED, 14),
        (Cause.TIMED_OUT, 4),
        (Cause.ENGINE_DIED, 14),
        (Cause.INTERNAL, 13),
        (Cause.CANCELLED, 1),
        (Cause.EXPIRED, 4),
    ],
)
def test_a_failure_is_written_with_its_grpc_code(cause, code):
    line = result_line("k", Failed(cause, "why"), model_version="m", response_id="r")
    assert json.loads(line) == {"key": "k", "error": {"code": code, "message": "why"}}


def test_inline_metadata_is_echoed_byte_for_byte():
    metadata = b'{"a" : "b",  "n": 1.50}'
    failed = Failed(Cause.INTERNAL, "why")
    item = result_line(None, failed, metadata=metadata, model_version="m", response_id="r")
    assert metadata in item
    assert json.loads(item)["metadata"] == {"a": "b", "n": 1.5}


@given(texts, texts, st.builds(Usage, st.integers(0, 99), st.integers(0, 99), st.integers(0, 9)))
def test_a_result_is_one_line_of_json(key, text, usage):
    line = result_line(key, Answered.of(text, Finish.STOP, usage), model_version="m", response_id="r")
    assert b"\n" not in line
    read = json.loads(line)
    assert read["key"] == key
    assert read["response"]["candidates"][0]["content"]["parts"][0]["text"] == text
