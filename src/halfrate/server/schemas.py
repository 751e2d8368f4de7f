"""JSON Schemas of the Structs that `halfrate.wire` reads and writes."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from enum import Enum
from inspect import cleandoc
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Raw

from halfrate.server.manual import Json
from halfrate.wire.gemini.batches import InlinedEmbedding, InlinedRequest, InlinedRequests
from halfrate.wire.gemini.content import Call, GenerateContentRequest, Return
from halfrate.wire.gemini.functions import FunctionDeclarationSent
from halfrate.wire.gemini.generation_config import GenerationConfig
from halfrate.wire.gemini.lenient import Message, in_camel_case
from halfrate.wire.gemini.responses import FunctionCallSent
from halfrate.wire.gemini.shapes import BatchWebhookConfig, InlinedResponse
from halfrate.wire.gemini.webhooks import WebhookConfig
from halfrate.wire.openai.chat import DeclaredFunction, NamedSchema
from halfrate.wire.openai.reading import Sent
from halfrate.wire.openai.shapes import Told

_OF_OPENAI = (Sent, Told)
"""Bases of what OpenAI's dialect has. It says null; in the other one, null is the same as nothing."""

REF = "#/components/schemas/"

_PLAIN: dict[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Raw: {},
    Any: {},
    types.NoneType: {"type": "null"},
}


_INSIDE: dict[tuple[type[msgspec.Struct], str], Any] = {
    (InlinedRequests, "requests"): list[InlinedRequest | InlinedEmbedding],
    (InlinedRequest, "metadata"): dict[str, Any],
    (InlinedEmbedding, "metadata"): dict[str, Any],
    (InlinedResponse, "metadata"): dict[str, Any],
    (WebhookConfig, "userMetadata"): dict[str, Any],
    (BatchWebhookConfig, "userMetadata"): dict[str, Any],
    (Call, "args"): dict[str, Any],
    (Return, "response"): dict[str, Any],
    (FunctionDeclarationSent, "parameters"): dict[str, Any],
    (FunctionDeclarationSent, "parametersJsonSchema"): dict[str, Any],
    (FunctionCallSent, "args"): dict[str, Any],
    (GenerateContentRequest, "labels"): dict[str, str],
    (GenerationConfig, "responseSchema"): dict[str, Any],
    (GenerationConfig, "responseJsonSchema"): dict[str, Any],
    (DeclaredFunction, "parameters"): dict[str, Any],
    (NamedSchema, "schema"): dict[str, Any],
}
"""What free-form fields hold. Those that are not here may hold anything."""


class Schemas:
    """Gathers a schema for every Struct that is met, by its name."""

    def __init__(self) -> None:
        self._of: dict[type[msgspec.Struct], Json] = {}

    def ref(self, kind: type[msgspec.Struct]) -> Json:
        """Return a reference to the schema of a Struct. Raise `ValueError` if another one has its name."""
        if kind not in self._of:
            self._of[kind] = {}  # it may hold itself
            self._of[kind] = self._struct(kind)
        return {"$ref": REF + _name(kind)}

    def all(self) -> dict[str, Json]:
        """Return every schema, by name. Raise `ValueError` if two Structs have one name."""
        named = {_name(kind): schema for kind, schema in self._of.items()}
        if len(named) != len(self._of):
            names = [_name(kind) for kind in self._of]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"Two Structs are called {', '.join(twice)}. Call one of them something else.")
        return dict(sorted(named.items()))

    def _struct(self, kind: type[msgspec.Struct]) -> Json:
        schema: dict[str, Json] = {"type": "object"}
        if kind.__doc__:
            schema["description"] = cleandoc(kind.__doc__)
        schema["properties"] = {
            name: self._of_type(_INSIDE.get((kind, name), _as_shown(kind, type_)))
            for name, type_, _ in fields_of(kind)
        }
        if needed := [name for name, _, required in fields_of(kind) if required]:
            schema["required"] = needed
        schema["additionalProperties"] = False
        return schema

    def _of_type(self, kind: Any) -> Json:
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        if isinstance(kind, type) and issubclass(kind, Enum):
            return {"type": "string", "enum": [member.value for member in kind]}
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.ref(kind)
        schema = self._of_generic(typing.get_origin(kind), typing.get_args(kind))
        if schema is None:
            raise TypeError(f"There is no schema for {kind!r}. Add it to halfrate.server.schemas.")
        return schema

    def _of_generic(self, origin: Any, arguments: tuple[Any, ...]) -> Json | None:
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin is Annotated:
            return self._with_meta(self._of_type(arguments[0]), arguments[1])
        if origin in (types.UnionType, typing.Union):
            return self._union([part for part in arguments if part is not msgspec.UnsetType])
        if origin in (list, tuple):
            return {"type": "array", "items": self._of_type(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of_type(arguments[1])}
        return None

    def _union(self, parts: list[Any]) -> Json:
        if len(parts) == 1:
            return self._of_type(parts[0])
        return {"anyOf": [self._of_type(part) for part in parts]}

    def _with_meta(self, schema: Json, meta: msgspec.Meta) -> Json:
        said = {"description": meta.description, "pattern": meta.pattern, **(meta.extra_json_schema or {})}
        return {**schema, **{name: value for name, value in said.items() if value is not None}}


def _name(kind: type[msgspec.Struct]) -> str:
    """Return the name of a Struct in the document, where both dialects stand side by side."""
    return f"OpenAI{kind.__name__}" if issubclass(kind, _OF_OPENAI) else kind.__name__


def _as_shown(kind: type[msgspec.Struct], type_: Any) -> Any:
    """Return the type of a field without null, where that needs no mention."""
    if issubclass(kind, _OF_OPENAI) or typing.get_origin(type_) not in (types.UnionType, typing.Union):
        return type_
    return typing.Union[tuple(part for part in typing.get_args(type_) if part is not types.NoneType)]  # noqa: UP007


def fields_of(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, type and whether it is always there, of each field of a Struct. Names are camelCase."""
    spelled = in_camel_case(kind) if issubclass(kind, Message) else kind
    for field, named in zip(msgspec.structs.fields(kind), msgspec.structs.fields(spelled), strict=True):
        may_be_missing = issubclass(kind, Message) or msgspec.UnsetType in typing.get_args(field.type)
        yield named.encode_name, field.type, field.required and not may_be_missing
