"""One GET of a page of a client's choice: checked, bounded in time and size, redirects checked as well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Self, cast

from halfrate.domain.errors import InvalidArgument
from halfrate.net.post import ADDRESSES_MAX, LookUp, SystemNames
from halfrate.net.targets import Target, Targets

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult
    from yarl import URL

CONNECTIONS_MAX = 256
REDIRECTS_MAX = 5
USER_AGENT = "halfrate (+reads the pages that prompts name)"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 << 10
_HEAD_BYTES_MAX = 16 << 10


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. ``url`` is where it came from at last; ``media_type`` is bare and in small letters.

    ``charset`` is None where the answer does not say. ``retry_after_seconds`` is what it asks for.
    """

    url: str
    status: int
    media_type: str
    charset: str | None
    body: bytes
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NotGot:
    """Why there is no answer. ``unsafe``: nobody may be sent there. ``passing``: another try may help."""

    problem: str
    unsafe: bool = False
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a page, and how long."""

    bytes_max: int = 5 << 20
    seconds: float = 30
    connect_seconds: float = 10
    silence_seconds: float = 10


class Fetcher:
    """Gets pages. `__aenter__` before use; leaving closes every connection. It keeps no cookies."""

    def __init__(
        self,
        targets: Targets,
        *,
        bounds: Bounds | None = None,
        look_up: LookUp | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._targets = targets
        self._bounds = bounds or Bounds()
        self._look_up = look_up or SystemNames().look_up
        self._tls = tls
        self._stack = AsyncExitStack()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def get(self, url: str, *, accept: str = "*/*") -> Got | NotGot:
        """Get ``url``, normalised already. Raises nothing that the other end can cause."""
        import aiohttp  # noqa: PLC0415 - most servers never read a page

        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await self._follow(url, {"Accept": accept, "User-Agent": USER_AGENT})
        except TimeoutError:
            return NotGot(f"it was not there after {self._bounds.seconds:g} s", passing=True)
        except InvalidArgument as error:
            return NotGot(str(error), unsafe=True)
        except (aiohttp.ClientError, OSError, UnicodeError, ValueError) as error:
            return NotGot(f"it cannot be reached: {error or type(error).__name__}", passing=True)

    async def _follow(self, url: str, headers: Mapping[str, str]) -> Got | NotGot:
        for _ in range(REDIRECTS_MAX + 1):
            target = self._targets.read(url)
            if target.address is not None:
                self._targets.admit(target, target.address)
            async with (await self._opened()).get(
                _as_sent(target), headers=headers, allow_redirects=False
            ) as answer:
                place = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or place is None:
                    return await self._read(url, answer)
            url = normalised(place, base=url)
        return NotGot(f"it leads on more than {REDIRECTS_MAX} times")

    async def _read(self, url: str, answer: aiohttp.ClientResponse) -> Got | NotGot:
        body = bytearray()
        # What is decompressed is counted: a small answer may be made to become a very large one.
        async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._bounds.bytes_max:
                return NotGot(f"it has more than {self._bounds.bytes_max:,} bytes")
        media_type, charset = _kind(answer.headers.get("Content-Type", ""))
        return Got(url, answer.status, media_type, charset, bytes(body), _retry_after(answer.headers))

    async def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp  # noqa: PLC0415

            bounds = self._bounds
            connector = aiohttp.TCPConnector(
                resolver=cast("AbstractResolver", CheckedNames(self._targets, self._look_up)),
                limit=CONNECTIONS_MAX,
                ssl=self._tls if self._tls is not None else True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=bounds.connect_seconds, sock_read=bounds.silence_seconds
                ),
                trust_env=False,  # a proxy would connect where nobody checks
                max_line_size=_HEAD_BYTES_MAX,
                max_field_size=_HEAD_BYTES_MAX,
            )
            await self._stack.enter_async_context(self._session)
        return self._session


def normalised(url: str, *, base: str | None = None) -> str:
    """Return a URL as it is sent: no fragment, every character visible ASCII, the host's name in its own.

    Raise `InvalidArgument` if it is none.
    """
    from yarl import URL  # noqa: PLC0415

    try:
        read = URL(url) if base is None else URL(base).join(URL(url))
        return str(read.with_fragment(None))
    except (ValueError, TypeError, UnicodeError) as error:
        raise InvalidArgument(f"The URL {url[:200]!r} cannot be called: {error}.") from None


def _as_sent(target: Target) -> URL:
    """Return exactly what was checked, to be sent as it is: nobody reads it again, perhaps otherwise."""
    from yarl import URL  # noqa: PLC0415

    return URL(f"{target.scheme}://{target.authority}{target.path}", encoded=True)


class CheckedNames:
    """A resolver for aiohttp that tells only addresses that may be called: they are the ones connected to."""

    def __init__(self, targets: Targets, look_up: LookUp) -> None:
        self._targets = targets
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up. Raise `InvalidArgument` if it leads where nobody may be sent."""
        addresses = await self._look_up(host, port)
        target = Target("http", host, port, "/")
        # All of them: a name that leads inside as well is not to be trusted at all.
        for address in addresses:
            self._targets.admit(target, address)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in addresses[:ADDRESSES_MAX]
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def _kind(content_type: str) -> tuple[str, str | None]:
    read = Message()
    read["Content-Type"] = content_type
    charset = read.get_content_charset()
    return (read.get_content_type() if content_type else ""), charset


def _retry_after(headers: Mapping[str, str]) -> float | None:
    said = headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 7 else None
