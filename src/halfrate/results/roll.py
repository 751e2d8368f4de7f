"""Who has a Result: the settled parts of a Job's Segments, looked over while they are read."""

from __future__ import annotations

from collections.abc import Iterator

from halfrate.domain.errors import CorruptData
from halfrate.domain.job import Counts
from halfrate.domain.outcome import Failed
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Stretch, whole
from halfrate.domain.usage import Usage
from halfrate.results.frames import read_frames
from halfrate.results.records import decode_ordinal, decode_result
from halfrate.store.blob.api import BlobReader


class Roll:
    """Reads the Segments of a Job of so many Requests, and marks whose Results there were: a bit for each."""

    def __init__(self, requests: int) -> None:
        self._requests = requests
        self._there = bytearray((requests + 7) // 8)

    def read(self, reader: BlobReader, piece: Stretch) -> Iterator[tuple[int, bytes]]:
        """Yield the ordinal and the bytes of every settled Result in a piece of a Segment.

        Raise `CorruptData` when a frame is damaged, an ordinal is out of range or was there before, or the
        piece does not hold as many Results as were settled.
        """
        there, requests, results = self._there, self._requests, 0
        start, stop = piece.since.settled_bytes, piece.upto.settled_bytes
        for offset, payload in read_frames(reader, start=start, stop=stop):
            ordinal = decode_ordinal(payload)
            if not 0 <= ordinal < requests:
                raise _broken(reader, offset, f"of Request {ordinal}, and the Job has {requests} Requests")
            if there[ordinal >> 3] & 1 << (ordinal & 7):
                raise _broken(reader, offset, f"of Request {ordinal}, which has one already")
            there[ordinal >> 3] |= 1 << (ordinal & 7)
            yield ordinal, payload
            results += 1
        if results != piece.results:
            raise CorruptData(
                f"Blob {reader.name}: {piece.results} Results were settled, and {results} are there. "
                "Restore it from a backup, or run the Job again."
            )


class Audit:
    """Adds up all that a Job's Segments hold: tokens by the Engine that used them, None for the Job's own."""

    def __init__(self, requests: int) -> None:
        self._roll = Roll(requests)
        self.counts = Counts()
        self.usage_by_engine: dict[str | None, Usage] = {}

    @property
    def usage(self) -> Usage:
        """All tokens there are."""
        return sum(self.usage_by_engine.values(), start=Usage())

    def take(self, reader: BlobReader, segment: SegmentRef) -> None:
        """Add a Segment. Raise `CorruptData` as `Roll.read` does."""
        for _, payload in self._roll.read(reader, whole(segment)):
            result = decode_result(payload)
            if isinstance(result.outcome, Failed):
                self.counts += Counts(failed=1)
            else:
                self.counts += Counts(succeeded=1)
                used = self.usage_by_engine.get(result.engine, Usage())
                self.usage_by_engine[result.engine] = used + result.outcome.usage


def _broken(reader: BlobReader, offset: int, whose: str) -> CorruptData:
    return CorruptData(
        f"Blob {reader.name}: at byte {offset} is a Result {whose}. No output is written from this; "
        "please report it, and run the Job again."
    )
