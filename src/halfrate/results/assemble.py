"""From Segments to the output: every Result at its place in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from halfrate.domain.result import Result
from halfrate.domain.shard import SegmentRef
from halfrate.results.order import Ordering
from halfrate.results.records import decode_result
from halfrate.results.roll import Roll
from halfrate.store.blob.api import BlobReader


def assemble(
    segments: Sequence[SegmentRef],
    open: Callable[[SegmentRef], BlobReader],
    *,
    requests: int,
    spill: Path,
) -> Assembly:
    """Find the Result of each of a Job's ``requests`` Requests in the settled parts of its Segments.

    Each Segment is read once, from end to end. Raise `CorruptData` when a frame is damaged, a Segment does
    not hold as many Results as were settled, an ordinal appears twice, or one is out of range.
    """
    size_bytes = sum(segment.settled_bytes for segment in segments)
    assembly = Assembly(requests, Ordering(range(requests), size_bytes=size_bytes, spill=spill))
    try:
        for segment in segments:
            with open(segment) as reader:
                assembly.take(segment, reader)
    except BaseException:
        assembly.close()
        raise
    return assembly


class Assembly:
    """A Job's Results in input order. Leaving it gives back what was spilled."""

    def __init__(self, requests: int, ordering: Ordering) -> None:
        self.missing = requests
        self._ordering = ordering
        self._roll = Roll(requests)

    def take(self, segment: SegmentRef, reader: BlobReader) -> None:
        """Take the settled Results of a Segment. Raise `CorruptData` as `assemble` does."""
        add = self._ordering.add
        for ordinal, payload in self._roll.read(reader, segment):
            add(ordinal, payload)
        self.missing -= segment.results

    def results(self) -> Iterator[Result | int]:
        """Yield for every ordinal, from 0, its Result, or the bare ordinal where there is none."""
        for ordinal, payload in enumerate(self._ordering.results()):
            yield ordinal if payload is None else decode_result(payload)

    def answered(self) -> Iterator[Result]:
        """Yield the Results there are."""
        return map(decode_result, filter(None, self._ordering.results()))

    def close(self) -> None:
        """Give back what was spilled."""
        self._ordering.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
