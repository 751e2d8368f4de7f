"""Why a Job does not move: a short code for programs, a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from halfrate.domain.job import Job, JobState
from halfrate.domain.trouble import Trouble

QUIET_SECONDS = 30.0
"""A running Job whose last Result is older than this says why."""


class WaitingCode(StrEnum):
    """What a Job waits for. The codes are part of the API: they are added to, and never changed."""

    VALIDATING = "validating"  # its input is being read and checked
    PLANNING = "planning"  # its Requests are being put in order
    QUEUED = "queued"  # other Jobs go first, or it is next
    MODEL_LOADING = "model_loading"  # its model is on the way into memory
    MODEL_NOT_SERVED = "model_not_served"  # the settings do not name its model any more
    ENGINE_DOWN = "engine_down"  # its Engine cannot answer, and perhaps is being started again
    RATE_LIMITED = "rate_limited"  # an upstream asked its Engine to wait
    DISK = "disk"  # what it made cannot be stored now
    ANSWERING = "answering"  # the model has its Requests and takes its time
    STOPPING = "stopping"  # its Requests in flight are being let go
    ASSEMBLING = "assembling"  # its output is being written


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reason: its code, and a sentence that says what must happen."""

    code: WaitingCode
    sentence: str


@dataclass(frozen=True, slots=True)
class Ahead:
    """How many Jobs go before one at an Engine, and how many Requests they still have for it."""

    jobs: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a Job and of what it depends on, at one moment.

    ``engine`` is one that still has Requests of it, its own if none is named: ``served``, ``ready``,
    ``trouble`` and ``ahead`` speak of that. ``held_up`` says what stops this Job alone, such as a full disk.
    The percentages are None where they are not known.
    """

    job: Job
    now: float
    served: bool = True
    ready: bool = True
    trouble: Trouble | None = None
    held_up: str | None = None
    indexed_percent: float | None = None
    assembled_percent: float | None = None
    ahead: Ahead = Ahead()
    engine: str | None = None

    @property
    def model(self) -> str:
        """The configured name of the model that this is about."""
        return self.engine or self.job.engine


def waiting_for_all(every: Sequence[Facts]) -> Waiting | None:
    """Return what a Job of several Engines waits for, given the Facts of each.

    None as long as it moves at one of them, unless another is not served any more: that nobody but the
    operator can mend. Else it is what is likely to end first.
    """
    reasons = [waiting(facts) for facts in every]
    for reason in reasons:
        if reason is not None and reason.code is WaitingCode.MODEL_NOT_SERVED:
            return reason
    if None in reasons:
        return None
    known = [(reason, facts.ahead.requests) for reason, facts in zip(reasons, every, strict=True) if reason]
    return min(known, key=lambda one: (_soonness(one[0].code), one[1]))[0]


def _soonness(code: WaitingCode) -> int:
    return _SOON.index(code) if code in _SOON else len(_SOON)


_SOON = (WaitingCode.ANSWERING, WaitingCode.QUEUED, WaitingCode.MODEL_LOADING)


def waiting(facts: Facts) -> Waiting | None:
    """Return what a Job waits for, None if it has ended or moves."""
    job = facts.job
    if job.state.final:
        return None
    if facts.held_up is not None:
        return Waiting(WaitingCode.DISK, facts.held_up)
    match job.state:
        case JobState.CANCELLING:
            return Waiting(WaitingCode.STOPPING, "Its requests in flight are being let go.")
        case JobState.ASSEMBLING:
            return Waiting(
                WaitingCode.ASSEMBLING, f"Its output is being written{_percent(facts.assembled_percent)}."
            )
        case _:
            return _before_the_engine(facts) or _engine(facts) or _at_the_engine(facts)


def _before_the_engine(facts: Facts) -> Waiting | None:
    job = facts.job
    if not facts.served:
        return Waiting(
            WaitingCode.MODEL_NOT_SERVED,
            f"The model {facts.model} is not served any more. Serve it again, or cancel the batch.",
        )
    if job.planned:
        return None
    if not job.counts.requests:
        return Waiting(
            WaitingCode.VALIDATING, f"Its input is being checked{_percent(facts.indexed_percent)}."
        )
    return Waiting(WaitingCode.PLANNING, "Its requests are being put in order.")


def _engine(facts: Facts) -> Waiting | None:
    if facts.trouble is not None and facts.trouble.limited(facts.now):
        return Waiting(WaitingCode.RATE_LIMITED, _limited(facts.trouble))
    if not facts.ready:
        if facts.trouble is None:
            return Waiting(WaitingCode.MODEL_LOADING, f"The model {facts.model} is loading.")
        return Waiting(WaitingCode.ENGINE_DOWN, _down(facts.trouble, facts.now))
    return None


def _at_the_engine(facts: Facts) -> Waiting | None:
    job = facts.job
    quiet_seconds = facts.now - job.updated_at
    if job.state is JobState.RUNNING and quiet_seconds < QUIET_SECONDS:
        return None
    if facts.ahead.jobs:
        return Waiting(WaitingCode.QUEUED, _behind(facts.ahead))
    if job.state is JobState.PENDING:
        return Waiting(WaitingCode.QUEUED, "It is next: it starts in a moment.")
    return Waiting(
        WaitingCode.ANSWERING, f"No result for {quiet_seconds:.0f} s: the model is still answering."
    )


def _down(trouble: Trouble, now: float) -> str:
    if trouble.again_at is None:
        return f"Engine down: {trouble.what}"
    attempt = "" if trouble.attempt is None else f" (attempt {trouble.attempt})"
    left_seconds = trouble.again_at - now
    when = f"Restarting in {left_seconds:.0f} s" if left_seconds >= 1 else "Restarting now"
    return f"Engine down: {trouble.what} {when}{attempt}."


def _limited(trouble: Trouble) -> str:
    if trouble.again_at is None:
        return f"Rate limited by upstream: {trouble.what}"
    until = datetime.fromtimestamp(trouble.again_at, UTC)
    return f"Rate limited by upstream until {until:%H:%M} UTC: {trouble.what}"


def _behind(ahead: Ahead) -> str:
    jobs = "1 job" if ahead.jobs == 1 else f"{ahead.jobs} jobs"
    requests = "1 request" if ahead.requests == 1 else f"{_short(ahead.requests)} requests"
    return f"Behind {jobs} with {requests}."


def _short(count: int) -> str:
    for size, name in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if count >= size:
            scale = 1_000 if name == "k" else size
            return f"{count / scale:.3g} {name}"
    return str(count)


def _percent(percent: float | None) -> str:
    return "" if percent is None else f" ({percent:.0f} % done)"
