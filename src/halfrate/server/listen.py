"""Listens on a socket and serves an application until told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from halfrate.domain.errors import ConfigError

STOP_SECONDS = 10  # what calls under way get to end by themselves


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that calls can already queue on. Port 0 takes a free one.

    Raise `ConfigError` if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port."
        ) from None
    listener.listen(2048)
    return listener


async def listen(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
    """Serve ``app`` until SIGINT or SIGTERM, or until cancelled. ``ready`` is called when it answers."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        proxy_headers=False,  # `Origin` reads them, and believes only names it knows
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        ws="none",
    )
    await _Server(config, ready).serve(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
