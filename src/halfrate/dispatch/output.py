"""A Job's Results as the lines of its output, in input order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from halfrate.domain.errors import CorruptData
from halfrate.domain.job import Job
from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.result import Asker, Result
from halfrate.domain.shard import SegmentRef
from halfrate.domain.snapshot import Stretch
from halfrate.ingest.inputs import Inputs
from halfrate.results.assemble import Assembly, assemble, results_in
from halfrate.results.frames import read_frames
from halfrate.results.records import decode_ordinal
from halfrate.store.blob.api import BlobReader, BlobStore, read_chunks
from halfrate.store.blob.names import segment_blob_of

UNANSWERED = {
    Cause.CANCELLED: "The batch was cancelled before this request was answered.",
    Cause.EXPIRED: "The batch expired before this request was answered.",
}


class Output:
    """Makes output lines from settled Segments. Blocks on the disk: use it in a thread."""

    def __init__(
        self, blobs: BlobStore, *, inputs: Inputs, encode: Callable[[Job, Result], bytes], spill: Path
    ) -> None:
        self._blobs = blobs
        self._inputs = inputs
        self._encode = encode
        self._spill = spill

    def whole(self, job: Job, segments: Sequence[SegmentRef]) -> Iterator[bytes]:
        """Yield one line for every Request, an error line where a stopped Job has no Result.

        Raise `CorruptData` if Results are missing from a Job that was not stopped, or are there twice.
        """
        with self._assembly(job, segments) as assembly:
            if assembly.missing and job.stopped_by is None:
                raise CorruptData(
                    f"{assembly.missing} of the {job.counts.requests} Results are missing. Nothing was "
                    "published. Run `halfrate doctor` on the data directory."
                )
            if not assembly.missing:
                yield from map(partial(self._line, job), assembly.answered())
                return
            with self._inputs.lines(job.input_blob) as lines:
                asked = lines.in_input_order()
                for entry, line in zip(assembly.results(), asked, strict=True):
                    known = entry if isinstance(entry, Result) else unanswered(job, entry, line)
                    yield self._line(job, known)

    def part(self, job: Job, pieces: Sequence[Stretch]) -> Iterator[bytes]:
        """Yield a line for every Result in some pieces of the Segments, in input order."""
        results = results_in(pieces, self._open, requests=job.counts.requests, spill=self._spill)
        return map(partial(self._line, job), results)

    def causes(self, job: Job, segments: Sequence[SegmentRef]) -> Iterator[Cause | None]:
        """Yield for every Request why it failed, None if it was answered."""
        with self._assembly(job, segments) as assembly:
            for entry in assembly.results():
                if isinstance(entry, int):
                    yield job.stopped_by or Cause.CANCELLED
                else:
                    yield entry.outcome.cause if isinstance(entry.outcome, Failed) else None

    def missing_from(self, job: Job, pieces: Sequence[Stretch], published: str) -> Iterator[bytes]:
        """Yield the lines of a ``published`` output whose Results are not in these pieces."""
        there = bytearray((job.counts.requests + 7) // 8)
        for piece in pieces:
            with self._open(piece.upto) as reader:
                for _, payload in read_frames(reader, stop=piece.upto.settled_bytes):
                    ordinal = decode_ordinal(payload)
                    there[ordinal >> 3] |= 1 << (ordinal & 7)
        with self._blobs.reader(published) as reader:
            for ordinal, line in enumerate(_lines(reader)):
                if not there[ordinal >> 3] & 1 << (ordinal & 7):
                    yield line

    def _assembly(self, job: Job, segments: Sequence[SegmentRef]) -> Assembly:
        return assemble(segments, self._open, requests=job.counts.requests, spill=self._spill)

    def _open(self, segment: SegmentRef) -> BlobReader:
        return self._blobs.reader(segment_blob_of(segment))

    def _line(self, job: Job, result: Result) -> bytes:
        return self._encode(job, result) + b"\n"


def _lines(reader: BlobReader) -> Iterator[bytes]:
    """Yield the lines of an output, each with its newline: it has no blank ones, and ends with one."""
    unfinished = b""
    for chunk in read_chunks(reader):
        *lines, unfinished = (unfinished + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)


def unanswered(job: Job, ordinal: int, line: Line | Rejection) -> Result:
    """Return the Result of a Request that a stopped Job never answered."""
    asker = Asker(ordinal, line.key, line.metadata) if isinstance(line, Line) else Asker(ordinal)
    cause = job.stopped_by or Cause.CANCELLED
    return Result(asker, Failed(cause, UNANSWERED[cause]))
