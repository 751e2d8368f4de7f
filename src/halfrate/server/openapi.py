"""The API as an OpenAPI document, made of the routes, their entries in the manual, and the wire's Structs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec
from starlette.routing import BaseRoute, Route

from halfrate.server import manual
from halfrate.server.manual import Answer, Body, Entry, Example, Json, Media, Parameter, entry_of
from halfrate.server.schemas import Schemas
from halfrate.wire.gemini.errors import error_body
from halfrate.wire.gemini.shapes import Error
from halfrate.wire.openai import shapes as openai
from halfrate.wire.openai.errors import Said
from halfrate.wire.openai.form import Form

EVERY_CALL = (403, 500, 503)
"""Statuses that every call may meet."""

_DESCRIPTION = """\
Batch Mode for the models you run, in the dialect of the Gemini API: official SDKs work by changing their base
URL.

Everything is served alike under `/v1`, `/v1beta` and `/v1alpha`. Names of fields may be written in
lowerCamelCase, as here, or in snake_case, also mixed; whole numbers may be strings. Fields that are not
described are refused by their path. What has no value is left out of an answer. No key is needed, and
one that is sent is passed over.

OpenAI's dialect is served over the same files, batches and models: under `/openai/v1` with its own ids and
errors, under `/v1beta/openai` and `/v1/openai` with those of Gemini's layer for it. Ids of either form are
understood in both. Its names are spelled as here, and what has no value is null.
"""

_TAGS = {
    "files": "Inputs of batches, and their outputs.",
    "uploads": "How files get here.",
    "batches": "Many requests, answered when there is time.",
    "models": "Requests answered now, and who answers them.",
    "caches": "What many requests begin with, sent once.",
    "webhooks": "Who is told when batches end.",
    "openai": "OpenAI's dialect, in its own form.",
    "openaiLayer": "OpenAI's dialect, in the form of Gemini's layer for it.",
    "health": "For whoever looks after this server.",
    "docs": "This document.",
}

_REFUSALS: dict[int, tuple[str, str]] = {
    400: (
        "INVALID_ARGUMENT",
        "Invalid JSON payload received. Unknown name \"foo\" at 'batch': Cannot find field.",
    ),
    403: ("PERMISSION_DENIED", "You do not have permission to access the File abc or it may not exist."),
    404: ("NOT_FOUND", "The batch batches/abc does not exist, or it was deleted."),
    408: ("DEADLINE_EXCEEDED", "The body came too slowly. Send it again."),
    409: ("ALREADY_EXISTS", "The file files/questions exists already."),
    416: ("OUT_OF_RANGE", "The range lies outside the file, which has 154 bytes."),
    429: ("RESOURCE_EXHAUSTED", "100 batches are under way, and no more are allowed. Wait for one to end."),
    500: ("INTERNAL", "An internal error has occurred."),
    501: ("UNIMPLEMENTED", "The upload protocol 'multipart' is not built. Use the resumable one."),
    503: ("UNAVAILABLE", "The model pocket-1 is still loading. Try again in a moment."),
    504: ("DEADLINE_EXCEEDED", "The model did not answer in time."),
}
"""What is refused: the name of each status, and a sentence as an example."""

_OF_BODIES = (400, 408)
_OF_WHO_CALLS = 403  # refused before it is known in which dialect: always in the Gemini one

FORM = "multipart/form-data"
"""The type of a body whose fields are sent one after the other."""


def document(routes: Iterable[BaseRoute]) -> dict[str, Json]:
    """Return the document, without ``servers``. Routes without an entry are left out.

    Raise `ValueError` if two Structs or two entries have one name.
    """
    schemas = Schemas()
    paths: dict[str, dict[str, Json]] = {}
    names: set[str] = set()
    for route, entry in _described(routes):
        for method in _methods(route):
            operation = _operation(route, method, entry, schemas)
            operation["operationId"] = _unique(entry.name, names)
            paths.setdefault(path_of(route), {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "halfrate",
            "version": "v1beta",
            "summary": "Batch Mode for the models you run",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {"responses": _refusals(schemas), "schemas": schemas.all()},
    }


def path_of(route: Route) -> str:
    """Return a route's path as the document names it: in version v1beta, without kinds of pieces."""
    path = route.path.replace("{version:version}", "v1beta").replace("{kind:id}/", "models/")
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _described(routes: Iterable[BaseRoute]) -> Iterator[tuple[Route, Entry]]:
    for route in routes:
        entry = entry_of(route)
        if isinstance(route, Route) and entry is not None:
            yield route, entry


def _methods(route: Route) -> list[str]:
    return sorted((route.methods or set()) - {"HEAD"})


def _unique(name: str, names: set[str]) -> str:
    """Return a name for one more route of a handler: its own, then with a number."""
    taken = sum(1 for other in names if other == name or other.startswith(f"{name}."))
    unique = f"{name}.{taken + 1}" if taken else name
    names.add(unique)
    return unique


