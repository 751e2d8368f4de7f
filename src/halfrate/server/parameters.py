"""What may stand around any call: how its answer is to look, and another method's name."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request as Call
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halfrate.domain.errors import InvalidArgument
from halfrate.server.answers import JSON, json_answer
from halfrate.server.faults import answer_for
from halfrate.server.paths import VERSIONS
from halfrate.wire.gemini.parameters import Look, parse_look

_OF_THE_API = re.compile(rf"(/upload|/download)?/({'|'.join(VERSIONS)})/(?!openai/)")  # which has none of it
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Parameters:
    """Lets calls of the API through as they are meant, and shapes JSON answers as they ask for.

    A shaped answer is held as a whole. Server-sent events, and bytes of Files, go through as they are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through, or refuse it."""
        if scope["type"] != "http" or not _OF_THE_API.match(_own_path(scope)):
            await self._app(scope, receive, send)
            return
        try:
            look = parse_look(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            scope = {**scope, "method": _method_meant(scope)}
        except InvalidArgument as error:
            await answer_for(error)(scope, receive, send)
            return
        if not look.plain:
            send = _Shaped(look, scope, receive, send)
            scope = _asking_for_plain_bytes(scope)
        await self._app(scope, receive, send)


def _own_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _method_meant(scope: Scope) -> str:
    """Return the method of a call. One that cannot be sent everywhere may come as a POST that names it."""
    sent: str = scope["method"]
    meant = Headers(scope=scope).get("x-http-method-override", sent).upper()
    if meant not in _METHODS:
        raise InvalidArgument(
            f"X-HTTP-Method-Override is {meant[:40]!r}; it must be one of {', '.join(_METHODS)}."
        )
    return meant if sent == "POST" else sent


def _asking_for_plain_bytes(scope: Scope) -> Scope:
    """Return the call with no wish for compression: what is to be shaped must be read."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
    return {**scope, "headers": headers}


class _Shaped:
    """Sends an answer on: a JSON body when it is whole, shaped and compressed; anything else as it comes."""

    def __init__(self, look: Look, scope: Scope, receive: Receive, send: Send) -> None:
        self._look = look
        self._call = Call(scope)
        self._scope = scope
        self._receive = receive
        self._send = send
        self._start: Message | None = None
        self._pieces: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        refused = start["status"] != 200
        body = self._look.of(b"".join(self._pieces), refused=refused)
        answer = await json_answer(self._call, body, status=start["status"])
        ours = {name.lower() for name, _ in answer.raw_headers}
        answer.raw_headers += [header for header in start["headers"] if header[0].lower() not in ours]
        await answer(self._scope, self._receive, self._send)


def _is_json(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value == JSON.encode() for name, value in start["headers"])
