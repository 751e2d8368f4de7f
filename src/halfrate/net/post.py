"""One POST to an address of a client's choice: checked, bounded in time and size, and never redirected."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import h11

from halfrate.domain.errors import Refusal
from halfrate.net.targets import Target, Targets

ADDRESSES_MAX = 4
"""Addresses of a name that are tried."""

LOOKUPS_MAX = 64
"""Names looked up at once. A look-up cannot be stopped: it keeps its thread until the system gives up."""

_READ_BYTES = 4_096
_HEAD_BYTES_MAX = 16_384
_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of a call: the ``status`` of the answer, or None and the ``problem`` there was instead.

    ``retry_after_seconds`` is how long a receiver wants to be left alone that cannot take it now.
    """

    status: int | None
    problem: str = ""
    retry_after_seconds: float | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.problem if self.status is None else f"The receiver answered {self.status}."


LookUp = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host. Raises `OSError` if there are none."""


class Poster:
    """Makes calls. Only the head of an answer is read: nothing else matters."""

    def __init__(
        self,
        targets: Targets,
        *,
        timeout_seconds: float,
        look_up: LookUp | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._targets = targets
        self._timeout_seconds = timeout_seconds
        self._look_up = look_up or SystemNames().look_up
        self._given_tls = tls

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Posted:
        """Send ``body`` and return what came of it. Raises nothing that the other end can cause."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._post(self._targets.read(url), headers, body)
        except TimeoutError:
            return Posted(None, f"There was no answer within {self._timeout_seconds:g} s.")
        except Refusal as error:
            return Posted(None, str(error))
        except (OSError, h11.RemoteProtocolError, UnicodeError) as error:
            return Posted(None, f"The receiver cannot be reached: {error}.")

    async def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Posted:
        reader, writer = await self._connect(target)
        try:
            return await _exchange(reader, writer, _request(target, headers, body), body)
        finally:
            writer.transport.abort()  # no waiting for what the other end may still have to say

    async def _connect(self, target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        addresses = [target.address] if target.address else await self._look_up(target.host, target.port)
        # All of them before the first call: a name that leads inside as well is not to be trusted at all.
        for address in addresses:
            self._targets.admit(target, address)
        problem = OSError(f"{target.host} has no address")
        for address in addresses[:ADDRESSES_MAX]:
            try:
                # The address, not the name: between this call and the check nobody may look it up again.
                return await asyncio.open_connection(
                    address,
                    target.port,
                    ssl=self._tls if target.scheme == "https" else None,
                    server_hostname=target.host if target.scheme == "https" else None,
                )
            except OSError as error:
                problem = error
        raise problem

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()


class SystemNames:
    """Looks names up as the system does, on threads of its own: the slowest name holds up nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="halfrate-names")

    async def look_up(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, each once. Raise `OSError` if there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> h11.Request:
    named = {"Host": target.authority, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    return h11.Request(method="POST", target=target.path, headers=list(named.items()))


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: h11.Request, body: bytes
) -> Posted:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES_MAX)
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(part) or b"")
    await writer.drain()
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            return Posted(event.status_code, retry_after_seconds=_retry_after(event))
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))


_NOT_NOW = (429, 503)


def _retry_after(response: h11.Response) -> float | None:
    """Return the seconds that a receiver asks for. A date is passed over: its clock may be another one."""
    said = dict(response.headers).get(b"retry-after", b"")
    if response.status_code not in _NOT_NOW or not said.isdigit():
        return None
    return float(said[:_DIGITS_MAX])
