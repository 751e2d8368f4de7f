"""Bytes into lines, wherever the chunk borders fall."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from operator import add
from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
CARRIAGE_RETURN = 13
_SPACE = re.compile(rb"\s*")  # it matches anywhere


class RawLine(NamedTuple):
    """One line that is not blank.

    ``number`` counts from 1, blank lines included. ``offset`` and ``length`` say where the line's bytes
    are in the file, without a byte order mark before them or the line break after them. ``data`` is
    None for a line longer than the scanner's bound.
    """

    number: int
    offset: int
    length: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Lines that are not blank, as columns of equal length: ten million objects would be slow to make.

    Iterating yields them as `RawLine`.
    """

    numbers: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    data: list[bytes | None] = field(default_factory=list)

    def add(self, number: int, offset: int, length: int, data: bytes | None) -> None:
        """Add one line."""
        self.numbers.append(number)
        self.offsets.append(offset)
        self.lengths.append(length)
        self.data.append(data)

    def part(self, start: int, stop: int) -> LineBatch:
        """Return the lines from position ``start`` up to ``stop``."""
        return LineBatch(
            self.numbers[start:stop],
            self.offsets[start:stop],
            self.lengths[start:stop],
            self.data[start:stop],
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[RawLine]:
        return map(RawLine, self.numbers, self.offsets, self.lengths, self.data)


class Stretch(NamedTuple):
    """Whole lines as they lie in the file, each with its newline.

    ``number`` is that of the first, ``offset`` where it begins in the file. ``newlines`` are the places of
    those newlines in ``text``, None where some lines are empty: there may be millions of those.
    """

    number: int
    offset: int
    text: bytes
    newlines: list[int] | None


class LineScanner:
    r"""Splits a file at ``\n`` or ``\r\n`` and skips blank lines and a byte order mark.

    It holds at most one unfinished line of ``line_bytes_max`` bytes; of a longer one only the length.
    ``offset`` is where in the file it begins, which must be the beginning of a line.
    """

    def __init__(self, line_bytes_max: int, *, offset: int = 0) -> None:
        self._line_bytes_max = line_bytes_max
        self._offset = offset  # where the unfinished line begins
        self._held = bytearray()  # the unfinished line, as far as it is kept
        self._held_length = 0  # its true length so far
        self._last_byte = -1
        # The first bytes of the file, until it is clear whether they are a byte order mark.
        self._head: bytes | None = b"" if offset == 0 else None
        self.lines = 0
        """Lines finished so far, blank ones too."""

    def feed(self, chunk: bytes) -> LineBatch:
        """Return the lines that end in ``chunk``."""
        batch, stretch = self.cut(chunk)
        if stretch is not None:
            self.split(stretch, batch)
        return batch

    def cut(self, chunk: bytes) -> tuple[LineBatch, Stretch | None]:
        """Do as `feed`, and leave in one piece the lines that lie within ``chunk``: those come last."""
        chunk = self._without_bom(chunk)
        batch = LineBatch()
        stretch = None
        start = 0
        if self._held_length and (start := chunk.find(b"\n") + 1):
            self._hold(chunk[: start - 1])
            self._complete(batch)
        if not self._held_length and (stop := chunk.rfind(b"\n") + 1) > start:
            text = chunk[start:stop]
            newlines = None if b"\n\n" in text else _newlines(text)
            stretch = Stretch(self.lines + 1, self._offset, text, newlines)
            self.lines += text.count(b"\n") if newlines is None else len(newlines)
            self._offset += stop - start
            start = stop
        self._hold(chunk[start:])
        return batch, stretch

    def finish(self) -> LineBatch:
        """Return the last line if no newline ended it. Nothing may be fed afterwards."""
        batch = LineBatch()
        if self._head:
            self._hold(self._head)
            self._head = None
        if self._held_length:
            self._complete(batch)
        return batch

    def split(self, stretch: Stretch, batch: LineBatch) -> None:
        """Add the lines of a stretch to a batch."""
        if stretch.newlines is None or stretch.text[0] in b" \t\r\n":
            self._split_between_blanks(stretch, batch)
            return
        lines: list[bytes] = stretch.text.split(b"\n")
        lines.pop()  # what follows the last newline
        offsets = list(accumulate(map(len, lines), initial=stretch.offset))
        offsets = list(map(add, offsets, range(len(lines))))  # and a newline each
        if b"\r" in stretch.text:
            lines = [line.removesuffix(b"\r") for line in lines]
        lengths = list(map(len, lines))
        if not all(lengths) or max(lengths) > self._line_bytes_max or any(map(bytes.isspace, lines)):
            self._split_between_blanks(stretch, batch)
            return
        batch.numbers.extend(range(stretch.number, stretch.number + len(lines)))
        batch.offsets.extend(offsets)
        batch.lengths.extend(lengths)
        batch.data.extend(lines)

    def _split_between_blanks(self, stretch: Stretch, batch: LineBatch) -> None:
        """Do as `split`, line by line, going over any number of blank ones in one step."""
        text, number, at = stretch.text, stretch.number, 0
        printed = 0  # where the next character is that is not white
        while at < len(text):
            if printed <= at:
                printed = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if printed - at <= self._line_bytes_max:  # else a blank line may be too long, and is reported
                number += text.count(b"\n", at, printed)
                at = max(at, text.rfind(b"\n", at, printed) + 1)
                if at == len(text):
                    return
            stop = text.index(b"\n", at)
            length = stop - at - (stop > at and text[stop - 1] == CARRIAGE_RETURN)
            if length > self._line_bytes_max:
                batch.add(number, stretch.offset + at, length, None)
            elif printed < stop:
                batch.add(number, stretch.offset + at, length, text[at : at + length])
            number, at = number + 1, stop + 1

    def _complete(self, batch: LineBatch) -> None:
        """Take the line that is held, whose end has come."""
        offset, length = self._offset, self._held_length
        self.lines += 1
        self._offset += length + 1
        if self._last_byte == CARRIAGE_RETURN:
            length -= 1
        data = bytes(self._held[:length])
        self._held.clear()
        self._held_length = 0
        if length > self._line_bytes_max:
            batch.add(self.lines, offset, length, None)
        elif length and not data.isspace():
            batch.add(self.lines, offset, length, data)

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


def _newlines(text: bytes) -> list[int]:
    """Return the places of newlines. This makes no object of a line, as `split` would."""
    newlines: list[int] = []
    find, take, at = text.find, newlines.append, -1
    while (at := find(b"\n", at + 1)) >= 0:
        take(at)
    return newlines
