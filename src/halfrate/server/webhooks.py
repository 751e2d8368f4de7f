"""Routes of the Webhooks API."""

from __future__ import annotations

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.server import examples
from halfrate.server.answers import json_answer
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Example, Parameter, entry, paging
from halfrate.server.paths import V
from halfrate.service.webhooks import Webhooks
from halfrate.wire.gemini import shapes
from halfrate.wire.gemini import webhooks as wire
from halfrate.wire.gemini.pages import page_size

KEYS = "/.well-known/jwks.json"


class WebhookRoutes:
    """The Webhooks API over `halfrate.service.webhooks.Webhooks`."""

    def __init__(self, webhooks: Webhooks, bodies: Bodies) -> None:
        self._webhooks = webhooks
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        one = f"{V}/webhooks/{{webhook:id}}"
        return [
            Route(f"{V}/webhooks", self.create, methods=["POST"]),
            Route(f"{V}/webhooks", self.list_page, methods=["GET"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.update, methods=["PATCH"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}:ping", self.ping, methods=["POST"]),
            Route(f"{one}:rotateSigningSecret", self.rotate_secret, methods=["POST"]),
            Route(KEYS, self.public_keys, methods=["GET"]),
        ]

    @entry(
        "webhooks.create",
        "Register a receiver",
        description="Names may be spelled in snake_case too, as SDKs do here; answers are.",
        body=wire.WebhookMessage,
        answer=shapes.WebhookShown,
        query=[Parameter("webhook_id", "The id it is to have.")],
        refuses=(409, 429),
        examples=examples.CREATE_WEBHOOK,
    )
    async def create(self, call: Call) -> Response:
        """Register a receiver, and show it with its secret."""
        async with self._bodies.whole(call) as body:
            new = wire.parse_create(body)
        webhook_id = wire.parse_id(_either(call, "webhook_id", "webhookId"))
        webhook = await self._webhooks.create(id=webhook_id, name=new.name, uri=new.uri, events=new.events)
        return await json_answer(call, bytes(wire.resource(webhook, new=True)))

    @entry("webhooks.list", "List webhooks", answer=shapes.WebhookList, query=paging(default=50, most=1000))
    async def list_page(self, call: Call) -> Response:
        """Show a page of webhooks."""
        size = page_size(_either(call, "page_size", "pageSize"), default=50, most=1000)
        token = _either(call, "page_token", "pageToken")
        return await json_answer(
            call, wire.page(*await self._webhooks.list(page_size=size, page_token=token))
        )

    @entry("webhooks.get", "Show a webhook", answer=shapes.WebhookShown)
    async def get(self, call: Call) -> Response:
        """Show a webhook."""
        webhook = await self._webhooks.get(call.path_params["webhook"])
        return await json_answer(call, bytes(wire.resource(webhook)))

    @entry(
        "webhooks.update",
        "Change a webhook",
        body=wire.WebhookMessage,
        answer=shapes.WebhookShown,
        query=[Parameter("update_mask", "What changes; without it, what is in the body.")],
        examples=examples.UPDATE_WEBHOOK,
    )
    async def update(self, call: Call) -> Response:
        """Change a webhook, and show it."""
        async with self._bodies.whole(call) as body:
            changes = wire.parse_update(body, mask=_either(call, "update_mask", "updateMask"))
        webhook = await self._webhooks.update(
            call.path_params["webhook"],
            name=changes.name,
            uri=changes.uri,
            events=changes.events,
            state=changes.state,
        )
        return await json_answer(call, bytes(wire.resource(webhook)))

    @entry("webhooks.delete", "Remove a webhook", answer=shapes.Empty)
    async def delete(self, call: Call) -> Response:
        """Remove a webhook."""
        await self._webhooks.delete(call.path_params["webhook"])
        return await json_answer(call, b"{}")

    @entry(
        "webhooks.ping",
        "Call a webhook once",
        body=wire.PingRequest,
        answer=shapes.Empty,
        refuses=(429,),
        examples=[Example("ping", body={}, answer={})],
    )
    async def ping(self, call: Call) -> Response:
        """Call a webhook once."""
        async with self._bodies.whole(call) as body:
            wire.parse_ping(body)
        await self._webhooks.ping(call.path_params["webhook"])
        return await json_answer(call, b"{}")

    @entry(
        "webhooks.rotateSigningSecret",
        "Make a new secret",
        body=wire.RotateRequest,
        answer=shapes.NewSecret,
        refuses=(429,),
        examples=examples.ROTATE,
    )
    async def rotate_secret(self, call: Call) -> Response:
        """Make a new secret, and show it."""
        async with self._bodies.whole(call) as body:
            revocation = wire.parse_rotate(body)
        at_once = revocation is wire.Revocation.IMMEDIATELY
        secret = await self._webhooks.rotate_secret(call.path_params["webhook"], at_once=at_once)
        return await json_answer(call, wire.secret_body(secret))

    @entry("webhooks.keys", "Show the keys that check calls for single batches", answer=shapes.KeySet)
    async def public_keys(self, call: Call) -> Response:
        """Show the keys by which calls for single batches can be checked."""
        return await json_answer(call, await self._webhooks.public_keys())


def _either(call: Call, *names: str) -> str | None:
    """Return a query parameter under whichever of its names it was given."""
    return next((call.query_params[name] for name in names if name in call.query_params), None)
