"""A Job: one submitted batch, its states, and the one table of steps between them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from halfrate.domain.errors import IllegalTransition
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause
from halfrate.domain.sharing import Sharing
from halfrate.domain.usage import Usage


class JobState(StrEnum):
    """Where a Job is between acceptance and its output."""

    PENDING = "PENDING"  # accepted; no Shard has been claimed yet
    RUNNING = "RUNNING"  # Shards are being answered
    CANCELLING = "CANCELLING"  # no new Request is started; those in flight are being let go
    ASSEMBLING = "ASSEMBLING"  # every Result there will be is settled; the output is being written
    SUCCEEDED = "SUCCEEDED"  # every Request has its Result; single ones may be errors
    FAILED = "FAILED"  # the Job as a whole could not be run
    CANCELLED = "CANCELLED"  # stopped by the client; what was answered is published
    EXPIRED = "EXPIRED"  # the deadline passed; what was answered is published

    @property
    def final(self) -> bool:
        """Whether the Job will never move again."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobEvent(StrEnum):
    """What can happen to a Job."""

    START = "start"  # the first Shard was claimed
    STOP = "stop"  # the client cancelled, or the deadline passed
    DRAIN = "drain"  # no Shard is left open
    FAIL = "fail"  # the Job as a whole cannot be run
    PUBLISH = "publish"  # the output of a complete Job is in place
    PUBLISH_CANCELLED = "publish_cancelled"  # the output of a cancelled Job is in place
    PUBLISH_EXPIRED = "publish_expired"  # the output of an expired Job is in place


NEXT: dict[tuple[JobState, JobEvent], JobState] = {
    (JobState.PENDING, JobEvent.START): JobState.RUNNING,
    (JobState.PENDING, JobEvent.STOP): JobState.CANCELLING,
    (JobState.PENDING, JobEvent.DRAIN): JobState.ASSEMBLING,
    (JobState.PENDING, JobEvent.FAIL): JobState.FAILED,
    (JobState.RUNNING, JobEvent.STOP): JobState.CANCELLING,
    (JobState.RUNNING, JobEvent.DRAIN): JobState.ASSEMBLING,
    (JobState.RUNNING, JobEvent.FAIL): JobState.FAILED,
    (JobState.CANCELLING, JobEvent.DRAIN): JobState.ASSEMBLING,
    (JobState.CANCELLING, JobEvent.FAIL): JobState.FAILED,
    (JobState.ASSEMBLING, JobEvent.FAIL): JobState.FAILED,
    (JobState.ASSEMBLING, JobEvent.PUBLISH): JobState.SUCCEEDED,
    (JobState.ASSEMBLING, JobEvent.PUBLISH_CANCELLED): JobState.CANCELLED,
    (JobState.ASSEMBLING, JobEvent.PUBLISH_EXPIRED): JobState.EXPIRED,
}
"""Every step a Job can take. `docs/reference/states.md` is generated from it."""


def advance(state: JobState, event: JobEvent) -> JobState:
    """Return the state after ``event``. Raise `IllegalTransition` if the table has no such step."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise IllegalTransition(f"A Job that is {state} cannot {event}.") from None


def states_before(event: JobEvent) -> tuple[JobState, ...]:
    """Return the states in which ``event`` is allowed, for the WHERE of a guarded update."""
    return tuple(state for (state, allowed) in NEXT if allowed == event)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of a Job's Requests stand where. ``requests`` is 0 until the input is indexed."""

    requests: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def pending(self) -> int:
        """Requests without a Result yet."""
        return self.requests - self.succeeded - self.failed

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
        )


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom to tell of a Job's end, instead of the registered Webhooks if there are ``uris``; and with what.

    ``user_metadata`` is a JSON object that is told with it, None if none was given.
    """

    uris: tuple[str, ...] = ()
    user_metadata: str | None = None


@dataclass(frozen=True, slots=True)
class JobChange:
    """What a client wants changed of a Job. None stays as it is."""

    display_name: str | None = None
    priority: int | None = None
    notify: Notify | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One submitted batch. Times are seconds since the Unix epoch; costs are pico-USD.

    ``kind`` is what its Requests ask for.
    ``model`` is the name the client asked for, ``engine`` the configured model that answers to it.
    ``other_engines`` are those that answer the lines which name another one; it is known with the plan.
    ``stopped_by`` says why a Job is being, or was, cut short: `Cause.CANCELLED` or `Cause.EXPIRED`.
    ``error`` is set on FAILED Jobs only. ``input_file`` is the id of the File given, or None for a
    Job whose Requests came inline. ``deadline`` is when the Job expires, ``promised_at`` by when it is to be
    done. ``retry_of`` is the id of the Job whose failed Requests it tries again. ``output_expires_at`` is set
    when the output is published, and stays when that is gone. ``order_version`` is that of the order
    which its Shards are ranges of, ``sharing`` what prompts have in common there: known with the plan.
    """

    id: str
    model: str
    engine: str
    display_name: str
    priority: int
    state: JobState
    input_file: str | None
    input_blob: str
    keep_going: bool
    created_at: float
    updated_at: float
    deadline: float
    promised_at: float
    kind: Kind = Kind.GENERATION
    started_at: float | None = None
    ended_at: float | None = None
    retry_of: str | None = None
    planned: bool = False
    stopped_by: Cause | None = None
    error: str | None = None
    output_bytes: int = 0
    output_expires_at: float | None = None
    counts: Counts = Counts()
    usage: Usage = Usage()
    cost_picos: int = 0
    interactive_cost_picos: int = 0
    notify: Notify = Notify()
    other_engines: tuple[str, ...] = ()
    order_version: int = 0
    sharing: Sharing = Sharing()

    @property
    def engines(self) -> tuple[str, ...]:
        """Every Engine that answers some of it, its own first."""
        return (self.engine, *self.other_engines)
