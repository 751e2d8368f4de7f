"""What keeps Jobs from going on, for whoever is asked why one waits."""

from __future__ import annotations

from halfrate.clock import Clock

FRESH_SECONDS = 30.0
"""Whoever is in trouble tries again sooner than that, and then says so again."""


class Troubles:
    """The last trouble of each Job, and of the whole data directory. One that is over is soon forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[str | None, tuple[float, str]] = {}

    def note(self, sentence: str, *, job_id: str | None = None) -> None:
        """Take down what keeps a Job, or without ``job_id`` all of them, from going on now."""
        self._forget_the_stale()
        self._noted[job_id] = (self._clock.now(), sentence)

    def clear(self, job_id: str) -> None:
        """Note that a Job got on: what kept it, and all of them, is over."""
        self._noted.pop(job_id, None)
        self._noted.pop(None, None)

    def of(self, job_id: str) -> str | None:
        """Return what keeps a Job from going on, None if nothing is known to."""
        self._forget_the_stale()
        _, sentence = self._noted.get(job_id) or self._noted.get(None) or (0.0, None)
        return sentence

    def _forget_the_stale(self) -> None:
        since = self._clock.now() - FRESH_SECONDS
        self._noted = {job_id: noted for job_id, noted in self._noted.items() if noted[0] > since}
