"""Routes of OpenAI's dialect, each under every prefix, with errors in the form of that prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.server.answers import Answer
from halfrate.server.examples import in_layer
from halfrate.server.faults import answer_for
from halfrate.server.manual import Entry, Parameter, enter, entry_for
from halfrate.server.paths import V
from halfrate.wire.openai.errors import read_said
from halfrate.wire.openai.form import Form

PREFIXES = {f"{V}/openai": Form.LAYER, "/openai/v1": Form.PLAIN}

_SECTIONS = {Form.PLAIN: "openai", Form.LAYER: "openaiLayer"}
_FILE = "The id of a file."
_BATCH = "The id of a batch."
_PIECES = {
    Form.PLAIN: {
        "file": Parameter("file", _FILE, example="file-questions"),
        "batch": Parameter("batch", _BATCH, example="batch_4m855v7q30kc7gtz2w9xhd1b"),
    },
    Form.LAYER: {
        "file": Parameter("file", _FILE, example="files/questions"),
        "batch": Parameter("batch", _BATCH, example="batches/4m855v7q30kc7gtz2w9xhd1b"),
    },
}

Endpoint = Callable[[Call, Form], Awaitable[Response]]


def routes_of(endpoints: Sequence[tuple[str, str, Endpoint]]) -> list[Route]:
    """Return a route for each (method, path, endpoint) under each prefix, and at last one that refuses.

    An id with a slash, as ``files/abc``, arrives with it: paths are matched when they are decoded.
    """
    every: list[tuple[list[str] | None, str, Endpoint]] = [
        *(([method], path, endpoint) for method, path, endpoint in endpoints),
        (["GET", "POST", "PUT", "PATCH", "DELETE"], "/{rest:any}", _unknown),
    ]
    return [
        Route(f"{prefix}{path}", _told(endpoint, form), methods=methods)
        for prefix, form in PREFIXES.items()
        for methods, path, endpoint in every
    ]


def listing(*, default: int, most: int) -> tuple[Parameter, ...]:
    """Return the parameters of a list that comes in pages."""
    size = {"type": "integer", "minimum": 1}
    return (
        Parameter(
            "limit", f"Entries on a page: {default} if it is left out, and never more than {most}.", size
        ),
        Parameter("after", "The `last_id` of the page before. Leave it out for the first."),
    )


def refused(form: Form, answer: Answer) -> Answer:
    """Return an error of the Gemini dialect in this one."""
    said = read_said(bytes(answer.body))
    told = Answer(form.error_body(said), status=said.code)
    ours = {name.lower() for name, _ in told.raw_headers}
    told.raw_headers += [header for header in answer.raw_headers if header[0].lower() not in ours]
    return told


def _told(endpoint: Endpoint, form: Form) -> Callable[[Call], Awaitable[Response]]:
    async def told(call: Call) -> Response:
        try:
            return await endpoint(call, form)
        except Exception as error:
            return refused(form, answer_for(error))

    if (entry := entry_for(endpoint)) is not None:
        enter(told, _of_form(entry, form))
    return told


def _of_form(entry: Entry, form: Form) -> Entry:
    """Return an endpoint's entry as it is true under a prefix. It is written in OpenAI's own form."""
    of_layer = form is Form.LAYER
    return replace(
        entry,
        name=f"{_SECTIONS[form]}.{entry.name}",
        examples=tuple(in_layer(each) if of_layer else each for each in entry.examples),
        pieces=_PIECES[form],
        form=form,
    )


async def _unknown(call: Call, _: Form) -> Response:
    raise HTTPException(404, f"Invalid URL ({call.method} {call.url.path})")
