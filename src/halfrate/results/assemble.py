"""From Segments to the output: every Result at its place in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.result import Result
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Stretch, whole
from halfrate.results.frames import read_frames
from halfrate.results.order import Ordering
from halfrate.results.records import decode_ordinal, decode_result
from halfrate.results.roll import Roll
from halfrate.store.blob.api import BlobReader

HELD_BYTES_MAX = 8 << 20
"""Pieces of Segments up to this size are put in order in memory, larger ones as a whole output is."""


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
    return _assemble([whole(segment) for segment in segments], open, requests=requests, spill=spill)


def results_in(
    pieces: Sequence[Stretch],
    open: Callable[[SegmentRef], BlobReader],
    *,
    requests: int,
    spill: Path,
) -> Iterator[Result]:
    """Yield the Results in some pieces of a Job's Segments, in input order.

    A few cost what a few cost, however large the Job. Raise `CorruptData` as `assemble` does.
    """
    if sum(piece.size_bytes for piece in pieces) <= HELD_BYTES_MAX:
        found = {decode_ordinal(payload): payload for payload in _payloads(pieces, open)}
        yield from (decode_result(found[ordinal]) for ordinal in sorted(found))
        return
    with _assemble(pieces, open, requests=requests, spill=spill) as assembly:
        yield from assembly.answered()


def _assemble(
    pieces: Sequence[Stretch], open: Callable[[SegmentRef], BlobReader], *, requests: int, spill: Path
) -> Assembly:
    size_bytes = sum(piece.size_bytes for piece in pieces)
    assembly = Assembly(requests, Ordering(range(requests), size_bytes=size_bytes, spill=spill))
    try:
        for piece in pieces:
            with open(piece.upto) as reader:
                assembly.take(piece, reader)
    except BaseException:
        assembly.close()
        raise
    reach(CrashPoint.ASSEMBLE_LOCATE_AFTER)
    return assembly


def _payloads(pieces: Sequence[Stretch], open: Callable[[SegmentRef], BlobReader]) -> Iterator[bytes]:
    for piece in pieces:
        with open(piece.upto) as reader:
            for _, payload in read_frames(
                reader, start=piece.since.settled_bytes, stop=piece.upto.settled_bytes
            ):
                yield payload


class Assembly:
    """A Job's Results in input order. Leaving it gives back what was spilled."""

    def __init__(self, requests: int, ordering: Ordering) -> None:
        self.missing = requests
        self._ordering = ordering
        self._roll = Roll(requests)

    def take(self, piece: Stretch, reader: BlobReader) -> None:
        """Take the settled Results in a piece of a Segment. Raise `CorruptData` as `assemble` does."""
        add = self._ordering.add
        for ordinal, payload in self._roll.read(reader, piece):
            add(ordinal, payload)
        self.missing -= piece.results

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
