"""Where this server is, as its clients see it, and which names it answers to."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request as Call
from starlette.types import ASGIApp, Receive, Scope, Send

from halfrate.server.faults import refused

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Origin:
    """The public address of this server.

    ``public_url`` may carry a path: calls may then come with or without it. ``hosts`` are names besides
    those of the loopback and of ``public_url``.
    """

    def __init__(self, public_url: str | None = None, *, hosts: Collection[str] = ()) -> None:
        self._public_url = public_url.rstrip("/") if public_url else None
        public = urlsplit(self._public_url or "")
        self.prefix = public.path
        self._hosts = LOOPBACK | {host.lower() for host in hosts} | ({public.hostname or ""} - {""})

    def base_url(self, call: Call) -> str:
        """Return the URL clients put in front of ``/v1beta/...``, without a slash at the end."""
        if self._public_url is not None:
            return self._public_url
        headers = call.headers
        host = headers.get("x-forwarded-host", "")
        if not self._admits(host):
            host = headers.get("host") or _server_address(call)
        scheme = headers.get("x-forwarded-proto", call.url.scheme)
        if scheme not in ("http", "https"):
            scheme = "http"
        return f"{scheme}://{host}{call.scope.get('root_path', '')}"

    def versioned_url(self, call: Call) -> str:
        """Return the URL under which clients find resources, with the version this call names."""
        return f"{self.base_url(call)}/{call.path_params['version']}"

    def admits(self, headers: Headers) -> bool:
        """Whether a call is meant for this server, and not sent by a page of another site.

        A page elsewhere can make its own name point at the loopback: the Host then gives it away.
        """
        host = headers.get("host")
        origin = headers.get("origin")
        from_here = origin is None or self._admits(urlsplit(origin).netloc)
        return (host is None or self._admits(host)) and from_here

    def _admits(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname if host else None
        return name is not None and name in self._hosts


def _server_address(call: Call) -> str:
    host, port = call.scope.get("server") or ("localhost", None)
    return f"{host}:{port}" if port else host


class Gate:
    """Lets calls through that are meant for this server, and takes the public path off them."""

    def __init__(self, app: ASGIApp, origin: Origin) -> None:
        self._app = app
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._admitted(scope):
            answer = refused(
                403,
                "PERMISSION_DENIED",
                "This server does not answer to that Host or Origin. If it should, set its public URL.",
            )
            await answer(scope, receive, send)
            return
        prefix = self._origin.prefix
        if prefix and scope["path"].startswith(f"{prefix}/"):
            scope = {**scope, "root_path": prefix}
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope) -> bool:
        try:
            return self._origin.admits(Headers(scope=scope))
        except ValueError:  # a Host that is no address at all
            return False
