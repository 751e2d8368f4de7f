"""Interactive calls, and models as clients see them."""

from __future__ import annotations

import json

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.outcome import Answered, Finish
from halfrate.domain.request import Message, Request, Role
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.models import (
    ModelFacts,
    generated,
    model_resource,
    parse_count_tokens,
    parse_generate,
    tokens_counted,
)
from halfrate.wire.gemini.pages import page, page_size

CONTENTS = '"contents": [{"parts": [{"text": "q"}]}]'
ASKED = Request((Message(Role.USER, "q"),))


def test_a_generate_call():
    assert parse_generate(f"{{{CONTENTS}}}".encode(), model="m") == ASKED
    assert parse_generate(f'{{{CONTENTS}, "model": "models/m"}}'.encode(), model="m") == ASKED


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"", InvalidArgument, "contents is empty"),
        (f'{{{CONTENTS}, "model": "models/x"}}'.encode(), InvalidArgument, "the URL names 'm'"),
        (f'{{{CONTENTS}, "tools": [{{"googleSearch": {{}}}}]}}'.encode(), InvalidArgument, "google_search"),
        (
            f'{{{CONTENTS}, "generationConfig": {{"logprobs": 1}}}}'.encode(),
            InvalidArgument,
            "response_logprobs is true",
        ),
    ],
)
def test_a_generate_call_that_is_refused(body, error, says):
    with pytest.raises(error, match=says):
        parse_generate(body, model="m")


def test_tokens_of_contents_or_of_a_whole_request():
    assert parse_count_tokens(f"{{{CONTENTS}}}".encode(), model="m") == ASKED
    whole = f'{{"generateContentRequest": {{{CONTENTS}, "systemInstruction": {{"parts": {{"text": "s"}}}}}}}}'
    assert parse_count_tokens(whole.encode(), model="m").messages[0] == Message(Role.SYSTEM, "s")
    with pytest.raises(InvalidArgument, match='Unknown name "systemInstruction": Cannot find field'):
        parse_count_tokens(f'{{{CONTENTS}, "systemInstruction": {{}}}}'.encode(), model="m")
    with pytest.raises(InvalidArgument, match="both"):
        parse_count_tokens(f'{{{CONTENTS}, "generateContentRequest": {{}}}}'.encode(), model="m")


def test_answers():
    body = generated(Answered.of("x", Finish.STOP, Usage(1, 2)), model_version="v", response_id="r")
    assert json.loads(body)["modelVersion"] == "v"
    assert json.loads(tokens_counted(7))["totalTokens"] == 7


def test_a_model_is_shown_as_the_api_does():
    facts = ModelFacts("gemini-x", "pocket-1", "", "Says hello.", 4096, 0.0)
    assert model_resource(facts) == {
        "name": "models/gemini-x",
        "baseModelId": "gemini-x",
        "version": "pocket-1",
        "displayName": "gemini-x",
        "description": "Says hello.",
        "inputTokenLimit": 4096,
        "outputTokenLimit": 4096,
        "supportedGenerationMethods": [
            "generateContent",
            "countTokens",
            "createCachedContent",
            "batchGenerateContent",
        ],
        "temperature": 0.0,
        "maxTemperature": 2.0,
    }


def test_a_model_that_thinks_says_so():
    facts = ModelFacts("m", "m", "", "", 4096, 0.0, thinks=True)
    assert model_resource(facts)["thinking"] is True


def test_page_sizes():
    assert page_size(None, default=10, most=100) == 10
    assert page_size("0", default=10, most=100) == 10
    assert page_size("7", default=10, most=100) == 7
    assert page_size("700", default=10, most=100) == 100
    for bad in ("-1", "x"):
        with pytest.raises(InvalidArgument, match="pageSize"):
            page_size(bad, default=10, most=100)


def test_pages():
    assert json.loads(page("files", [], None)) == {}
    assert json.loads(page("files", [{"a": 1}], "t")) == {"files": [{"a": 1}], "nextPageToken": "t"}
