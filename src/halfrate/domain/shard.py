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
    """``requests`` Requests of a Job, from position ``first`` of the order to run its lines."""

    job_id: str
    number: int
    first: int
    requests: int


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
