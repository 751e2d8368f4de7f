"""The seam between an upstream Engine and what its server speaks. A dialect does no input or output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from halfrate.domain.outcome import Delta, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.engines.api import EngineFacts
from halfrate.wire.rejected import Rejected


@dataclass(frozen=True, slots=True)
class Call:
    """What to send: a GET without a ``body``, else a POST of JSON, unless ``method`` or ``headers`` say more.

    ``path`` follows the upstream's base URL, or its bare origin where it is ``from_root``. A call that does
    something new each time goes out ``once``, also where it seems that a connection was stale.
    """

    path: str
    body: bytes | None = None
    from_root: bool = False
    method: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer, whatever its status. ``body`` is empty where it was heard piece by piece.

    The names in ``headers`` are in lower case.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Lack(StrEnum):
    """Why there is no whole HTTP answer."""

    UNREACHABLE = "unreachable"  # no connection: the server has not seen the call
    BROKEN_OFF = "broken_off"  # the connection was lost before the answer was whole
    SILENT = "silent"  # the answer took longer than the upstream is waited for
    TOO_LARGE = "too_large"  # more bytes than are taken
    NOT_HTTP = "not_http"  # what came is no answer of HTTP, or a redirect


@dataclass(frozen=True, slots=True)
class NoReply:
    """No whole HTTP answer. ``detail`` is a sentence that says what happened, and where."""

    why: Lack
    detail: str


@dataclass(frozen=True, slots=True)
class Instead:
    """The server cannot be asked in this way. ``request`` means the same to it, and is asked at once."""

    request: AnyRequest


class Listener(Protocol):
    """Hears one streamed answer."""

    @property
    def done(self) -> bool:
        """Whether the answer is complete: what may still come says nothing."""
        ...

    def hear(self, data: bytes) -> list[Delta]:
        """Take bytes as they come, cut anywhere, and return the pieces of the answer that are complete."""
        ...

    def outcome(self) -> Outcome | Rejected:
        """Return what all of it says together. A stream that was cut is `Failed`."""
        ...


Fetch = Callable[[Call], Awaitable[Reply | NoReply]]
"""Makes one call, for a dialect that asks a server about itself."""


class Dialect(Protocol):
    """How one kind of server is asked, and what its answers mean."""

    def headers(self) -> Mapping[str, str]:
        """Return what every call carries: who is calling."""
        ...

    async def discover(self, fetch: Fetch) -> EngineFacts:
        """Ask the server what it is, and remember that for every call.

        Raise `Unreachable` if it does not answer now, `EngineBroken` if it never will until somebody mends
        something.
        """
        ...

    def ask(self, request: AnyRequest, *, streamed: bool) -> Call | Outcome:
        """Return the call that asks for this, or why it cannot be asked."""
        ...

    def read(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected | Instead:
        """Return what a whole answer says, whatever its status."""
        ...

    def listener(self, request: AnyRequest) -> Listener:
        """Return who hears the streamed answer to this."""
        ...

    async def count_tokens(self, request: AnyRequest, fetch: Fetch) -> int:
        """Return the tokens of the prompt: counted by the server where it does so, else estimated."""
        ...
