"""What a field comes to that is known and not served: nothing, or a refusal that names it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from halfrate.domain.line import Line
from halfrate.domain.outcome import Answered, Candidate, Cause, Failed, Finish, TokenLogprob
from halfrate.domain.request import FunctionCall, Message, Request, Role
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.lines import parse_line
from halfrate.wire.gemini.responses import generate_response

PLAIN = Request((Message(Role.USER, "q"),))


def come_to(place: str, field: str, value: Any) -> Request | Failed:
    """Return what a request for "q" comes to with one more field: of itself, its part, or its config."""
    part: dict[str, Any] = {"text": "q"}
    config: dict[str, Any] = {}
    contents = [{"parts": [part]}]
    if field == "functionCall":
        contents[0]["role"] = "model"
        contents.append({"parts": [{"functionResponse": {"name": "f", "response": {}}}]})
    request: dict[str, Any] = {"contents": contents, "generationConfig": config}
    {"request": request, "part": part, "config": config}[place][field] = value
    if place == "part" and "text" in part and field not in REMARKS:
        del part["text"]
    line = parse_line(json.dumps({"request": request}).encode())
    assert isinstance(line, Line)
    return line.request


REMARKS = {"thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata", "mediaProcessing"}
BLOCK = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE", "method": "SEVERITY"}


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("request", "safetySettings", [BLOCK]),
        ("request", "serviceTier", "flex"),
        ("request", "store", True),
        ("request", "labels", {"team": "x"}),
        ("request", "toolConfig", {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {}}),
        ("request", "toolConfig", {"includeServerSideToolInvocations": True}),
        ("request", "continuationToken", "YQ=="),
        ("part", "thoughtSignature", "YQ=="),
        ("part", "videoMetadata", {"fps": 1}),
        ("part", "mediaResolution", {"level": "MEDIA_RESOLUTION_LOW"}),
        ("part", "partMetadata", {"a": 1}),
        ("part", "mediaProcessing", {}),
        ("config", "mediaResolution", "MEDIA_RESOLUTION_LOW"),
        ("config", "enableEnhancedCivicAnswers", True),
    ],
)
def test_what_is_taken_without_effect_changes_nothing(place, field, value):
    assert come_to(place, field, value) == PLAIN


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        *(
            ("request", "tools", [{tool: {}}])
            for tool in (
                "googleSearch",
                "googleSearchRetrieval",
                "codeExecution",
                "googleMaps",
                "fileSearch",
                "computerUse",
                "mcpServers",
            )
        ),
        ("part", "executableCode", {"language": "PYTHON", "code": "1"}),
        ("part", "codeExecutionResult", {"outcome": "OUTCOME_OK"}),
        ("part", "functionResponse", {"name": "f", "response": {}, "parts": [{}]}),
        ("part", "toolCall", {}),
        ("part", "toolResponse", {}),
        ("config", "responseModalities", ["IMAGE"]),
        ("config", "speechConfig", {"languageCode": "en"}),
        ("config", "imageConfig", {"aspectRatio": "1:1"}),
        ("config", "audioTranscriptionConfig", {"a": 1}),
        ("config", "responseFormat", {"a": 1}),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(place, field, value):
    failed = come_to(place, field, value)
    assert isinstance(failed, Failed)
    assert failed.cause is Cause.UNSUPPORTED
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in field)
    assert snake in failed.detail


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("request", "cachedContent", "cachedContents/c"),
        ("request", "tools", [{"functionDeclarations": [{"name": "f", "description": "d"}]}]),
        ("part", "inlineData", {"mimeType": "image/png", "data": "YQ==", "displayName": "a"}),
        ("part", "fileData", {"mimeType": "image/png", "fileUri": "files/a", "displayName": "a"}),
        ("part", "functionCall", {"name": "f", "args": {"a": 1}, "id": "1"}),
        ("part", "functionResponse", {"name": "f", "response": {"a": 1}, "id": "1"}),
        ("config", "thinkingConfig", {"includeThoughts": True, "thinkingBudget": 64}),
        ("config", "candidateCount", 2),
        ("config", "responseLogprobs", True),
    ],
)
def test_what_some_models_can_do_is_asked_of_them(place, field, value):
    request = come_to(place, field, value)
    assert isinstance(request, Request), request
    assert request != PLAIN


def test_what_a_function_says_of_its_answer_is_taken_without_effect():
    plain = come_to("request", "tools", [{"functionDeclarations": [{"name": "f"}]}])
    more = {"response": {"type": "STRING"}, "behavior": "BLOCKING"}
    assert come_to("request", "tools", [{"functionDeclarations": [{"name": "f", **more}]}]) == plain
    returned = {"name": "f", "response": {"a": 1}}
    remarks = {"scheduling": "SILENT", "willContinue": False}
    assert come_to("part", "functionResponse", returned | remarks) == come_to(
        "part", "functionResponse", returned
    )


def test_all_that_a_model_made_is_told():
    step = TokenLogprob("a", 1, -0.5, (TokenLogprob("b", 2, -1.5),))
    candidate = Candidate(
        "text",
        Finish.STOP,
        thought="hm",
        thought_tokens=3,
        calls=(FunctionCall("f", '{"a":1}', "id-1"),),
        logprobs=(step,),
    )
    answered = Answered((candidate,), Usage(5, 7))
    response = generate_response(answered, model_version="v", response_id="r")
    shown = json.loads(msgspec.json.encode(response))
    assert shown["candidates"][0]["content"]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "text"},
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "id-1"}},
    ]
    assert shown["candidates"][0]["avgLogprobs"] == -0.5
    assert shown["candidates"][0]["logprobsResult"] == {
        "chosenCandidates": [{"token": "a", "tokenId": 1, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "b", "tokenId": 2, "logProbability": -1.5}]}],
        "logProbabilitySum": -0.5,
    }
    assert shown["usageMetadata"]["thoughtsTokenCount"] == 3
    assert shown["usageMetadata"]["candidatesTokenCount"] == 4
