"""Whose Shard is run next: that of the Job which goes first, or one that begins as the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from halfrate.planner.prefix import common_bytes

CANDIDATES_MAX = 16
"""Jobs whose next Shards are looked at."""

OVERTAKING_MAX = 3
"""Shards in a row that may go ahead of the Job which goes first: it has at least a quarter of them all."""

SHARED_BYTES_MIN = 16 << 10
"""A beginning that is worth going ahead of others for: a Shard of many prompts saves it once."""

DEADLINES_NEAR_SECONDS = 3_600.0
"""Only Jobs of about one age overtake each other: their deadlines are not further apart."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The next Shard of a Job. ``head`` is the sort key of its first Request."""

    job_id: str
    priority: int
    deadline: float
    head: bytes


@dataclass(frozen=True, slots=True)
class Walk:
    """Where an Engine is in the joint order of all Jobs.

    ``tail`` is the sort key of what it was last given; ``overtaking`` how many Shards in a row went ahead.
    """

    tail: bytes = b""
    overtaking: int = 0

    @property
    def may_leave_the_line(self) -> bool:
        """Whether a Shard might go ahead now. Where it may not, there is nothing to look at."""
        return len(self.tail) >= SHARED_BYTES_MIN and self.overtaking < OVERTAKING_MAX

    def on(self, *, ahead: bool) -> Walk:
        """Return the Walk when another Shard was taken, ``ahead`` of the one that goes first or not."""
        return replace(self, overtaking=self.overtaking + 1 if ahead else 0)

    def choose(self, candidates: Sequence[Candidate]) -> Candidate:
        """Return which of these, in the order they go, is taken.

        It is the first, unless another begins as this Walk's last Request does and the first does not, and
        both are equal in priority and near in age.
        """
        first = candidates[0]
        if not self.may_leave_the_line:
            return first
        near = [each for each in candidates if _near(first, each)]
        best = max(near, key=self._shared_bytes)  # of equals the one that goes first
        gain = self._shared_bytes(best) - self._shared_bytes(first)
        return best if gain >= SHARED_BYTES_MIN else first

    def _shared_bytes(self, candidate: Candidate) -> int:
        return common_bytes(self.tail, candidate.head)


def _near(first: Candidate, other: Candidate) -> bool:
    return other.priority == first.priority and other.deadline - first.deadline <= DEADLINES_NEAR_SECONDS
