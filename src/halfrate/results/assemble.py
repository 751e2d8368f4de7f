"""From Segments to the output: every Result at its place in input order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol, Self

from halfrate.domain.errors import CorruptData
from halfrate.domain.result import Result
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Stretch, whole
from halfrate.results.frames import FrameReader, read_frames
from halfrate.results.records import decode_ordinal, decode_result
from halfrate.store.blob.api import CHUNK_BYTES, BlobReader

LISTED_RESULTS_MAX = 65_536
"""Up to so many Results are found through a list in memory, more through a table with all Requests."""

OPEN_SEGMENTS_MAX = 128
"""Segments read from at a time. Each costs an open file and a buffer."""

WINDOW_BYTES_MAX = 64 << 10


def assemble(
    segments: Sequence[SegmentRef],
    open: Callable[[SegmentRef], BlobReader],
    *,
    requests: int,
    spill: Path,
) -> Assembly:
    """Find the Result of each of a Job's ``requests`` Requests in the settled parts of its Segments.

    Raise `CorruptData` when a frame is damaged, a Segment does not hold as many Results as were settled,
    an ordinal appears twice, or one is out of range.
    """
    return _assemble([whole(segment) for segment in segments], open, LocationTable(requests, spill))


def assemble_part(
    pieces: Sequence[Stretch],
    open: Callable[[SegmentRef], BlobReader],
    *,
    requests: int,
    spill: Path,
) -> Assembly:
    """Find the Results in some pieces of a Job's Segments. A few cost what a few cost, however large the
    Job. Raise as `assemble` does.
    """
    few = sum(piece.results for piece in pieces) <= LISTED_RESULTS_MAX
    return _assemble(pieces, open, LocationList(requests) if few else LocationTable(requests, spill))


def _assemble(
    pieces: Sequence[Stretch], open: Callable[[SegmentRef], BlobReader], locations: Locations
) -> Assembly:
    try:
        for number, piece in enumerate(pieces):
            with open(piece.upto) as reader:
                _locate(locations, number, piece, reader)
            locations.release()
    except BaseException:
        locations.close()
        raise
    return Assembly([piece.upto for piece in pieces], open, locations)


def _locate(locations: Locations, number: int, piece: Stretch, reader: BlobReader) -> None:
    results = 0
    start, stop = piece.since.settled_bytes, piece.upto.settled_bytes
    for offset, payload in read_frames(reader, start=start, stop=stop):
        ordinal = decode_ordinal(payload)
        if not 0 <= ordinal < locations.requests:
            raise _broken(
                reader, offset, f"of Request {ordinal}, and the Job has {locations.requests} Requests"
            )
        if locations.find(ordinal) is not None:
            raise _broken(reader, offset, f"of Request {ordinal}, which has one already")
        locations.put(ordinal, segment=number, offset=offset)
        results += 1
    if results != piece.results:
        raise CorruptData(
            f"Blob {reader.name}: {piece.results} Results were settled, and {results} are there. "
            "Restore it from a backup, or run the Job again."
        )


def _broken(reader: BlobReader, offset: int, whose: str) -> CorruptData:
    return CorruptData(
        f"Blob {reader.name}: at byte {offset} is a Result {whose}. No output is written from this; "
        "please report it, and run the Job again."
    )


class Assembly:
    """A Job's Results in input order. Leaving it closes what is open."""

    def __init__(
        self,
        segments: Sequence[SegmentRef],
        open: Callable[[SegmentRef], BlobReader],
        locations: Locations,
    ) -> None:
        self._segments = segments
        self._open = open
        self._locations = locations
        self._frames: OrderedDict[int, FrameReader] = OrderedDict()  # the one used last at the end
        self.missing = locations.requests - locations.filled

    def results(self) -> Iterator[Result | int]:
        """Yield for every ordinal, from 0, its Result, or the bare ordinal where there is none.

        Of pieces it may yield nothing where there is none.
        """
        for ordinal in self._locations.ordinals():
            location = self._locations.find(ordinal)
            if location is None:
                yield ordinal
            else:
                segment, offset = location
                yield decode_result(self._frames_of(segment).payload_at(offset))

    def close(self) -> None:
        """Close the Segments and give back the table."""
        while self._frames:
            self._close_eldest()
        self._locations.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _frames_of(self, segment: int) -> FrameReader:
        frames = self._frames.get(segment)
        if frames is None:
            if len(self._frames) >= OPEN_SEGMENTS_MAX:
                self._close_eldest()
            ref = self._segments[segment]
            reader = self._open(ref).__enter__()
            frames = FrameReader(reader, stop=ref.settled_bytes, window_bytes_max=WINDOW_BYTES_MAX)
            self._frames[segment] = frames
        else:
            self._frames.move_to_end(segment)
        return frames

    def _close_eldest(self) -> None:
        _, frames = self._frames.popitem(last=False)
        frames.reader.__exit__(None, None, None)


