"""A Shard, one contiguous piece of a Job's Plan, and the Lease that gives the right to run it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ShardState(StrEnum):
    """OPEN to be claimed, LEASED while a Worker runs it, DONE when nothing more will come of it."""

    OPEN = "OPEN"
    LEASED = "LEASED"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Shard:
    """``requests`` Requests of a Job, from position ``first`` of the order to run its lines.

    ``engine`` is the configured model that answers them. ``refusal`` says why none of them can be answered,
    if so: then they only get their errors there.
    """

    job_id: str
    number: int
    first: int
    requests: int
    engine: str
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a Job's order that is one Engine's, from position ``first``, and its Shards' sizes."""

    engine: str
    first: int
    sizes: tuple[int, ...]
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What of a Job is one Engine's: how many Requests, and how many of them have Results."""

    engine: str
    requests: int
    results: int

    @property
    def pending(self) -> int:
        """Requests without a Result yet."""
        return max(0, self.requests - self.results)


@dataclass(frozen=True, slots=True)
class Lease:
    """The time-limited right to run a Shard.

    ``token`` grows at each claim of the Shard: whoever holds an older one can settle nothing.
    """

    job_id: str
    shard: int
    token: int
    worker: str
    lapses_at: float

    def lapsed(self, now: float) -> bool:
        """Whether another Worker may claim the Shard."""
        return now >= self.lapses_at


@dataclass(frozen=True, slots=True)
class SegmentRef:
    """The settled part of one Segment: the first ``settled_bytes`` bytes hold ``results`` Results.

    Bytes after that were never settled and do not count, whatever they say.
    """

    job_id: str
    shard: int
    token: int
    settled_bytes: int
    results: int
