"""Cached contents: what many Requests begin with, sent once and named from then on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from halfrate.domain.request import Functions, Message, Request


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes before a Request: Messages, a system instruction first if there is one, and Functions.

    There is at least one Message, or there are Functions.
    """

    messages: tuple[Message, ...]
    functions: Functions | None = None

    def before(self, request: Request) -> Request:
        """Return the Request that says all of it itself. Its own Functions must be None."""
        return replace(
            request, messages=self.messages + request.messages, functions=self.functions, cache=None
        )


@dataclass(frozen=True, slots=True)
class Cache:
    """Contents that are kept under a name. Times are seconds since the Unix epoch.

    ``id`` is the part after ``cachedContents/``. ``model`` is the name the client asked for, ``engine`` the
    model that answers to it: only its Requests may use the Cache. ``tokens`` is what the Contents take in a
    prompt of that model, ``blob`` has them. A Cache that is deleted expires at that moment.
    """

    id: str
    model: str
    engine: str
    display_name: str
    tokens: int
    blob: str
    created_at: float
    updated_at: float
    expires_at: float
