"""What an upstream is, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from halfrate.domain.kind import Kind
from halfrate.engines.api import Ability


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds each phase of a call may take."""

    connect_seconds: float = 10.0
    first_token_seconds: float = 600.0  # from the call to the first piece of a streamed answer
    between_tokens_seconds: float = 60.0
    total_seconds: float = 3_600.0


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """One model of one or more servers that are alike.

    ``urls`` are base URLs, each of a replica, as in ``http://127.0.0.1:8000/v1``. ``None`` means: find out
    from the server. ``key`` is the secret itself, which is never logged or shown; ``key_env`` is where it
    came from, which is told to whoever has to mend it.
    """

    urls: tuple[str, ...]
    model: str | None = None
    kind: Kind = Kind.GENERATION
    server: str | None = None
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None
    context_tokens: int | None = None
    abilities: frozenset[Ability] | None = None
    thinks: bool | None = None
    stream: bool = False
    concurrency_min: int = 1
    concurrency_max: int = 64  # at each of the servers
    requests_per_minute: float | None = None  # at all of them together
    tokens_per_minute: float | None = None
    patience: Patience = Patience()
    answer_bytes_max: int = 64 << 20
    proxy_from_env: bool = False
    ca_file: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = 8_192  # for an API that wants every answer bounded
    cache_ttl: Literal["5m", "1h"] | None = None  # how long that API is to keep what prompts begin with
    look_seconds: float = 0.5  # before a server that is down is asked again; doubles
    look_seconds_max: float = 30.0
