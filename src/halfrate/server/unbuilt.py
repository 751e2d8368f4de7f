"""Routes of the API that this server knows and does not serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.errors import Unimplemented
from halfrate.server.paths import V

_UNBUILT = {
    f"{V}/files:register": "Files in Cloud Storage cannot be registered here. Upload them.",
    f"{V}/cachedContents": "Explicit caches are not built yet. Equal beginnings are computed once anyway.",
    f"{V}/cachedContents/{{cache:id}}": (
        "Explicit caches are not built yet. Equal beginnings are computed once anyway."
    ),
}

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


def routes() -> list[Route]:
    """Return a route for each of them, which says so."""
    return [Route(path, _refuse(sentence), methods=_METHODS) for path, sentence in _UNBUILT.items()]


def _refuse(sentence: str) -> Callable[[Call], Awaitable[Response]]:
    async def refuse(_: Call) -> Response:
        raise Unimplemented(sentence)

    return refuse
