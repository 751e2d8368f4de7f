"""The API's own schema language, a subset of OpenAPI's, becomes JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

ANY_JSON = '{"anyOf":[{"type":"object"},{"type":"array"}]}'
"""What an answer obeys that must be JSON and was given no schema."""

_TYPES = {"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"}
_FORMATS = {"date-time", "date", "time", "duration", "email", "uuid", "uri", "ipv4", "ipv6"}


def json_schema(raw: bytes) -> str:
    """Return JSON Schema text that allows what the schema in ``raw`` allows.

    Property order follows ``propertyOrdering``. Raise `ValueError` with the path of what is wrong,
    ready to follow the name of the field the schema came in.
    """
    try:
        schema = msgspec.json.decode(raw)
    except ValueError as error:
        raise ValueError(f" is not JSON: {error}.") from None
    return msgspec.json.encode(_convert(schema, "")).decode()


def _convert(schema: Any, path: str) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise ValueError(f"{path} must be an object.")
    given = {_field(name, path): value for name, value in schema.items() if value is not None}
    converted: dict[str, Any] = {}
    for name, value in given.items():
        converter = _FIELDS[name]
        if converter is not None:
            converted |= converter(value, f"{path}.{name}")
    _order_properties(converted, given.get("propertyOrdering"), path)
    return _or_null(converted) if given.get("nullable") is True else converted


def _field(name: str, path: str) -> str:
    camel = _CAMEL.get(name, name)
    if camel not in _FIELDS:
        raise ValueError(f"{path} has no such field: {name!r}.")
    return camel


def _or_null(converted: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in converted or "enum" in converted or "type" not in converted:
        return {"anyOf": [converted, {"type": "null"}]}
    return converted | {"type": [converted["type"], "null"]}


def _order_properties(converted: dict[str, Any], order: Any, path: str) -> None:
    properties = converted.get("properties")
    if order is None or not properties:
        return
    named = order if isinstance(order, list) else [None]
    if not all(isinstance(name, str) and name in properties for name in named):
        raise ValueError(f"{path}.propertyOrdering must list names of properties.")
    converted["properties"] = {name: properties[name] for name in named} | properties


# One function per kind of field -----------------------------------------------------------------------


def _type(value: Any, path: str) -> dict[str, Any]:
    kind = value.upper() if isinstance(value, str) else ""
    if kind == "TYPE_UNSPECIFIED":
        return {}
    if kind not in _TYPES:
        raise ValueError(f"{path} is {value!r}; it must be one of {', '.join(sorted(_TYPES))}.")
    return {"type": kind.lower()}


def _format(value: Any, _path: str) -> dict[str, Any]:
    return (
        {"format": value} if isinstance(value, str) and value in _FORMATS else {}
    )  # int32, double, enum say nothing to JSON Schema


def _enum(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, list):
        raise ValueError(f"{path} must be a list.")
    return {"enum": value} if value else {}


def _as(keyword: str, kind: type | tuple[type, ...], what: str) -> Callable[[Any, str], dict[str, Any]]:
    def convert(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{path} must be {what}.")
        return {keyword: value}

    return convert


def _count(keyword: str) -> Callable[[Any, str], dict[str, Any]]:
    def convert(value: Any, path: str) -> dict[str, Any]:
        try:
            count = msgspec.convert(value, int, strict=False)
        except msgspec.ValidationError:
            raise ValueError(f"{path} must be a whole number.") from None
        return {keyword: count}

    return convert


def _required(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{path} must be a list of names.")
    return {"required": value}


def _properties(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{path} must be an object.")
    return {"properties": {name: _convert(inner, f"{path}.{name}") for name, inner in value.items()}}


def _items(value: Any, path: str) -> dict[str, Any]:
    return {"items": _convert(value, path)}


def _any_of(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{path} must be a list of schemas.")
    return {"anyOf": [_convert(inner, f"{path}[{index}]") for index, inner in enumerate(value)]}


def _additional(value: Any, path: str) -> dict[str, Any]:
    return {"additionalProperties": value if isinstance(value, bool) else _convert(value, path)}


_number = (int, float)
_FIELDS: dict[str, Callable[[Any, str], dict[str, Any]] | None] = {
    "type": _type,
    "format": _format,
    "title": _as("title", str, "a string"),
    "description": _as("description", str, "a string"),
    "nullable": None,
    "enum": _enum,
    "items": _items,
    "minItems": _count("minItems"),
    "maxItems": _count("maxItems"),
    "properties": _properties,
    "required": _required,
    "propertyOrdering": None,
    "minProperties": _count("minProperties"),
    "maxProperties": _count("maxProperties"),
    "additionalProperties": _additional,
    "minLength": _count("minLength"),
    "maxLength": _count("maxLength"),
    "pattern": _as("pattern", str, "a string"),
    "minimum": _as("minimum", _number, "a number"),
    "maximum": _as("maximum", _number, "a number"),
    "anyOf": _any_of,
    "example": None,
    "default": None,
}
_CAMEL = {
    "min_items": "minItems",
    "max_items": "maxItems",
    "property_ordering": "propertyOrdering",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "additional_properties": "additionalProperties",
    "min_length": "minLength",
    "max_length": "maxLength",
    "any_of": "anyOf",
}
