"""Routes of OpenAI's dialect, each under every prefix, with errors in the form of that prefix."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.server.answers import Answer
from halfrate.server.faults import answer_for
from halfrate.server.paths import V
from halfrate.wire.openai.errors import read_said
from halfrate.wire.openai.form import Form

PREFIXES = {f"{V}/openai": Form.LAYER, "/openai/v1": Form.PLAIN}

Endpoint = Callable[[Call, Form], Awaitable[Response]]


def routes_of(endpoints: Sequence[tuple[str, str, Endpoint]]) -> list[Route]:
    """Return a route for each (method, path, endpoint) under each prefix, and at last one that refuses.

    An id with a slash, as ``files/abc``, arrives with it: paths are matched when they are decoded.
    """
    every: list[tuple[list[str] | None, str, Endpoint]] = [
        *(([method], path, endpoint) for method, path, endpoint in endpoints),
        (["GET", "POST", "PUT", "PATCH", "DELETE"], "/{rest:path}", _unknown),
    ]
    return [
        Route(f"{prefix}{path}", _told(endpoint, form), methods=methods)
        for prefix, form in PREFIXES.items()
        for methods, path, endpoint in every
    ]


def refused(form: Form, answer: Answer) -> Answer:
    """Return an error of the Gemini dialect in this one."""
    said = read_said(bytes(answer.body))
    return Answer(form.error_body(said), status=said.code)


def _told(endpoint: Endpoint, form: Form) -> Callable[[Call], Awaitable[Response]]:
    async def told(call: Call) -> Response:
        try:
            return await endpoint(call, form)
        except Exception as error:
            return refused(form, answer_for(error))

    return told


async def _unknown(call: Call, _: Form) -> Response:
    raise HTTPException(404, f"Invalid URL ({call.method} {call.url.path})")
