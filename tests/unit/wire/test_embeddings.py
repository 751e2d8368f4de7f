"""What a client may ask of an embedding model, and how vectors are written."""

from __future__ import annotations

import json
import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedded, Embedding, Purpose
from halfrate.domain.errors import InvalidArgument, Unimplemented
from halfrate.domain.kind import Kind
from halfrate.domain.line import Line
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.embeddings import (
    BATCH_MAX,
    batch_embedded_body,
    embedded_body,
    parse_batch_embed,
    parse_embed,
)
from halfrate.wire.gemini.lines import asked_of, parse_line, result_line

ONE = {"parts": [{"text": "one"}]}


def embed(**request: object) -> Embedding:
    return parse_embed(json.dumps(request).encode(), model="m")


def test_a_text_is_all_that_is_needed() -> None:
    assert embed(content=ONE) == Embedding("one")


@pytest.mark.parametrize("names", ["taskType outputDimensionality", "task_type output_dimensionality"])
def test_everything_that_can_be_asked_is_read(names: str) -> None:
    task, dimensions = names.split()
    content = {"role": "user", "parts": [{"text": "one"}, {"text": "two"}]}
    asked = embed(content=content, title="T", model="models/m", **{task: "RETRIEVAL_DOCUMENT", dimensions: 5})
    assert asked == Embedding("one\ntwo", Purpose.RETRIEVAL_DOCUMENT, "T", 5)


def test_every_task_type_is_known() -> None:
    for purpose in Purpose:
        assert embed(content=ONE, taskType=purpose.name).purpose is purpose
    assert embed(content=ONE, taskType="TASK_TYPE_UNSPECIFIED").purpose is None


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "content has no parts"),
        ({"content": {"parts": []}}, "content has no parts"),
        ({"content": {"parts": [{"text": ""}]}}, "content is empty"),
        ({"content": {"parts": [{"text": " \n"}, {"text": "\t"}]}}, "content is empty"),
        ({"content": ONE, "title": "T"}, "title: only a text with task_type RETRIEVAL_DOCUMENT"),
        ({"content": ONE, "title": "T", "taskType": "CLUSTERING"}, "title: only a text with task_type"),
        ({"content": ONE, "outputDimensionality": -1}, "output_dimensionality is -1"),
        ({"content": ONE, "taskType": "NONSENSE"}, "task_type"),
        ({"content": ONE, "model": "models/other"}, "model is 'models/other', but the URL names 'm'"),
        ({"content": ONE, "contents": [ONE]}, 'Unknown name "contents"'),
    ],
)
def test_what_makes_no_sense_is_refused(request_: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says.replace("[", r"\[")):
        embed(**request_)


def test_what_is_no_text_cannot_be_embedded() -> None:
    with pytest.raises(Unimplemented, match=r"content.parts\[1\].inline_data: only text can be embedded"):
        embed(content={"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]})


def test_a_call_may_hold_several_and_names_the_wrong_one() -> None:
    good, bad = {"content": ONE}, {"content": {"parts": [{"text": ""}]}}
    many = json.dumps({"requests": [good, good | {"outputDimensionality": "7"}]}).encode()
    assert parse_batch_embed(many, model="m") == [Embedding("one"), Embedding("one", dimensions=7)]
    with pytest.raises(InvalidArgument, match=r"^requests\[1\]\.content is empty"):
        parse_batch_embed(json.dumps({"requests": [good, bad]}).encode(), model="m")
    with pytest.raises(InvalidArgument, match="give at least one"):
        parse_batch_embed(b'{"requests": []}', model="m")
    with pytest.raises(InvalidArgument, match="at most 100 requests can be in one batch, and there are 101"):
        parse_batch_embed(json.dumps({"requests": [good] * (BATCH_MAX + 1)}).encode(), model="m")


# Lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key", "embedding"),
    [
        (b'{"key": "a", "request": {"content": {"parts": [{"text": "1"}]}}}', "a", Embedding("1")),
        (
            b'{"key": "a", "request": {"output_dimensionality": 3, "content": {"parts": [{"text": "1"}]}}}',
            "a",
            Embedding("1", dimensions=3),
        ),
        (b'{"content": {"parts": [{"text": "1"}]}}', None, Embedding("1")),
        (b'{"request": {"\\u0063ontent": {"parts": [{"text": "contents"}]}}}', None, Embedding("contents")),
        (b'{"content": {"parts": [{"text": "\\"contents\\""}]}}', None, Embedding('"contents"')),
    ],
)
def test_a_line_may_ask_for_an_embedding(raw: bytes, key: str | None, embedding: Embedding) -> None:
    assert parse_line(raw) == Line(key, None, None, embedding, Kind.EMBEDDING)


def test_a_line_whose_prompt_speaks_of_content_asks_for_a_text() -> None:
    line = parse_line(b'{"request": {"contents": [{"parts": [{"text": "the \\"content\\" of it"}]}]}}')
    assert isinstance(line, Line)
    assert isinstance(line.request, Request)


def test_a_line_that_can_never_be_embedded_is_of_its_kind_all_the_same() -> None:
    line = parse_line(b'{"key": "a", "request": {"content": {"parts": []}}}')
    assert isinstance(line, Line)
    assert line.kind is Kind.EMBEDDING
    assert isinstance(line.request, Failed)


def test_a_line_of_the_other_kind_is_not_asked() -> None:
    embedding, text = (
        parse_line(b'{"content": {"parts": [{"text": "1"}]}}'),
        parse_line(b'{"contents": [{"parts": [{"text": "1"}]}]}'),
    )
    assert isinstance(embedding, Line)
    assert isinstance(text, Line)
    assert asked_of(embedding, "m", Kind.EMBEDDING) == Embedding("1")
    for line, kind in ((embedding, Kind.GENERATION), (text, Kind.EMBEDDING)):
        failed = asked_of(line, "m", kind)
        assert isinstance(failed, Failed)
        assert failed.cause is Cause.INVALID
        assert "create the batch with" in failed.detail


def test_a_result_has_its_vector_and_its_tokens_wherever_an_sdk_looks_for_them() -> None:
    embedded = Embedded.of([0.5, -0.25], Usage(input_tokens=3))
    line = json.loads(result_line("k", embedded, metadata=b'{"a":1}', model_version="v", response_id="r"))
    assert line == {
        "key": "k",
        "metadata": {"a": 1},
        "response": {
            "embedding": {"values": [0.5, -0.25]},
            "tokenCount": "3",
            "usageMetadata": {
                "promptTokenCount": 3,
                "totalTokenCount": 3,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
            },
        },
    }


@given(st.lists(st.floats(-1, 1, width=32), min_size=1))
def test_vectors_are_written_to_the_last_bit(values: list[float]) -> None:
    embedded = Embedded.of(values, Usage(input_tokens=1))
    assert array("f", json.loads(embedded_body(embedded))["embedding"]["values"]) == array("f", values)
    assert embedded.values == array("f", values)


def test_vectors_of_a_call_come_in_order_with_the_tokens_of_all() -> None:
    made = [Embedded.of([1.0], Usage(input_tokens=2)), Embedded.of([-1.0], Usage(input_tokens=5))]
    body = json.loads(batch_embedded_body(made))
    assert body["embeddings"] == [{"values": [1]}, {"values": [-1]}]
    assert body["usageMetadata"]["promptTokenCount"] == 7
    assert math.isclose(sum(json.loads(embedded_body(made[0]))["embedding"]["values"]), 1)
