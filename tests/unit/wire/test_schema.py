"""The API's schema language becomes JSON Schema that allows the same answers."""

from __future__ import annotations

import json

import pytest

from halfrate.domain.request import Request
from halfrate.wire.gemini.content import GenerateContentRequest, understand
from halfrate.wire.gemini.lenient import Reader
from halfrate.wire.gemini.schema import json_schema

REQUESTS = Reader(GenerateContentRequest)


def schema_for(**config: object) -> str | None:
    request = {"contents": [{"parts": [{"text": "q"}]}], "generationConfig": config}
    asked = REQUESTS.read(json.dumps(request).encode())
    assert isinstance(asked, GenerateContentRequest)
    understood = understand(asked)
    assert isinstance(understood, Request), understood
    return understood.sampling.json_schema


def test_a_recipe():
    converted = json_schema(
        json.dumps(
            {
                "type": "OBJECT",
                "title": "Recipe",
                "required": ["name"],
                "property_ordering": ["ingredients", "name"],
                "properties": {
                    "name": {"type": "STRING", "nullable": True, "maxLength": "20", "example": "x"},
                    "ingredients": {"type": "ARRAY", "items": {"type": "STRING"}, "min_items": 1},
                    "servings": {"type": "INTEGER", "format": "int32", "minimum": 1, "maximum": 8.5},
                    "course": {"type": "STRING", "format": "enum", "enum": ["a", "b"], "nullable": True},
                    "when": {"anyOf": [{"type": "STRING", "format": "date-time"}, {"type": "NULL"}]},
                },
            }
        ).encode()
    )
    assert json.loads(converted) == {
        "type": "object",
        "title": "Recipe",
        "required": ["name"],
        "properties": {
            "ingredients": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "name": {"type": ["string", "null"], "maxLength": 20},
            "servings": {"type": "integer", "minimum": 1, "maximum": 8.5},
            "course": {"anyOf": [{"type": "string", "enum": ["a", "b"]}, {"type": "null"}]},
            "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        },
    }
    assert list(json.loads(converted)["properties"]) == ["ingredients", "name", "servings", "course", "when"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("5", " must be an object."),
        ('{"type": "OBJEKT"}', ".type is 'OBJEKT'"),
        ('{"properties": {"a": {"foo": 1}}}', ".properties.a has no such field: 'foo'"),
        ('{"anyOf": [{"items": []}]}', ".anyOf[0].items must be an object"),
        ('{"minItems": "x"}', ".minItems must be a whole number"),
        ('{"properties": {"a": {}}, "propertyOrdering": ["b"]}', ".propertyOrdering"),
        ('{"required": "a"}', ".required must be a list of names"),
        ('{"minimum": true}', ".minimum must be a number"),
    ],
)
def test_a_bad_schema_is_named_by_its_path(schema, says):
    with pytest.raises(ValueError) as caught:
        json_schema(schema.encode())
    assert says in str(caught.value)


def test_json_without_a_schema_is_an_object_or_a_list():
    assert json.loads(schema_for(responseMimeType="application/json") or "") == {
        "anyOf": [{"type": "object"}, {"type": "array"}]
    }


def test_a_json_schema_is_taken_as_it_is():
    schema = {"type": "object", "properties": {"min_items": {"type": "string"}}, "$defs": {}}
    text = schema_for(response_mime_type="application/json", response_json_schema=schema)
    assert json.loads(text or "") == schema


def test_plain_text_has_no_schema():
    assert schema_for(responseMimeType="text/plain") is None
    assert schema_for() is None
    assert schema_for(responseMimeType="text/plain", responseSchema=None) is None
