"""How fast calls may follow each other at a server that says "too many" and when to come back. Pure."""

from __future__ import annotations

import math

PATIENCE = 30.0
"""A faster pace is tried over so many times the pause that the server asked for: being wrong costs one."""

GROWTH_MIN = 0.05
"""By how much, at least, in that time."""

SLACK_SECONDS = 0.01
"""Calls that could not be begun in time are made up for, as far back as this."""


class Throttle:
    """Learns the rate that a server allows, from when it refused and what it answered in between.

    Between two refusals the server let through what it allows in that time, or less: if its allowance was
    whole again before the pause was over, some of it was lost. While calls were made it allowed what it
    answered, or less: it may have saved something up. The pace is taken between these two, so that it
    never is below what came of refusals and pauses alone, and is raised slowly from there.
    """

    def __init__(self) -> None:
        self._per_second = math.inf
        self._growth = 0.0
        self._patience_seconds = PATIENCE
        self._served = 0
        self._refused_at: float | None = None
        self._paused_until = 0.0
        self._next_at = 0.0

    @property
    def paused_until(self) -> float:
        """Until when nothing is to be asked."""
        return self._paused_until

    def opens_at(self, now: float) -> float:
        """Return when the next call may begin: ``now``, or later."""
        return max(self._paused_until, self._next_at, now)

    def began(self, now: float) -> None:
        """Note a call."""
        if self._per_second < math.inf:
            self._next_at = max(self._next_at, now - SLACK_SECONDS) + 1 / self._rate(now)

    def answered(self) -> None:
        """Note an answer."""
        self._served += 1

    def refused(self, now: float, *, pause_seconds: float) -> None:
        """Note that the server is to be left alone for so long."""
        if now >= self._paused_until:
            self._learn(now, pause_seconds)
        self._paused_until = max(self._paused_until, now + pause_seconds)

    def _learn(self, now: float, pause_seconds: float) -> None:
        seconds = now - self._paused_until
        if self._refused_at is not None and self._served and seconds > 0:
            low, high = self._served / (now - self._refused_at), self._served / seconds
            self._per_second = math.sqrt(low * high)
            self._growth = max(high - self._per_second, GROWTH_MIN * self._per_second)
            self._patience_seconds = PATIENCE * max(pause_seconds, 0.1)
        self._refused_at, self._served = now, 0

    def _rate(self, now: float) -> float:
        # The longer it goes well, the more there is to gain.
        patiences = max(now - self._paused_until, 0.0) / self._patience_seconds
        return self._per_second + self._growth * (patiences + patiences**2)