def _operation(route: Route, method: str, entry: Entry, schemas: Schemas) -> dict[str, Json]:
    operation: dict[str, Json] = {"tags": [entry.name.split(".")[0]], "summary": entry.summary}
    if entry.description:
        operation["description"] = entry.description
    if parameters := [*_pieces(route, entry), *_parameters(entry)]:
        operation["parameters"] = parameters
    if entry.bodies:
        operation["requestBody"] = {"content": _request_bodies(entry, schemas)}
    operation["responses"] = _responses(entry, schemas, more=_met_by(route, entry))
    return operation


# What is sent -----------------------------------------------------------------------------------------


def _pieces(route: Route, entry: Entry) -> Iterator[Json]:
    pieces = {**manual.PIECES, **entry.pieces}
    for piece in re.findall(r"\{(\w+)\}", path_of(route)):
        if piece not in pieces:
            raise ValueError(f"Describe {piece!r} of {route.path} in PIECES of halfrate.server.manual.")
        yield _parameter(pieces[piece], "path")


def _parameters(entry: Entry) -> Iterator[Json]:
    for parameter in entry.query:
        yield _parameter(parameter, "query")
    for parameter in entry.headers:
        yield _parameter(parameter, "header")


def _parameter(parameter: Parameter, place: str) -> Json:
    shown: dict[str, Json] = {
        "name": parameter.name,
        "in": place,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if place == "path":
        shown["required"] = True
    if parameter.example is not None:
        shown["example"] = parameter.example
    return shown


def _request_bodies(entry: Entry, schemas: Schemas) -> Json:
    content = {}
    for body in entry.bodies:
        kind, schema = _media(body, schemas)
        content[kind] = schema
        if examples := {e.name: {"value": e.body} for e in entry.examples if _fits(e.body, body)}:
            schema["examples"] = examples
    return content


def _fits(value: Json, body: Body) -> bool:
    """Whether a body of an example can be one of this kind: text is for what has no fields."""
    has_fields = not isinstance(body, Media) or body.content_type in ("application/json", FORM)
    return value is not None and isinstance(value, str) != has_fields


def _media(body: Body, schemas: Schemas) -> tuple[str, dict[str, Json]]:
    if isinstance(body, Media):
        return body.content_type, {"schema": dict(body.schema)}
    return "application/json", {"schema": schemas.ref(body)}


# What is answered -------------------------------------------------------------------------------------


def _met_by(route: Route, entry: Entry) -> set[int]:
    """Return the refusals that a route's calls may meet for what they consist of."""
    met = set(_OF_BODIES if entry.bodies else ())
    if entry.query or entry.headers:
        met.add(400)
    if "{" in path_of(route):
        met.add(404)  # a piece may hold what makes the path another one
    return met


def _responses(entry: Entry, schemas: Schemas, *, more: set[int]) -> Json:
    responses = {
        str(status): _answer(answer, entry.examples if status == 200 else (), schemas)
        for status, answer in entry.answers.items()
    }
    refusals = {*EVERY_CALL, *entry.refuses, *more}
    for status in sorted(refusals - entry.answers.keys()):
        responses[str(status)] = {"$ref": f"#/components/responses/{_refusal_name(status, entry.form)}"}
    return responses


def _answer(answer: Answer, examples: Iterable[Example], schemas: Schemas) -> Json:
    content = {}
    for body in answer.bodies:
        kind, schema = _media(body, schemas)
        content[kind] = schema
        if shown := {e.name: {"value": e.answer} for e in examples if _fits(e.answer, body)}:
            schema["examples"] = shown
    response: dict[str, Json] = {"description": answer.description}
    if answer.headers:
        response["headers"] = {
            header.name: {"description": header.description, "schema": header.schema}
            for header in answer.headers
        }
    if content:
        response["content"] = content
    return response


def _refusals(schemas: Schemas) -> Json:
    return {
        _refusal_name(said.code, form): _refusal(said, form, schemas)
        for said in (Said(code, name, message) for code, (name, message) in _REFUSALS.items())
        for form in (None, *Form)
        if form is None or said.code != _OF_WHO_CALLS
    }


def _refusal(said: Said, form: Form | None, schemas: Schemas) -> Json:
    body = error_body(said.code, said.status, said.message) if form is None else form.error_body(said)
    shown = {"schema": _refusal_schema(form, schemas), "example": msgspec.json.decode(body)}
    return {"description": f"{said.code} {said.status}", "content": {"application/json": shown}}


def _refusal_name(status: int, form: Form | None) -> str:
    name = f"{_REFUSALS[status][0]}_{status}"
    return name if form is None or status == _OF_WHO_CALLS else f"{name}_openai_{form}"


def _refusal_schema(form: Form | None, schemas: Schemas) -> Json:
    if form is Form.PLAIN:
        return schemas.ref(openai.Error)
    if form is Form.LAYER:
        return {"type": "array", "items": schemas.ref(openai.LayerError)}
    return schemas.ref(Error)
