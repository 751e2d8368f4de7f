"""What is known of a JSON Schema before anything is compiled."""

from __future__ import annotations

import json

import pytest

from halfrate.engines.embedded.schema import (
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    BadSchema,
    UnenforcedSchema,
    check,
)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"type": "object", "properties": {"not": {"type": "string"}, "if": {"const": {"then": 1}}}},
        {"enum": [{"not": 1}], "default": {"contains": 2}},
        {"type": "array", "items": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "uniqueItems": False},
        True,
    ],
)
def test_a_schema_that_can_be_enforced_passes(schema: object) -> None:
    """Names of properties and values of enums are data, whatever they are called."""
    check(json.dumps(schema))


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"properties": {"a": {"type": "number", "multipleOf": 3}}},
        {"items": {"uniqueItems": True}},
        {"anyOf": [{"type": "array", "contains": {}}]},
        {"$defs": {"x": {"if": {}}}},
    ],
)
def test_a_promise_that_cannot_be_kept_is_not_made(schema: object) -> None:
    """The compiler passes over these keywords in silence."""
    with pytest.raises(UnenforcedSchema, match="cannot enforce"):
        check(json.dumps(schema))


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "3", '"a"', "[" * 100_000])
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(BadSchema):
        check(text)


def test_size_and_depth_are_bounded() -> None:
    """Native code recurses over a schema; the process must not end over one."""
    with pytest.raises(BadSchema, match="larger"):
        check(json.dumps({"description": "x" * SCHEMA_BYTES_MAX}))
    deep: object = {}
    for _ in range(SCHEMA_DEPTH_MAX):
        deep = {"items": deep}
    with pytest.raises(BadSchema, match="deep"):
        check(json.dumps(deep))
