"""How much may be used of what is allowed in a time. It asks no clock."""

from __future__ import annotations

MINUTE = 60.0

BURST_SECONDS = 1.0
"""What is allowed in a minute is not to be used up in its first second: so much of it can be saved up."""


class Bucket:
    """Holds up to ``capacity``; ``per_second`` flows in, and at ``full_at`` it is full in any case.

    What is larger than the bucket may be taken when it is full, and what turns out to have been larger than
    thought is owed.
    """

    def __init__(
        self,
        *,
        capacity: float,
        per_second: float,
        level: float | None = None,
        at: float = 0.0,
        full_at: float = float("inf"),
    ) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._level = capacity if level is None else level
        self._at = at
        self._full_at = full_at

    @classmethod
    def per_minute(cls, amount: float) -> Bucket:
        """Return one that lets through so much in a minute, evenly."""
        per_second = amount / MINUTE
        return cls(capacity=max(per_second * BURST_SECONDS, 1.0), per_second=per_second)

    def opens_at(self, amount: float, now: float) -> float:
        """Return when so much can be taken: ``now``, or later."""
        self._flow(now)
        missing = min(amount, self._capacity) - self._level
        if missing <= 1e-9:
            return now
        flows_in = missing / self._per_second if self._per_second else float("inf")
        return min(now + flows_in, self._full_at)

    def take(self, amount: float, now: float) -> None:
        """Take so much, even if it is not there. Less than nothing is given back."""
        self._flow(now)
        self._level = min(self._level - amount, self._capacity)

    def _flow(self, now: float) -> None:
        if now >= self._full_at:
            self._level, self._full_at = self._capacity, float("inf")
        elif now > self._at:
            self._level = min(self._level + (now - self._at) * self._per_second, self._capacity)
        self._at = max(now, self._at)
