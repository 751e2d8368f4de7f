"""Checksummed frames: length, checksum, payload. What is read is what was written, or it raises."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from xxhash import xxh3_64_intdigest

from halfrate.domain.errors import CorruptData
from halfrate.store.blob.api import BlobReader

_HEAD = struct.Struct("<IQ")

FRAME_BYTES_MAX = 64 << 20
"""Bound on one payload. A line has at most 4 MiB, so a longer frame is damage, not data."""


def encode_frame(payload: bytes) -> bytes:
    """Return ``payload`` with its length and checksum before it."""
    if len(payload) > FRAME_BYTES_MAX:
        raise ValueError(f"a frame holds at most {FRAME_BYTES_MAX} bytes, not {len(payload)}")
    return _HEAD.pack(len(payload), xxh3_64_intdigest(payload)) + payload


def encode_frames(payloads: Iterable[bytes]) -> bytes:
    """Return these payloads as frames, one after the other."""
    return b"".join([encode_frame(payload) for payload in payloads])


def read_frames(reader: BlobReader, *, stop: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and payload of every frame from ``start`` to ``stop``, with a few large reads.

    Raise `CorruptData` unless whole, undamaged frames begin at ``start`` and end exactly at ``stop``.
    """
    window, begins, at = b"", start, 0
    while begins + at < stop:
        body = at + _HEAD.size
        if body <= len(window):
            length, checksum = _HEAD.unpack_from(window, at)
            payload = window[body : body + length]
            if len(payload) == length and xxh3_64_intdigest(payload) == checksum:
                yield begins + at, payload
                at = body + length
                continue
        # The window ends within this frame, or the frame is damaged.
        begins, at = begins + at, 0
        window = _read_whole_frame(reader, begins, stop)


def _read_whole_frame(reader: BlobReader, offset: int, stop: int) -> bytes:
    """Return a window that begins with a whole, undamaged frame. Raise `CorruptData` if there is none."""
    window = reader.read(offset, min(_WINDOW_BYTES, stop - offset))
    if len(window) < _HEAD.size:
        raise _cut_off(reader, offset, stop)
    length, checksum = _HEAD.unpack_from(window)
    if length > FRAME_BYTES_MAX:
        raise _corrupt(reader, offset, f"claims a length of {length} bytes")
    end = _HEAD.size + length
    if end > len(window):
        if offset + end > stop:
            raise _cut_off(reader, offset, stop)
        window = reader.read(offset, end)
        if len(window) < end:
            raise _cut_off(reader, offset, stop)
    if xxh3_64_intdigest(window[_HEAD.size : end]) != checksum:
        raise _corrupt(reader, offset, "does not match its checksum")
    return window


def _cut_off(reader: BlobReader, offset: int, stop: int) -> CorruptData:
    return _corrupt(reader, offset, f"is cut off at byte {min(stop, reader.size_bytes)}")


def _corrupt(reader: BlobReader, offset: int, what: str) -> CorruptData:
    return CorruptData(
        f"Blob {reader.name}: the frame at byte {offset} {what}. "
        "Something has damaged it since it was written: restore it from a backup, or run the Job again."
    )


_WINDOW_BYTES = 256 << 10
