"""When a process dies."""

from __future__ import annotations

from collections import Counter

from halfrate.crashpoints import CrashPoint


class Crashed(BaseException):
    """The process died here. Nothing that it does afterwards has any effect."""


class Fate:
    """Lets the process die when it has passed ``passes`` points, or ``point`` that often; never, if None."""

    def __init__(self, passes: int | None = None, *, point: CrashPoint | None = None) -> None:
        self._passes_left = passes
        self._point = point
        self.passed: Counter[CrashPoint] = Counter()
        self.died_at: CrashPoint | None = None

    def reach(self, point: CrashPoint) -> None:
        """Pass a point, or die there."""
        self.check()
        self.passed[point] += 1
        if self._passes_left is not None and self._point in (None, point):
            self._passes_left -= 1
            if self._passes_left < 0:
                self.died_at = point
        self.check()

    def check(self) -> None:
        """Do nothing more in a process that is dead."""
        if self.died_at is not None:
            raise Crashed(self.died_at)
