"""Header names sent with their capitals, past an HTTP server that would put them in lower case."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_RECOGNISED = frozenset({b"content-length", b"transfer-encoding", b"connection"})
"""What the HTTP server itself looks for, and must find."""


class Spelled:
    """An application whose header names arrive as they are spelled.

    The official SDK shows its users the names as they came, and they look for ``Content-Type``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through, and keep the names of what comes back."""

        async def spelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(_Name(name), value) for name, value in message.get("headers", ())]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, spelled)


class _Name(bytes):
    """A name that stays what it is when it is put in lower case, unless the server must know it."""

    def lower(self) -> bytes:
        lower = super().lower()
        return lower if lower in _RECOGNISED else self
