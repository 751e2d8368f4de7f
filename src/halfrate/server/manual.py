"""What `/openapi.json` says of a route, as data beside the handler that serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.routing import BaseRoute, Route

from halfrate.wire.openai.form import Form

Json = Any
"""A JSON value, in an example or a schema."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something a client may put into the query or the headers of a call."""

    name: str
    description: str
    schema: Mapping[str, Json] = field(default_factory=lambda: {"type": "string"})
    example: Json = None


@dataclass(frozen=True, slots=True)
class Media:
    """A body that is not a JSON document of one type."""

    content_type: str
    schema: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """A call as it can be sent, word for word, and what comes of it.

    ``body`` is JSON, or text where the route takes other bytes. ``answer`` shows what is answered; what
    a real server answers differs in names and instants. ``path`` holds pieces of the path that differ from
    those in `PIECES`.
    """

    name: str
    body: Json = None
    answer: Json = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)


Body = type[msgspec.Struct] | Media
"""A Struct of `halfrate.wire`, or something else than JSON."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its bodies (a client gets one of them) and the headers worth a word."""

    bodies: tuple[Body, ...]
    description: str = "Done."
    headers: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """The manual's entry for a handler.

    ``name`` is unique, and what is before its dot is the section it stands in. ``refuses`` are the HTTP
    statuses of its refusals besides those that every call may meet (`openapi.EVERY_CALL`). ``pieces``
    are those of its path that are not as in `PIECES`. ``form`` is that of OpenAI's dialect in which it
    refuses, None if it does so in the Gemini dialect.
    """

    name: str
    summary: str
    description: str = ""
    bodies: tuple[Body, ...] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict)
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    refuses: tuple[int, ...] = ()
    examples: tuple[Example, ...] = ()
    pieces: Mapping[str, Parameter] = field(default_factory=dict)
    form: Form | None = None


Handler = TypeVar("Handler", bound=Callable[..., Any])

_ENTRIES: dict[Callable[..., Any], Entry] = {}


def entry(
    name: str,
    summary: str,
    *,
    description: str = "",
    body: Body | Sequence[Body] = (),
    answer: Body | Answer | Mapping[int, Answer],
    query: Sequence[Parameter] = (),
    headers: Sequence[Parameter] = (),
    refuses: Sequence[int] = (),
    examples: Sequence[Example] = (),
) -> Callable[[Handler], Handler]:
    """Give a handler its entry in the manual. ``answer`` alone is what 200 brings."""
    if isinstance(answer, Mapping):
        answers = answer
    else:
        answers = {200: answer if isinstance(answer, Answer) else Answer((answer,))}
    written = Entry(
        name=name,
        summary=summary,
        description=description,
        bodies=tuple(body) if isinstance(body, Sequence) else (body,),
        answers=answers,
        query=tuple(query),
        headers=tuple(headers),
        refuses=tuple(refuses),
        examples=tuple(examples),
    )

    def note(handler: Handler) -> Handler:
        enter(handler, written)
        return handler

    return note


def enter(handler: Callable[..., Any], written: Entry) -> None:
    """Put a handler's entry into the manual."""
    _ENTRIES[handler] = written


def entry_of(route: BaseRoute) -> Entry | None:
    """Return the entry of a route's handler, None if it has none."""
    return entry_for(route.endpoint) if isinstance(route, Route) else None


def entry_for(handler: Callable[..., Any]) -> Entry | None:
    """Return the entry of a handler, which may be a method, None if it has none."""
    return _ENTRIES.get(getattr(handler, "__func__", handler))


# What many entries share ------------------------------------------------------------------------------

PIECES: dict[str, Parameter] = {
    "file": Parameter("file", "The id of a file: what follows `files/` in its name.", example="questions"),
    "batch": Parameter(
        "batch",
        "The id of a batch: what follows `batches/` in its name.",
        example="4m855v7q30kc7gtz2w9xhd1b",
    ),
    "model": Parameter(
        "model",
        "A model of this server, or another name it answers to. `GET /v1beta/models` lists them.",
        example="pocket-1",
    ),
    "cache": Parameter(
        "cache",
        "The id of a cached content: what follows `cachedContents/` in its name.",
        example="6xq0v3k1c9a8d2m5z7w4b1n8t0r5y3u6p9e2h7jd",
    ),
    "webhook": Parameter("webhook", "The id of a webhook.", example="0b7c9f5e-5a52-4a0f-9a57-4f2d5f5d9d53"),
    "asset": Parameter("asset", "A file that the page loads.", example="page.css"),
}
"""The variable pieces of paths."""

PAGE_TOKEN = Parameter("pageToken", "The `nextPageToken` of the page before. Leave it out for the first.")


def paging(*, default: int, most: int) -> tuple[Parameter, ...]:
    """Return the parameters of a list that comes in pages."""
    size = Parameter(
        "pageSize",
        f"Entries on a page: {default} if it is left out or 0, and never more than {most}.",
        {"type": "integer", "minimum": 0},
    )
    return (size, PAGE_TOKEN)
