"""A Segment: the append-only file of the Results that one Lease settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.errors import CorruptData
from halfrate.domain.result import Result
from halfrate.results.frames import encode_frames, read_frames
from halfrate.results.records import decode_result, encode_result
from halfrate.store.blob.api import BlobAppender, BlobReader


class SegmentWriter:
    """Appends Results to a Segment. They count once a transaction settles the size that `append` gave.

    Give each Lease a Segment of its own: an unsettled, torn frame of a dead Worker is then never followed
    by anything.
    """

    def __init__(self, appender: BlobAppender) -> None:
        self._appender = appender
        self._torn = False

    def append(self, results: Sequence[Result]) -> int:
        """Add Results in one write and return the Segment's size after it, durable only after `sync`.

        After an append that failed, every later one raises `CorruptData`: what follows half a frame
        could not be read back.
        """
        if self._torn:
            raise CorruptData(
                "An earlier append to this Segment failed; claim the Shard again for a new one."
            )
        frames = encode_frames(map(encode_result, results))
        reach(CrashPoint.SEGMENT_APPEND_BEFORE)
        try:
            self._appender.append(frames)
        except BaseException:
            self._torn = True
            raise
        reach(CrashPoint.SEGMENT_APPEND_AFTER)
        return self._appender.size_bytes

    def sync(self) -> None:
        """Return when everything appended is durable: only then may it be settled."""
        self._appender.sync()
        reach(CrashPoint.SEGMENT_SYNC_AFTER)


def read_segment(reader: BlobReader, settled_bytes: int) -> Iterator[Result]:
    """Yield the settled Results in the order they were appended, and nothing beyond ``settled_bytes``."""
    for _, payload in read_frames(reader, stop=settled_bytes):
        yield decode_result(payload)
