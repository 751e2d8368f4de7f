"""Routes of the API's own documentation: `/openapi.json`, and `/docs` to read and try it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.server.answers import JSON, Answer, takes_gzip
from halfrate.server.manual import Answer as Success
from halfrate.server.manual import Media, Parameter, entry
from halfrate.server.openapi import document
from halfrate.server.origin import Origin

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    # The viewer styles its elements one by one, as they come.
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_ASSETS = {
    "page.css": "text/css; charset=UTF-8",
    "rapidoc-min.js": "text/javascript; charset=UTF-8",
    "rapidoc-LICENSES.txt": "text/plain; charset=UTF-8",
}

_ETAG = Parameter("ETag", "Stands for exactly this document.")

_UNCHANGED = Success((), "Nothing has changed.")

_SERVERS = b"\0"  # JSON has no such byte: here goes the address, which differs from client to client


class ReferenceRoutes:
    """The document is made at the first call, of the routes of the application it is served by."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._template: bytes | None = None

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/docs", self.page, methods=["GET"]),
            Route("/docs/{asset:id}", self.asset, methods=["GET"]),
        ]

    @entry(
        "docs.openapi",
        "This document",
        answer={
            200: Success((Media("application/json", {"type": "object"}),), headers=(_ETAG,)),
            304: _UNCHANGED,
        },
        headers=[Parameter("If-None-Match", "The `ETag` of the document that is there already.")],
    )
    async def openapi(self, call: Call) -> Response:
        """Show the API as OpenAPI describes it, under the address this client knows."""
        if self._template is None:
            self._template = await asyncio.to_thread(_template, call.app)
        servers = msgspec.json.encode([{"url": self._origin.base_url(call)}])
        return _cached(call, self._template.replace(_SERVERS, servers), JSON)

    @entry(
        "docs.page",
        "The page to read and try it on",
        answer={200: Success((Media("text/html", {"type": "string"}),)), 304: _UNCHANGED},
    )
    async def page(self, call: Call) -> Response:
        """Show the page on which the API can be read and tried."""
        policy = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Referrer-Policy": "no-referrer"}
        return _cached(call, _asset("index.html"), "text/html; charset=UTF-8", headers=policy)

    @entry(
        "docs.asset",
        "What the page is made of",
        answer={200: Success((Media("*/*"),)), 304: _UNCHANGED},
        refuses=(404,),
    )
    async def asset(self, call: Call) -> Response:
        """Send a file the page loads."""
        name = call.path_params["asset"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return _cached(call, _asset(name), _ASSETS[name])


def _template(app: Starlette) -> bytes:
    return msgspec.json.encode({**document(app.routes), "servers": "@"}).replace(b'"@"', _SERVERS)


@cache
def _asset(name: str) -> bytes:
    return (resources.files("halfrate.server") / "page" / name).read_bytes()


def _cached(
    call: Call, body: bytes, content_type: str, *, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return what seldom changes: nothing but its ETag, if that is what the client has."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    kept = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if etag in call.headers.get("if-none-match", ""):
        return Answer(b"", status=304, content_type=content_type, headers=kept)
    kept.update(headers or {})
    if not takes_gzip(call):
        return Answer(body, content_type=content_type, headers=kept)
    packed = {**kept, "Content-Encoding": "gzip"}
    return Answer(_packed(body), content_type=content_type, headers=packed)


@lru_cache(maxsize=8)  # the document has as many addresses as clients have names for this server
def _packed(body: bytes) -> bytes:
    return gzip.compress(body)
