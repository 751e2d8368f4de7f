"""Routes of the API that this server knows and does not serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.errors import InvalidArgument, Refusal, Unimplemented
from halfrate.server.paths import V

_UNBUILT = {
    f"{V}/files:register": "Files in Cloud Storage cannot be registered here. Upload them.",
}

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


def routes() -> list[Route]:
    """Return a route for each of them, which says so."""
    without_content = InvalidArgument(
        "A file is made with its content: send both to POST /upload/v1beta/files, resumable, multipart "
        "or raw."
    )
    return [
        Route(f"{V}/files", _refuse(without_content), methods=["POST"]),
        *(
            Route(path, _refuse(Unimplemented(sentence)), methods=_METHODS)
            for path, sentence in _UNBUILT.items()
        ),
    ]


def _refuse(refusal: Refusal) -> Callable[[Call], Awaitable[Response]]:
    async def refuse(_: Call) -> Response:
        raise refusal

    return refuse
