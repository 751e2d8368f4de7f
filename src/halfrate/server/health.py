"""Routes for whoever looks after this server."""

from __future__ import annotations

import msgspec
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.engines.api import EngineState
from halfrate.server.answers import Answer
from halfrate.service.models import Models


class HealthRoutes:
    """Whether the server is alive, and whether its models can answer."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def routes(self) -> list[Route]:
        """Return both routes."""
        return [
            Route("/healthz", self.alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
        ]

    async def alive(self, _: Call) -> Response:
        """Answer, which is all there is to say."""
        return Answer(b'{"status":"ok"}')

    async def ready(self, _: Call) -> Response:
        """Say how each model stands: 200 if all of them are loaded, 503 if not."""
        states = {model.name: model.engine.state for model in self._models.all()}
        troubles = {
            model.name: str(model.engine.trouble) for model in self._models.all() if model.engine.trouble
        }
        ready = all(state is EngineState.READY for state in states.values())
        body = {"status": "ok" if ready else "waiting", "models": states, "troubles": troubles}
        return Answer(msgspec.json.encode(body), status=200 if ready else 503)
