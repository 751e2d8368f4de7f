"""A Shard as a blob: its Assignments in the order to run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from halfrate.domain.errors import CorruptData
from halfrate.domain.result import Assignment
from halfrate.results.frames import encode_frame, read_frames
from halfrate.results.records import decode_assignment, encode_assignment
from halfrate.store.blob.api import BlobReader, BlobWriter

_END = b""  # the payload of the last frame, so that a file cut between two frames is noticed


def write_shard(writer: BlobWriter, assignments: Iterable[Assignment]) -> int:
    """Write a whole Shard and return how many Askers it has. Committing is left to the caller."""
    askers = 0
    for assignment in assignments:
        writer.write(encode_frame(encode_assignment(assignment)))
        askers += len(assignment.askers)
    writer.write(encode_frame(_END))
    return askers


def read_shard(reader: BlobReader) -> Iterator[Assignment]:
    """Yield a Shard's Assignments in order. Raise `CorruptData` if the blob is not a whole Shard."""
    payload = None
    for _, payload in read_frames(reader, stop=reader.size_bytes):
        if payload != _END:
            yield decode_assignment(payload)
    if payload != _END:
        raise CorruptData(f"Blob {reader.name}: the Shard has no end. Its Job must be planned again.")
