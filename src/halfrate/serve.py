"""Runs the application behind HTTP until it is told to stop."""

from __future__ import annotations

import contextlib
import ipaddress
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette

from halfrate.app import App, MakeEngine, open_app
from halfrate.config import Config
from halfrate.domain.errors import ConfigError
from halfrate.server.app import make_asgi
from halfrate.server.patience import patient_protocol
from halfrate.server.spelling import Spelled

GRACE_SECONDS = 5
BACKLOG = 2_048
OPEN_FILES = 16_384


async def serve(
    config: Config,
    *,
    host: str,
    port: int,
    public_url: str | None = None,
    on_started: Callable[[str], None] = lambda url: None,
    make_engine: MakeEngine | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. ``port`` 0 takes any free one; ``on_started`` is told the URL.

    Raise `ConfigError` if the address cannot be used, or is not a loopback address: there are no API
    keys yet, so whoever reaches the port can do everything.
    """
    _allow_open_files()
    with _listening(host, port) as listener:
        async with open_app(config, make_engine=make_engine) as app:
            asgi = asgi_of(app, public_url=public_url)
            server = uvicorn.Server(
                uvicorn.Config(
                    Spelled(asgi),
                    http=patient_protocol(config.server),
                    log_level="warning",
                    access_log=False,
                    lifespan="off",
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
            bound_host, bound_port = listener.getsockname()[:2]
            on_started(f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}")
            await server.serve(sockets=[listener])


def _allow_open_files() -> None:
    """Take as many file handles as the system lets this process have: each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, OPEN_FILES)), hard))


def asgi_of(app: App, **settings: Any) -> Starlette:
    """Return the HTTP face of a running application. ``settings`` go to `make_asgi` beside it."""
    return make_asgi(
        files=app.files,
        uploads=app.uploads,
        jobs=app.jobs,
        retries=app.retries,
        models=app.models,
        monitor=app.monitor,
        webhooks=app.webhooks,
        caches=app.caches,
        limits=app.config.limits,
        **{"server": app.config.server, **settings},
    )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Bind before anything is loaded, so that a port in use is told at once."""
    address = _loopback(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # A server started again must not wait for the last one's connections to be forgotten.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it. Without it the body of a short answer waits behind its headers
        # for the client's delayed acknowledgement: 40 ms for every chunk of an upload.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((str(address), port))
            listener.listen(BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with --port, "
                "or stop what uses it."
            ) from None
        yield listener


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        if address.is_loopback:
            return address
    raise ConfigError(
        f"halfrate listens on loopback addresses only, and {host} is none: it has no API keys yet, so "
        "whoever reaches the port could do everything. Use --host 127.0.0.1, and a proxy that checks "
        "who is calling in front of it."
    )