class Locations(Protocol):
    """Where the Results of Requests are."""

    requests: int

    @property
    def filled(self) -> int:
        """How many Results were noted."""
        ...

    def ordinals(self) -> Iterable[int]:
        """Return the ordinals to look at, in ascending order: all that have a Result, at least."""
        ...

    def find(self, ordinal: int) -> tuple[int, int] | None:
        """Return the Segment's number and the offset in it, None if there is no Result."""
        ...

    def put(self, ordinal: int, *, segment: int, offset: int) -> None:
        """Note where a Result is."""
        ...

    def release(self) -> None:
        """Let go of memory that can be read again."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class LocationList:
    """Where a few Results are, in memory."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self._places: dict[int, tuple[int, int]] = {}

    @property
    def filled(self) -> int:
        """How many Results were noted."""
        return len(self._places)

    def ordinals(self) -> Iterable[int]:
        """Return the ordinals that have a Result."""
        return sorted(self._places)

    def find(self, ordinal: int) -> tuple[int, int] | None:
        """Return the Segment's number and the offset in it, None if there is no Result."""
        return self._places.get(ordinal)

    def put(self, ordinal: int, *, segment: int, offset: int) -> None:
        """Note where a Result is."""
        self._places[ordinal] = segment, offset

    def release(self) -> None:
        """Keep everything: it is little."""

    def close(self) -> None:
        """Forget everything."""
        self._places.clear()


class LocationTable:
    """Where each Request's Result is: 8 bytes a Request, in an unnamed file mapped into memory."""

    _OFFSET_BITS = 40  # a Segment below 1 TiB; the other 24 bits number 16 million Segments

    def __init__(self, requests: int, spill: Path) -> None:
        spill.mkdir(parents=True, exist_ok=True)
        self.requests = requests
        self.filled = 0
        size_bytes = max(1, requests) * 8
        with TemporaryFile(dir=spill) as file:
            # Zeros, not a hole: a full disk must be an error here, not a SIGBUS at some later touch.
            for start in range(0, size_bytes, CHUNK_BYTES):
                file.write(bytes(min(CHUNK_BYTES, size_bytes - start)))
            file.flush()
            self._map = mmap(file.fileno(), size_bytes)
        self._cells = memoryview(self._map).cast("Q")

    def ordinals(self) -> Iterable[int]:
        """Return every ordinal there is."""
        return range(self.requests)

    def find(self, ordinal: int) -> tuple[int, int] | None:
        """Return the Segment's number and the offset in it, None if there is no Result."""
        cell = self._cells[ordinal]
        if cell == 0:
            return None
        return (cell >> self._OFFSET_BITS) - 1, cell & ((1 << self._OFFSET_BITS) - 1)

    def put(self, ordinal: int, *, segment: int, offset: int) -> None:
        """Note where a Result is."""
        self._cells[ordinal] = (segment + 1) << self._OFFSET_BITS | offset
        self.filled += 1

    def release(self) -> None:
        """Let the pages go from this process's memory; the file has them."""
        self._map.madvise(MADV_DONTNEED)

    def close(self) -> None:
        """Give the file back."""
        self._cells.release()
        self._map.close()
