"""How Requests become batches of an upstream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Where batches are kept, and how large, how many and how often they are.

    Requests are gathered until there are ``requests_max`` or ``bytes_max`` of them, or ``wait_seconds`` have
    passed since the first. At most ``active_max`` batches are at the upstream, of ``tokens_max`` together, as
    far as can be told from their bytes. Who lets go of a whole batch may come back within
    ``abandon_seconds``. What was answered and not taken is kept for ``keep_seconds``, what was taken for
    ``settle_seconds``: whoever took it has then made it durable.
    """

    folder: Path
    lanes: int = 20_000
    requests_max: int = 10_000
    bytes_max: int = 64 << 20
    wait_seconds: float = 10.0
    active_max: int = 50
    tokens_max: int | None = None
    poll_seconds: float = 5.0
    poll_seconds_max: float = 60.0
    retry_seconds: float = 5.0
    retry_seconds_max: float = 300.0
    abandon_seconds: float = 30.0
    settle_seconds: float = 60.0
    keep_seconds: float = 48 * 3_600.0
