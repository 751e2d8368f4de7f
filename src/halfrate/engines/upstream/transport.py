"""Calls to one server over HTTP: few connections, used again, and no phase of a call that lasts for ever."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Self

import aiohttp

from halfrate.domain.errors import ConfigError
from halfrate.engines.upstream.dialect import Call, Lack, NoReply, Reply
from halfrate.engines.upstream.settings import Patience

IDLE_SECONDS = 3.0
"""How long a connection is kept for the next call. Servers close theirs after five seconds, or more."""

STALE_SECONDS = 0.1
"""A kept connection that ends within this time of a call being sent had ended before: nobody saw the call."""

GRACE_SECONDS = 1.0
"""How long the end of a stream is waited for whose answer is complete."""

_READ_BYTES = 1 << 16

Heard = Callable[[bytes], bool]
"""Takes a piece of a streamed answer, and says whether the answer is complete."""


class Transport:
    """Calls the server at ``url``. A lifetime is ``async with transport``; it bounds no number of calls.

    Entering it raises `ConfigError` if ``ca_file`` cannot be used. Nothing is sent where the environment
    says (proxies, passwords) unless ``proxy_from_env``, certificates are checked, redirects are not followed,
    and no answer is longer than ``answer_bytes_max``.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        patience: Patience,
        answer_bytes_max: int,
        proxy_from_env: bool = False,
        ca_file: str | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = dict(headers)
        self._patience = patience
        self._answer_bytes_max = answer_bytes_max
        self._proxy_from_env = proxy_from_env
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=0,  # bounded by those who call
            keepalive_timeout=IDLE_SECONDS,
            ssl=_trusting(self._ca_file),
            socket_factory=_watched_socket,
        )
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            trace_configs=[tracing],
            connector=connector,
            # An answer is read as it is sent: what is small on the wire stays small in memory.
            headers={"Accept-Encoding": "identity", "User-Agent": "halfrate", **self._headers},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=self._proxy_from_env,
            read_bufsize=_READ_BYTES,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call, heard: Heard | None = None, *, keep: bool = True) -> Reply | NoReply:
        """Make one call. What the other end does wrong is a `NoReply`; cancelling hangs up.

        With ``heard``, the body of an answer of status 200 goes there as it comes. The connection is kept for
        a later call, unless it is not to ``keep``.
        """
        progress = _Progress(self._patience, streamed=heard is not None)
        reply = await self._send(call, heard, progress, keep=keep)
        if not isinstance(reply, NoReply) or call.once or not progress.found_stale(reply):
            return reply
        fresh = await self._send(
            call, heard, _Progress(self._patience, streamed=heard is not None), keep=keep
        )
        # If the server is gone now, it is not sure that it had not seen the first one.
        return reply if isinstance(fresh, NoReply) and fresh.why is Lack.UNREACHABLE else fresh

    async def _send(
        self, call: Call, heard: Heard | None, progress: _Progress, *, keep: bool
    ) -> Reply | NoReply:
        try:
            async with progress.limit:
                return await self._exchange(call, heard, progress, keep=keep)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # A server that does not end a stream whose answer is complete is hung up, and that is all.
            return Reply(200) if progress.complete else self._told(error, progress)

    def _told(self, error: Exception, progress: _Progress) -> NoReply:
        """Say what went wrong, and how far the call had come."""
        match error:
            case aiohttp.ConnectionTimeoutError():
                seconds = self._patience.connect_seconds
                why, what = Lack.UNREACHABLE, f"let nobody in within {seconds:g} s"
            case TimeoutError():
                why, what = Lack.SILENT, progress.told
            case aiohttp.ClientConnectorError():
                why, what = Lack.UNREACHABLE, f"cannot be reached: {_reason(error)}"
            case aiohttp.ClientPayloadError():
                why, what = Lack.BROKEN_OFF, "broke off in the middle of an answer"
            case aiohttp.ClientResponseError():
                why, what = Lack.NOT_HTTP, f"gave no valid HTTP answer: {error.message}"
            case _:
                why, what = Lack.BROKEN_OFF, f"hung up before it answered: {_reason(error)}"
        return NoReply(why, f"{self.url} {what}.")

    async def _exchange(
        self, call: Call, heard: Heard | None, progress: _Progress, *, keep: bool
    ) -> Reply | NoReply:
        assert self._session is not None, "entered"
        response = await self._session.request(
            call.method or ("GET" if call.body is None else "POST"),
            self._target(call),
            data=call.body,
            headers=call.headers or (None if keep and call.body is None else _HEADERS[keep]),
            allow_redirects=False,
            trace_request_ctx=progress,
        )
        progress.answered = True
        try:
            if 300 <= response.status < 400:
                return self._redirected(response)
            if heard is not None and response.status == 200:
                too_large = await self._hear(response, heard, progress)
                body: bytes | None = None if too_large else b""
            else:
                body = await self._read(response)
            if body is None:
                return NoReply(
                    Lack.TOO_LARGE, f"{self.url} answered with more than {self._answer_bytes_max:,} bytes."
                )
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, body, headers)
        finally:
            # What has been read to its end has given its connection back: only others are hung up.
            response.close()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the whole body, None if it is too large."""
        if (response.content_length or 0) > self._answer_bytes_max:
            return None
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > self._answer_bytes_max:
                return None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _hear(self, response: aiohttp.ClientResponse, heard: Heard, progress: _Progress) -> bool:
        """Hand pieces over until the end of the stream. Return whether there was too much of it."""
        size = 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > self._answer_bytes_max:
                return True
            progress.on_piece(complete=heard(piece))
        return False

    def _target(self, call: Call) -> str:
        if not call.from_root:
            return self.url + call.path
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}{call.path}"

    def _redirected(self, response: aiohttp.ClientResponse) -> NoReply:
        where = response.headers.get("Location", "nowhere")[:200]
        return NoReply(
            Lack.NOT_HTTP, f"{self.url} sends calls on to {where}. Redirects are not followed: set that URL."
        )


_JSON = {"Content-Type": "application/json"}
_HEADERS = {True: _JSON, False: {**_JSON, "Connection": "close"}}


async def _note_reuse(session: object, context: SimpleNamespace, params: object) -> None:
    context.trace_request_ctx.reused = True


class _Progress:
    """How far a call has come, and when the phase that has begun is over, moved on as pieces come."""

    def __init__(self, patience: Patience, *, streamed: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._began = self._loop.time()
        self._end = self._began + patience.total_seconds
        first = patience.first_token_seconds if streamed else patience.total_seconds
        self._phase_seconds = min(first, patience.total_seconds)
        self._told = "gave no answer"
        self.reused = False  # whether it went over a connection that had been kept
        self.answered = False  # whether the head of an answer came
        self.complete = False
        self.limit = asyncio.timeout(self._phase_seconds)

    @property
    def told(self) -> str:
        """What did not come in time, and in which."""
        if self._loop.time() >= self._end:
            return f"was not done within {self._patience.total_seconds:g} s"
        return f"{self._told} within {self._phase_seconds:g} s"

    def found_stale(self, reply: NoReply) -> bool:
        """Whether the server had hung up before the call, and the news of it met the call on its way."""
        is_early = self._loop.time() - self._began < STALE_SECONDS
        return reply.why is Lack.BROKEN_OFF and self.reused and not self.answered and is_early

    def on_piece(self, *, complete: bool) -> None:
        """Wait for the next piece from now on."""
        self.complete = complete
        self._told = "said no more"
        self._phase_seconds = GRACE_SECONDS if complete else self._patience.between_tokens_seconds
        self.limit.reschedule(min(self._end, self._loop.time() + self._phase_seconds))


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """Return what checks certificates. Raise `ConfigError` if there are none in the file."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # those of TLS are as well
        raise ConfigError(
            f"The ca_file {ca_file} has no certificates in PEM format: {_reason(error)}."
        ) from None


def _watched_socket(address: tuple[object, ...]) -> socket.socket:
    """Return a socket that notices within a minute that the other machine is gone."""
    family, kind, protocol, *_ = address
    watched = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
    watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            watched.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return watched


def _reason(error: Exception) -> str:
    """Return what the system says, without what the library says around it."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(getattr(inner, "strerror", None) or inner or type(inner).__name__).rstrip(".")
