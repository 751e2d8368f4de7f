"""A Snapshot of a Job: exactly which of its Results are in it, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from halfrate.domain.shard import SegmentRef


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which of a Job's Results there were at one moment.

    Shards numbered from ``shards`` on had none. Those below were done, so that all of theirs count, but
    for the ``unfinished`` ones: of each, its newest Segment as far as it was settled (token 0 where it had
    none), and the older Segments whole, as nobody may settle into those any more. Shards are claimed in
    order, so no more are unfinished than are being run.

    These are the Shards of the Job's own Engine. ``others`` are spans of Shards of which the same is said:
    for each other Engine with Results, the number of its first Shard, and that from which on they had none.

    ``ended`` says that the Job was final: it then has all of the published output, with the errors of
    Requests that were never answered, and the other fields say nothing.
    """

    job_id: str
    shards: int = 0
    unfinished: tuple[SegmentRef, ...] = ()
    ended: bool = False
    others: tuple[tuple[int, int], ...] = ()

    @property
    def settled_below(self) -> int:
        """Every Shard below this number had all the Results it will ever have."""
        return min([self.shards, *(segment.shard for segment in self.unfinished)])

    def part_of(self, segment: SegmentRef) -> SegmentRef:
        """Return what was settled of a Segment that may have grown since."""
        if segment.shard >= self.shards and not self._others_have(segment.shard):
            return _nothing_of(segment)
        for newest in self.unfinished:
            if newest.shard == segment.shard and newest.token <= segment.token:
                return newest if newest.token == segment.token else _nothing_of(segment)
        return segment

    def _others_have(self, shard: int) -> bool:
        return any(first <= shard < stop for first, stop in self.others)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of a Segment: what ``upto`` has settled of it and ``since``, an earlier view of it, has not."""

    since: SegmentRef
    upto: SegmentRef

    @property
    def results(self) -> int:
        """How many Results are in it."""
        return self.upto.results - self.since.results

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.upto.settled_bytes - self.since.settled_bytes


def stretches(segments: Iterable[SegmentRef], upto: Snapshot, since: Snapshot | None = None) -> list[Stretch]:
    """Return the pieces of ``segments`` that are in one Snapshot and not in an earlier one.

    ``segments`` are the settled parts as they are now, which may be more than either has.
    """
    since = since or Snapshot(upto.job_id)
    pieces = (Stretch(since.part_of(segment), upto.part_of(segment)) for segment in segments)
    return [piece for piece in pieces if piece.results]


def whole(segment: SegmentRef) -> Stretch:
    """Return all that is settled of a Segment."""
    return Stretch(_nothing_of(segment), segment)


def _nothing_of(segment: SegmentRef) -> SegmentRef:
    return SegmentRef(segment.job_id, segment.shard, segment.token, settled_bytes=0, results=0)
