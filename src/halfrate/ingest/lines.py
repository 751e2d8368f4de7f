"""Bytes into lines, wherever the chunk borders fall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_CARRIAGE_RETURN = 13


class RawLine(NamedTuple):
    """One line that is not blank. A tuple, because ten million are made for one file.

    ``number`` counts from 1, blank lines included. ``offset`` and ``length`` say where the line's bytes
    are in the file, without a byte order mark before them or the line break after them. ``data`` is
    None for a line longer than the scanner's bound.
    """

    number: int
    offset: int
    length: int
    data: bytes | None


class LineScanner:
    r"""Splits a file at ``\n`` or ``\r\n`` and skips blank lines and a byte order mark.

    It holds at most one unfinished line of ``line_bytes_max`` bytes; of a longer one only the length.
    """

    def __init__(self, line_bytes_max: int) -> None:
        self._line_bytes_max = line_bytes_max
        self._number = 0  # of the last finished line
        self._offset = 0  # where the unfinished line begins
        self._held = bytearray()  # the unfinished line, as far as it is kept
        self._held_length = 0  # its true length so far
        self._last_byte = -1
        self._head: bytes | None = b""  # the first bytes, until it is clear whether they are a BOM

    def feed(self, chunk: bytes) -> Iterator[RawLine]:
        """Yield the lines that end in ``chunk``. Exhaust it before the next call."""
        chunk = self._without_bom(chunk)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = self._complete(chunk, start, end) if self._held_length else self._whole(chunk, start, end)
            if line is not None:
                yield line
            start = end + 1
        self._hold(chunk[start:])

    def finish(self) -> Iterator[RawLine]:
        """Yield the last line if no newline ended it. Nothing may be fed afterwards."""
        if self._head:
            self._hold(self._head)
            self._head = None
        if self._held_length and (line := self._complete(b"", 0, 0)) is not None:
            yield line

    def _whole(self, chunk: bytes, start: int, end: int) -> RawLine | None:
        """Take a line that lies within one chunk."""
        stop = end - 1 if end > start and chunk[end - 1] == _CARRIAGE_RETURN else end
        offset, length = self._offset, stop - start
        self._number += 1
        self._offset += end - start + 1
        if length > self._line_bytes_max:
            return RawLine(self._number, offset, length, None)
        data = chunk[start:stop]
        return RawLine(self._number, offset, length, data) if length and not data.isspace() else None

    def _complete(self, chunk: bytes, start: int, end: int) -> RawLine | None:
        """Take the line that earlier chunks began."""
        self._hold(chunk[start:end])
        offset, length = self._offset, self._held_length
        self._number += 1
        self._offset += length + 1
        if self._last_byte == _CARRIAGE_RETURN:
            length -= 1
        data = bytes(self._held[:length])
        self._held.clear()
        self._held_length = 0
        if length > self._line_bytes_max:
            return RawLine(self._number, offset, length, None)
        return RawLine(self._number, offset, length, data) if length and not data.isspace() else None

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._held += piece[: self._line_bytes_max - len(self._held)]
            self._held_length += len(piece)
            self._last_byte = piece[-1]

    def _without_bom(self, chunk: bytes) -> bytes:
        if self._head is None:
            return chunk
        head = self._head + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        if head.startswith(_BOM):
            self._offset = len(_BOM)
            return head[len(_BOM) :]
        return head
