"""What may stand in a request beside its texts."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode

import pytest

from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish, TokenLogprob
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
from halfrate.wire.gemini.lines import Line, parse_line
from halfrate.wire.gemini.models import GeneratedStream, generated

QUESTION = {"role": "user", "parts": [{"text": "q"}]}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
}
SCHEMA = '{"type":"object","properties":{"city":{"type":"string"}}}'


def read(request: dict) -> Request | Failed:
    line = parse_line(json.dumps({"key": "k", "request": request}).encode())
    assert isinstance(line, Line), line
    return line.request


def ask(*contents: dict, **fields: object) -> dict:
    return {"contents": list(contents) or [QUESTION], **fields}


def refused(request: dict) -> str:
    failed = read(request)
    assert isinstance(failed, Failed), failed
    assert failed.cause is Cause.INVALID
    return failed.detail


# Functions --------------------------------------------------------------------------------------------


def test_functions_are_declared_and_chosen():
    asked = ask(
        tools=[{"function_declarations": [WEATHER]}, {"functionDeclarations": {"name": "now"}}],
        toolConfig={"function_calling_config": {"mode": "ANY", "allowedFunctionNames": ["now"]}},
    )
    request = read(asked)
    assert isinstance(request, Request)
    weather = FunctionDeclaration("weather", "Tells the weather.", SCHEMA)
    now = FunctionDeclaration("now")
    assert request.functions == Functions((weather, now), Choice.ANY, ("now",))
    assert request.functions.callable == (now,)


@pytest.mark.parametrize(
    ("mode", "choice"),
    [(None, Choice.AUTO), ("AUTO", Choice.AUTO), ("VALIDATED", Choice.AUTO), ("NONE", Choice.NONE)],
)
def test_modes(mode, choice):
    config = {"functionCallingConfig": {} if mode is None else {"mode": mode}}
    request = read(ask(tools=[{"functionDeclarations": [WEATHER]}], toolConfig=config))
    assert isinstance(request, Request)
    assert request.functions is not None
    assert request.functions.choice is choice
    assert bool(request.functions.callable) == (choice is not Choice.NONE)


def test_either_schema_describes_the_arguments():
    plain = {"name": "weather", "parametersJsonSchema": {"type": "object", "properties": {"city": {}}}}
    request = read(ask(tools=[{"functionDeclarations": [plain]}]))
    assert isinstance(request, Request)
    assert request.functions is not None
    assert request.functions.declarations[0].parameters == '{"type":"object","properties":{"city":{}}}'


def test_calls_and_what_they_gave_back():
    request = read(
        ask(
            QUESTION,
            {"role": "model", "parts": [{"functionCall": {"id": "1", "name": "f", "args": {"a": 1.50}}}]},
            {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"r": [1]}}}]},
        )
    )
    assert isinstance(request, Request)
    assert request.messages[1] == Message(Role.MODEL, "", calls=(FunctionCall("f", '{"a":1.5}', "1"),))
    assert request.messages[2] == Message(Role.TOOL, "", returns=(FunctionReturn("f", '{"r":[1]}'),))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (ask(tools=[{"functionDeclarations": [{"name": "1x"}]}]), "must begin with a letter"),
        (ask(tools=[{"functionDeclarations": [{}]}]), "tools[0].function_declarations[0].name"),
        (ask(tools=[{"functionDeclarations": [WEATHER, WEATHER]}]), "'weather' twice"),
        (
            ask(tools=[{"functionDeclarations": [{"name": f"f{n}"} for n in range(129)]}]),
            "at most 128 are allowed",
        ),
        (
            ask(tools=[{"functionDeclarations": [WEATHER | {"parametersJsonSchema": {}}]}]),
            "both parameters and parameters_json_schema",
        ),
        (
            ask(tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "STRING"}}]}]),
            "must describe an object",
        ),
        (
            ask(tools=[{"functionDeclarations": [{"name": "f", "parameters": {"foo": 1}}]}]),
            "no such field: 'foo'",
        ),
        (ask(toolConfig={"functionCallingConfig": {"mode": "ANY"}}), "declares no function"),
        (
            ask(
                tools=[{"functionDeclarations": [WEATHER]}],
                toolConfig={"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["weather"]}},
            ),
            "only with the modes ANY and VALIDATED",
        ),
        (
            ask(
                tools=[{"functionDeclarations": [WEATHER]}],
                toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}},
            ),
            "allowed_function_names has 'x'",
        ),
        (
            ask(
                tools=[{"functionDeclarations": [WEATHER]}],
                generationConfig={"responseMimeType": "application/json"},
            ),
            "leave one of them out",
        ),
        (ask({"role": "user", "parts": [{"functionCall": {"name": "f"}}]}), "role is not 'model'"),
        (ask(QUESTION, {"role": "model", "parts": [{"functionCall": {}}]}, QUESTION), "name is missing"),
        (
            ask({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": [1]}}]}),
            "must be an object",
        ),
        (
            ask(
                QUESTION,
                {"role": "model", "parts": [{"functionResponse": {"name": "f"}}]},
                QUESTION,
            ),
            "its role must be 'user' or 'function'",
        ),
        (ask({"role": "function", "parts": [{"text": "x"}]}), "has no function_response"),
    ],
)
def test_what_is_wrong_with_functions_is_said(request_, says):
    assert says in refused(request_)


# Files and images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode, lambda data: b64encode(data).rstrip(b"=")])
def test_text_inside_a_request_is_read_as_text(encode):
    data = encode("a,b\n1,é?>~".encode()).decode()
    parts = [{"text": "See:"}, {"inlineData": {"mimeType": "text/csv; charset=utf-8", "data": data}}]
    request = read(ask({"parts": parts}))
    assert isinstance(request, Request)
    assert request.messages == (Message(Role.USER, "See:\na,b\n1,é?>~"),)


def test_images_and_files_are_attached_where_they_stand():
    parts = [
        {"text": "ab"},
        {"inline_data": {"mime_type": "image/png", "data": "AAE="}},
        {"text": "c"},
        {"fileData": {"fileUri": "http://h/v1beta/files/x"}},
    ]
    request = read(ask({"parts": parts}))
    assert isinstance(request, Request)
    (message,) = request.messages
    assert message.text == "ab\nc"
    assert message.attachments == (
        Attachment(2, "image/png", b"\x00\x01"),
        Attachment(4, "", uri="http://h/v1beta/files/x"),
    )


def test_only_a_user_attaches():
    image = {"inlineData": {"mimeType": "image/png", "data": ""}}
    assert "Only a turn of role 'user'" in refused(ask(systemInstruction={"parts": [image]}))


# Caches -----------------------------------------------------------------------------------------------


def test_a_cache_is_named():
    request = read(ask(cachedContent="cachedContents/abc"))
    assert isinstance(request, Request)
    assert request.cache == "abc"


@pytest.mark.parametrize(
    "beside",
    [
        {"systemInstruction": {"parts": [{"text": "s"}]}},
        {"tools": [{"functionDeclarations": [WEATHER]}]},
        {"toolConfig": {}},
    ],
)
def test_a_cache_has_what_goes_before_the_contents(beside):
    assert "CachedContent can not be used with" in refused(ask(cachedContent="cachedContents/abc", **beside))


# How to decode ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "sampling"),
    [
        (
            {
                "responseMimeType": "text/x.enum",
                "responseSchema": {"type": "STRING", "enum": ["b", "a", "b"]},
            },
            Sampling(choices=("b", "a")),
        ),
        (
            {"responseMimeType": "text/x.enum", "responseJsonSchema": {"enum": ["a"]}},
            Sampling(choices=("a",)),
        ),
        ({"candidateCount": 2}, Sampling(candidates=2)),
        ({"responseLogprobs": True}, Sampling(logprobs=0)),
        ({"responseLogprobs": True, "logprobs": 3}, Sampling(logprobs=3)),
        ({"thinkingConfig": {"thinkingBudget": -1}}, Sampling(thinking_budget=-1)),
        ({"thinkingConfig": {"thinkingLevel": "MINIMAL"}}, Sampling(thinking_budget=0)),
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, Sampling(thinking_budget=-1)),
        ({"thinkingConfig": {"includeThoughts": True}}, Sampling(include_thoughts=True)),
    ],
)
def test_how_to_decode(config, sampling):
    request = read(ask(generationConfig=config))
    assert isinstance(request, Request)
    assert request.sampling == sampling


# Answers ----------------------------------------------------------------------------------------------


def test_everything_an_answer_may_have():
    steps = (
        TokenLogprob("a", 7, -0.5, (TokenLogprob("a", 7, -0.5), TokenLogprob("b", 8, -1.5))),
        TokenLogprob("c", 9, -1.5),
    )
    calls = (FunctionCall("f", '{"x":1}', "id"), FunctionCall("g", "{}"))
    answered = Answered(
        (
            Candidate("ac", Finish.STOP, "hm", 3, calls, steps),
            Candidate("", Finish.LENGTH, calls=calls[1:]),
        ),
        Usage(10, 9, 4),
    )
    body = json.loads(generated(answered, model_version="v", response_id="r"))
    first, second = body["candidates"]
    assert first["content"]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "ac"},
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "id"}},
        {"functionCall": {"name": "g", "args": {}}},
    ]
    assert first["avgLogprobs"] == -1
    assert first["logprobsResult"] == {
        "chosenCandidates": [
            {"token": "a", "tokenId": 7, "logProbability": -0.5},
            {"token": "c", "tokenId": 9, "logProbability": -1.5},
        ],
        "logProbabilitySum": -2,
        "topCandidates": [
            {
                "candidates": [
                    {"token": "a", "tokenId": 7, "logProbability": -0.5},
                    {"token": "b", "tokenId": 8, "logProbability": -1.5},
                ]
            },
            {"candidates": []},
        ],
    }
    assert second == {
        "content": {"parts": [{"functionCall": {"name": "g", "args": {}}}], "role": "model"},
        "finishReason": "MAX_TOKENS",
        "index": 1,
    }
    assert body["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 19,
        "cachedContentTokenCount": 4,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
    }


def test_the_end_of_a_stream_says_what_no_piece_said():
    stream = GeneratedStream(model_version="v", response_id="r")
    thought = json.loads(stream.piece(Delta(thought="h")))
    assert thought["candidates"][0]["content"]["parts"] == [{"text": "h", "thought": True}]
    stream.piece(Delta("a"))
    last = json.loads(stream.end(Answered((Candidate("abc", Finish.STOP, "hm"),), Usage(1, 2))))
    assert last["candidates"][0]["content"]["parts"] == [{"text": "m", "thought": True}, {"text": "bc"}]
