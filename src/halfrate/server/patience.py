"""What the HTTP server below the application does not bound: slow heads, long heads, and connections.

uvicorn closes a connection that is idle after an answer, and has no limit for one that never asks, asks one
byte at a time, goes on sending a body that was refused, or does not take its answer.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from asyncio import TimerHandle
from contextlib import suppress

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from halfrate.config import ServerConfig
from halfrate.wire.gemini.errors import error_body

HEAD_BYTES_MAX = 64 << 10
"""Bytes of a call that are not its body: the head, and what chunked bodies have around them."""


def patient_protocol(settings: ServerConfig) -> type[asyncio.Protocol]:
    """Return the protocol of a server under these settings, for uvicorn's ``http``.

    A connection beyond ``connections`` is answered with 503. A head must be complete within
    ``head_seconds`` of the connection's beginning or of the last answer's end; so must the rest of a body
    that was answered before it had arrived. Otherwise the connection is closed. A client that takes less of
    an answer than ``bytes_per_second``, looked at every ``silence_seconds``, is cut off.
    """

    class Patient(_Patient):
        head_seconds = settings.head_seconds
        connections_max = settings.connections
        silence_seconds = settings.silence_seconds
        bytes_per_second = settings.bytes_per_second

    return Patient


class _Patient(HttpToolsProtocol):
    head_seconds: float
    connections_max: int
    silence_seconds: float
    bytes_per_second: float

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._waiting: TimerHandle | None = None
        self._taking: TimerHandle | None = None
        self._overhead_bytes = 0
        self._got_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._wait()
        if len(self.connections) > self.connections_max:
            self._turn_away(503, "UNAVAILABLE", "Too many connections are open. Try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._got_body = False
        super().data_received(data)
        self._overhead_bytes = 0 if self._got_body else self._overhead_bytes + len(data)
        if self._overhead_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._turn_away(
                431, "INVALID_ARGUMENT", f"The head of a call has {HEAD_BYTES_MAX} bytes at most."
            )

    def on_headers_complete(self) -> None:
        self._got_body = True
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._got_body = True
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Unless the next call has come meanwhile, its head, or the rest of a body, is what is waited for.
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _watch(self) -> None:
        """Look again whether the client takes what waits for it: without that it would be held for ever."""
        self._taking = self.loop.call_later(self.silence_seconds, self._look, self._unsent_bytes())

    def _look(self, unsent_bytes_before: int) -> None:
        taken_bytes = unsent_bytes_before - self._unsent_bytes()
        if taken_bytes < self.silence_seconds * self.bytes_per_second:
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _unsent_bytes(self) -> int:
        """Return what waits here and in the system, which takes some megabytes, and at long intervals."""
        waiting_bytes = self.transport.get_write_buffer_size()
        with suppress(OSError):
            queued = fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
            waiting_bytes += int.from_bytes(queued, sys.byteorder)
        return waiting_bytes

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _turn_away(self, code: int, status: str, message: str) -> None:
        body = error_body(code, status, message)
        head = (
            f"HTTP/1.1 {code} {status}\r\nContent-Type: application/json; charset=UTF-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(head.encode() + body)
        self.transport.close()
