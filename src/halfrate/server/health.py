"""Routes for whoever looks after this server."""

from __future__ import annotations

import msgspec
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.engines.api import EngineState
from halfrate.server.answers import Answer
from halfrate.server.manual import Answer as Success
from halfrate.server.manual import Media, entry
from halfrate.service.models import Models
from halfrate.service.monitor import Monitor
from halfrate.wire.gemini import shapes


class HealthRoutes:
    """Whether the server is alive, whether its models can answer, and how everything stands."""

    def __init__(self, models: Models, monitor: Monitor) -> None:
        self._models = models
        self._monitor = monitor

    def routes(self) -> list[Route]:
        """Return every route."""
        return [
            Route("/healthz", self.alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    @entry("health.alive", "Whether the server is there", answer=shapes.Alive)
    async def alive(self, _: Call) -> Response:
        """Answer, which is all there is to say."""
        return Answer(b'{"status":"ok"}')

    @entry(
        "health.ready",
        "Whether every model is loaded",
        answer={
            200: Success((shapes.Readiness,), "All are."),
            503: Success((shapes.Readiness,), "Not yet, or not any more: `troubles` says why."),
        },
    )
    async def ready(self, _: Call) -> Response:
        """Say how each model stands: 200 if all of them are loaded, 503 if not."""
        states = {model.name: model.engine.state for model in self._models.all()}
        troubles = {
            model.name: str(model.engine.trouble) for model in self._models.all() if model.engine.trouble
        }
        ready = all(state is EngineState.READY for state in states.values())
        body = {"status": "ok" if ready else "waiting", "models": states, "troubles": troubles}
        return Answer(msgspec.json.encode(body), status=200 if ready else 503)

    @entry("health.metrics", "How everything stands, for Prometheus", answer=Media("text/plain"))
    async def metrics(self, _: Call) -> Response:
        """Say how everything stands, for Prometheus."""
        from halfrate.server import metrics  # noqa: PLC0415 - 40 ms, and memory, where nobody scrapes

        body = metrics.exposition(await self._monitor.read())
        return Answer(body, content_type=metrics.CONTENT_TYPE)
