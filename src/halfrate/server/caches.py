"""Routes of the cached contents API."""

from __future__ import annotations

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.server import examples
from halfrate.server.answers import json_answer
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Parameter, entry, paging
from halfrate.server.paths import V, parameter
from halfrate.service.caches import Caches
from halfrate.wire.gemini import caches as wire
from halfrate.wire.gemini import shapes
from halfrate.wire.gemini.pages import page, page_size


class CacheRoutes:
    """The cached contents API over `halfrate.service.caches.Caches`."""

    def __init__(self, caches: Caches, bodies: Bodies) -> None:
        self._caches = caches
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        one = f"{V}/cachedContents/{{cache:id}}"
        return [
            Route(f"{V}/cachedContents", self.create, methods=["POST"]),
            Route(f"{V}/cachedContents", self.list_page, methods=["GET"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.update, methods=["PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
        ]

    @entry(
        "caches.create",
        "Keep contents under a name",
        description="Requests that name it are answered as if they said all of it themselves.",
        body=wire.CachedContent,
        answer=shapes.CacheShown,
        refuses=(403, 404, 429, 503),
        examples=examples.CREATE_CACHE,
    )
    async def create(self, call: Call) -> Response:
        """Keep contents, and show what is known of them."""
        async with self._bodies.whole(call) as body:
            new = wire.parse_create(body)
        cache = await self._caches.create(
            model=new.model, display_name=new.display_name, contents=new.contents, expiry=new.expiry
        )
        return await json_answer(call, wire.body(cache))

    @entry(
        "caches.list", "List cached contents", answer=shapes.CacheList, query=paging(default=50, most=1000)
    )
    async def list_page(self, call: Call) -> Response:
        """Show a page of cached contents."""
        size = page_size(parameter(call, "pageSize"), default=50, most=1000)
        caches, token = await self._caches.list(page_size=size, page_token=parameter(call, "pageToken"))
        return await json_answer(
            call, page("cachedContents", [wire.resource(each) for each in caches], token)
        )

    @entry("caches.get", "Show a cached content", answer=shapes.CacheShown, refuses=(400, 403))
    async def get(self, call: Call) -> Response:
        """Show one cached content."""
        cache = await self._caches.get(wire.parse_id(call.path_params["cache"]))
        return await json_answer(call, wire.body(cache))

    @entry(
        "caches.update",
        "Change when a cached content expires",
        body=wire.CachedContent,
        answer=shapes.CacheShown,
        query=[Parameter("updateMask", "`ttl` or `expireTime`; it may be left out.")],
        refuses=(403,),
        examples=examples.UPDATE_CACHE,
    )
    async def update(self, call: Call) -> Response:
        """Change when a cached content expires, and show it."""
        cache_id = wire.parse_id(call.path_params["cache"])
        async with self._bodies.whole(call) as body:
            expiry = wire.parse_update(body, mask=parameter(call, "updateMask"))
        return await json_answer(call, wire.body(await self._caches.expire(cache_id, expiry)))

    @entry("caches.delete", "Remove a cached content", answer=shapes.Empty, refuses=(400, 403))
    async def delete(self, call: Call) -> Response:
        """Remove a cached content."""
        await self._caches.delete(wire.parse_id(call.path_params["cache"]))
        return await json_answer(call, b"{}")
