"""When a Job is to have ended, as a client says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant: ``seconds`` after the Job's creation, or, if ``absolute``, after the Unix epoch."""

    seconds: float
    absolute: bool = False

    def instant(self, now: float) -> float:
        """Return it for a Job that is created now, in seconds since the Unix epoch."""
        return self.seconds if self.absolute else now + self.seconds
