"""What keeps an Engine from answering, for as long as it does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """``what`` happened, as a sentence.

    ``again_at`` is when it is tried again, in seconds since the Unix epoch, and ``attempt`` the number of
    that try; each is None where nobody knows. ``rate_limited`` means that an upstream asked to be left alone.
    """

    what: str
    again_at: float | None = None
    attempt: int | None = None
    rate_limited: bool = False

    def limited(self, now: float) -> bool:
        """Whether the upstream still is to be left alone."""
        return self.rate_limited and (self.again_at is None or now < self.again_at)

    def __str__(self) -> str:
        return self.what
