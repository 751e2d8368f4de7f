"""The whole API as one ASGI application."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halfrate.config import Limits, ServerConfig
from halfrate.server import unbuilt
from halfrate.server.batches import BatchRoutes
from halfrate.server.bodies import Bodies, Pace
from halfrate.server.caches import CacheRoutes
from halfrate.server.faults import HANDLERS, answer_for
from halfrate.server.files import FileRoutes
from halfrate.server.health import HealthRoutes
from halfrate.server.models import ModelRoutes
from halfrate.server.openai_batches import OpenAIBatchRoutes
from halfrate.server.openai_files import OpenAIFileRoutes
from halfrate.server.openai_models import OpenAIModelRoutes
from halfrate.server.openai_told import routes_of
from halfrate.server.origin import Gate, Origin
from halfrate.server.parameters import Parameters
from halfrate.server.reference import ReferenceRoutes
from halfrate.server.uploads import UploadRoutes
from halfrate.server.webhooks import WebhookRoutes
from halfrate.service.caches import Caches
from halfrate.service.files import Files
from halfrate.service.jobs import Jobs
from halfrate.service.models import Models
from halfrate.service.monitor import Monitor
from halfrate.service.retries import Retries
from halfrate.service.uploads import Uploads
from halfrate.service.webhooks import Webhooks


def make_asgi(
    *,
    files: Files,
    uploads: Uploads,
    jobs: Jobs,
    retries: Retries,
    models: Models,
    monitor: Monitor,
    webhooks: Webhooks,
    caches: Caches,
    limits: Limits,
    server: ServerConfig | None = None,
    public_url: str | None = None,
    hosts: Collection[str] = (),
    more_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """Return the server's application over these services.

    ``public_url`` is where clients find it, if that is not where they say; ``hosts`` are further names
    it answers to. ``more_routes`` come last.
    """
    origin = Origin(public_url, hosts=hosts)
    server = server or ServerConfig()
    bodies = Bodies(
        bytes_max=limits.inline_bytes,
        pace=Pace(server.silence_seconds, server.bytes_per_second),
    )
    file_routes = FileRoutes(files, origin)
    openai_files = OpenAIFileRoutes(files, uploads, jobs, bodies, native=file_routes)
    openai = routes_of(
        [
            *OpenAIModelRoutes(models, bodies).endpoints(),
            *openai_files.endpoints(),
            *OpenAIBatchRoutes(jobs, models, bodies).endpoints(),
        ]
    )
    return Starlette(
        routes=[
            *openai,
            *UploadRoutes(uploads, origin, bodies).routes(),
            *openai_files.native_routes(),
            *file_routes.routes(),
            *BatchRoutes(
                jobs, retries, files, bodies, inline_results_bytes=limits.inline_results_bytes
            ).routes(),
            *ModelRoutes(models, bodies).routes(),
            *WebhookRoutes(webhooks, bodies).routes(),
            *CacheRoutes(caches, bodies).routes(),
            *HealthRoutes(models, monitor).routes(),
            *ReferenceRoutes(origin).routes(),
            *unbuilt.routes(),
            *more_routes,
        ],
        middleware=[Middleware(Guard), Middleware(Gate, origin=origin), Middleware(Parameters)],
        exception_handlers=HANDLERS,
    )


class Guard:
    """Turns what nobody expected into an answer, and a line in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through; answer if it raises before anything was answered."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await answer_for(error)(scope, receive, send)
