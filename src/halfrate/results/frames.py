"""Checksummed frames: length, checksum, payload. What is read is what was written, or it raises."""

from __future__ import annotations

import struct
from collections.abc import Iterator

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


def read_frames(reader: BlobReader, *, stop: int, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and payload of every frame from ``start`` to ``stop``, with a few large reads.

    Raise `CorruptData` unless whole, undamaged frames begin at ``start`` and end exactly at ``stop``.
    """
    frames = FrameReader(reader, stop=stop)
    offset = start
    while offset < stop:
        payload = frames.payload_at(offset)
        yield offset, payload
        offset += _HEAD.size + len(payload)


class FrameReader:
    """Reads single frames of a blob through one buffer.

    The buffer doubles, up to ``window_bytes_max``, while frames are asked for in ascending order near
    each other, and starts small again after a jump: a scan needs few reads, a jump reads little.
    """

    def __init__(self, reader: BlobReader, *, stop: int, window_bytes_max: int = 1 << 18) -> None:
        self._reader = reader
        self._stop = stop
        self._window = b""
        self._window_offset = 0
        self._window_bytes = _WINDOW_BYTES_MIN
        self._window_bytes_max = window_bytes_max

    @property
    def reader(self) -> BlobReader:
        """The blob behind it."""
        return self._reader

    def payload_at(self, offset: int) -> bytes:
        """Return the payload of the frame that begins at ``offset``. Raise `CorruptData` if it is none."""
        length, checksum = _HEAD.unpack(self._read(offset, _HEAD.size, frame=offset))
        if length > FRAME_BYTES_MAX:
            raise self._corrupt(offset, f"claims a length of {length} bytes")
        payload = self._read(offset + _HEAD.size, length, frame=offset)
        if xxh3_64_intdigest(payload) != checksum:
            raise self._corrupt(offset, "does not match its checksum")
        return payload

    def _read(self, offset: int, length: int, *, frame: int) -> bytes:
        if offset + length > self._stop:
            raise self._corrupt(frame, f"is cut off at byte {self._stop}")
        if length > self._window_bytes_max:
            data = self._reader.read(offset, length)  # not kept: many FrameReaders may be open
        else:
            if not self._holds(offset, length):
                self._move(offset, length)
            start = offset - self._window_offset
            data = self._window[start : start + length]
        if len(data) < length:
            raise self._corrupt(frame, "is cut off by the end of the blob")
        return data

    def _holds(self, offset: int, length: int) -> bool:
        start = offset - self._window_offset
        return start >= 0 and start + length <= len(self._window)

    def _move(self, offset: int, length: int) -> None:
        ahead = offset - self._window_offset
        near = 0 <= ahead <= len(self._window) + self._window_bytes
        self._window_bytes = (
            min(self._window_bytes * 2, self._window_bytes_max) if near else _WINDOW_BYTES_MIN
        )
        self._window = self._reader.read(offset, min(max(length, self._window_bytes), self._stop - offset))
        self._window_offset = offset

    def _corrupt(self, offset: int, what: str) -> CorruptData:
        return CorruptData(
            f"Blob {self._reader.name}: the frame at byte {offset} {what}. "
            "Something has damaged it since it was written: restore it from a backup, or run the Job again."
        )


_WINDOW_BYTES_MIN = 4 << 10
