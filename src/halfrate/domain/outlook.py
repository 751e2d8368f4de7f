"""What a Job's numbers do not say by themselves: why it waits, when it may end, whether that is in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from halfrate.domain.job import Job, JobState
from halfrate.domain.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Eta:
    """When a Job ends, as told at ``at``: the likely time, in a range. Seconds since the Unix epoch."""

    at: float
    earliest: float
    likely: float
    latest: float

    @property
    def left_seconds(self) -> float:
        """How long it is likely to take from the moment it was told."""
        return self.likely - self.at


@dataclass(frozen=True, slots=True)
class Promise:
    """By when a Job is to be done. ``holds`` is None while nobody can tell; ``reason`` is a sentence."""

    by: float
    holds: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """All of it. Each is None where there is nothing to say."""

    waiting: Waiting | None = None
    eta: Eta | None = None
    promise: Promise | None = None


def promise_of(job: Job, *, now: float, eta: Eta | None, waiting: Waiting | None) -> Promise | None:
    """Say whether a Job keeps its promise. None for one that was cut short: nothing is owed any more."""
    by = job.promised_at
    if job.state is JobState.FAILED or job.stopped_by is not None:
        return None
    if job.ended_at is not None:
        kept = job.ended_at <= by
        return Promise(by, kept, None if kept else f"It ended {_span(job.ended_at - by)} late.")
    if now > by:
        return Promise(by, False, f"It is {_span(now - by)} late already.")
    if eta is None:
        return Promise(by, None, waiting.sentence if waiting else "Its pace is not known yet.")
    return _expected(by, eta)


def _expected(by: float, eta: Eta) -> Promise:
    if eta.latest <= by:
        return Promise(by, True)
    if eta.likely <= by:
        return Promise(by, None, f"It may take until {_instant(eta.latest)}.")
    return Promise(by, False, f"It is likely to take until {_instant(eta.likely)}.")


def _instant(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
