"""Sorting more than fits in memory: sorted runs in files, merged block by block.

Rows are columns of equal length beside their keys, because a Python object for each of ten million rows
would take more time than everything else.
"""

from __future__ import annotations

import heapq
import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Self

from halfrate.planner.prefix import common_bytes

MERGE_BYTES = 10 << 20
"""Memory for the rows of one batch, and their keys, while runs are merged."""

_ROW_OVERHEAD_BYTES = 120  # what CPython needs for a row beside its key's bytes
_BLOCK_ROWS_MAX = 128
_BLOCK_BYTES_MAX = 64 << 10
_TOLD_APART_BYTES = 64
_WRITE_BYTES = 1 << 20


@dataclass(slots=True)
class Rows:
    """Rows of a file's lines, column by column: where each is, which it is, and one byte of flags.

    ``offsets`` and ``lengths`` are in bytes; ``ordinals`` count Requests, ``numbers`` lines.
    """

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    ordinals: array[int] = field(default_factory=lambda: array("I"))
    numbers: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    flags: array[int] = field(default_factory=lambda: array("B"))

    def columns(self) -> tuple[array[int], ...]:
        """Return the columns, in the order in which files have them."""
        return self.offsets, self.ordinals, self.numbers, self.lengths, self.flags

    def __len__(self) -> int:
        return len(self.flags)

    def extend(self, other: Rows, start: int = 0, stop: int | None = None) -> None:
        """Add rows ``start`` to ``stop`` of another."""
        for column, more in zip(self.columns(), other.columns(), strict=True):
            column.extend(more[start:stop])

    def part(self, start: int, stop: int) -> Rows:
        """Return rows ``start`` to ``stop``."""
        return Rows(*(column[start:stop] for column in self.columns()))

    def taken(self, positions: Sequence[int]) -> Rows:
        """Return the rows at these positions, in this order."""
        if len(positions) < 2:  # itemgetter of one gives no tuple
            return Rows(*(array(c.typecode, [c[position] for position in positions]) for c in self.columns()))
        pick = itemgetter(*positions)
        return Rows(*(array(column.typecode, pick(column)) for column in self.columns()))

    def tobytes(self) -> bytes:
        """Return all columns, one after the other."""
        return b"".join(column.tobytes() for column in self.columns())

    @classmethod
    def frombytes(cls, data: bytes | memoryview, rows: int) -> Rows:
        """Return what `tobytes` made bytes of."""
        made, at = cls(), 0
        for column in made.columns():
            column.frombytes(data[at : at + rows * column.itemsize])
            at += rows * column.itemsize
        return made


ROW_BYTES = sum(column.itemsize for column in Rows().columns())


@dataclass(frozen=True, slots=True)
class Run:
    """A sorted run in a file, and what is to be added to its rows' ordinals and numbers."""

    path: str
    rows: int
    ordinal_base: int = 0
    number_base: int = 0


# A run's file is blocks of rows in order (key lengths, columns, keys), and a footer that says where they are.

_COUNTS = struct.Struct("<II")
_COUNT = struct.Struct("<I")
_TRAILER = struct.Struct("<QI")


@dataclass(frozen=True, slots=True)
class _Footer:
    """Of each block: where it ends, its weight in memory, and its first key.

    Of a first key the part is kept that it shares with the one before, as a length, and what follows. In
    columns, because merging holds the footers of all runs.
    """

    ends: array[int] = field(default_factory=lambda: array("Q"))
    weights: array[int] = field(default_factory=lambda: array("I"))
    shared: array[int] = field(default_factory=lambda: array("I"))
    following_bytes: array[int] = field(default_factory=lambda: array("I"))
    following: bytearray = field(default_factory=bytearray)

    def add(self, *, end: int, weight: int, shared: int, following: bytes) -> None:
        """Add a block."""
        self.ends.append(end)
        self.weights.append(weight)
        self.shared.append(shared)
        self.following_bytes.append(len(following))
        self.following.extend(following)

    def columns(self) -> tuple[array[int], ...]:
        """Return what has one number for each block."""
        return self.ends, self.weights, self.shared, self.following_bytes

    def tobytes(self) -> bytes:
        """Return all of it."""
        return b"".join([*(column.tobytes() for column in self.columns()), self.following])

    @classmethod
    def frombytes(cls, data: bytes, blocks: int) -> _Footer:
        """Return what `tobytes` made bytes of."""
        footer, at = cls(), 0
        for column in footer.columns():
            column.frombytes(data[at : at + blocks * column.itemsize])
            at += blocks * column.itemsize
        footer.following.extend(data[at:])
        return footer


def write_run(path: Path, keys: Sequence[bytes], rows: Rows) -> None:
    """Sort rows by key and write them. Rows of equal keys stay in the order they came."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    in_order = [keys[position] for position in order]
    rows = rows.taken(order)
    footer = _Footer()
    last_first, last_told = b"", b""
    with path.open("wb", buffering=_WRITE_BYTES) as file:
        start = 0
        for stop in _block_borders(in_order):
            block = in_order[start:stop]
            text = b"".join(block)
            file.write(_COUNTS.pack(len(block), len(text)))
            file.write(array("I", map(len, block)).tobytes())
            file.write(rows.part(start, stop).tobytes())
            file.write(text)
            # As much as tells it apart from the first key before, which often is alike for long.
            told = block[0][: common_bytes(last_first, block[0]) + _TOLD_APART_BYTES]
            shared = common_bytes(last_told, told)
            weight = len(text) + len(block) * _ROW_OVERHEAD_BYTES
            footer.add(end=file.tell(), weight=weight, shared=shared, following=told[shared:])
            last_first, last_told = block[0], told
            start = stop
        packed = footer.tobytes()
        file.write(packed)
        file.write(_TRAILER.pack(len(packed), len(footer.ends)))


@dataclass(frozen=True, slots=True)
class Range:
    """Keys from ``low`` on and below ``high``, where that is given. All rows of one key are in one range."""

    low: bytes = b""
    high: bytes | None = None


EVERYTHING = Range()


class RowsWriter:
    """Writes rows into a file, without their keys."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_WRITE_BYTES)
        self.rows = 0

    def add(self, rows: Rows) -> None:
        """Add rows."""
        self._file.write(_COUNT.pack(len(rows)))
        self._file.write(rows.tobytes())
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def read_rows(path: Path) -> Iterator[Rows]:
    """Yield what a `RowsWriter` was given, in the same pieces."""
    with path.open("rb", buffering=_WRITE_BYTES) as file:
        while head := file.read(_COUNT.size):
            (rows,) = _COUNT.unpack(head)
            yield Rows.frombytes(file.read(rows * ROW_BYTES), rows)


def merge(runs: Sequence[Run], within: Range = EVERYTHING) -> Iterator[tuple[list[bytes], Rows]]:
    """Yield keys and rows in order, a batch at a time.

    Rows of equal keys come in the order of the runs, and within a run in its own. About `MERGE_BYTES` are
    held at once, and a block of every run.
    """
    for batch in batches(runs, within):
        yield batch.in_order()


def halves(runs: Sequence[Run]) -> tuple[Range, Range]:
    """Return two ranges with about as many rows in each. The same runs give the same ranges."""
    with ExitStack() as stack:
        readers = [stack.enter_context(_RunReader(run)) for run in runs if run.rows]
        half = sum(sum(weight for _, weight in reader.firsts()) for reader in readers) / 2
        middle = b""
        for first, weight in heapq.merge(*(reader.firsts() for reader in readers)):
            middle = first
            half -= weight
            if half <= 0:
                break
    return Range(high=middle), Range(low=middle)


class Batch:
    """Rows that come after those of all batches before, in no order yet.

    A key of theirs is in no other batch, unless it is the only one of this.
    """

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces
        self.keys = [key for piece in pieces for key in piece.keys] if len(pieces) != 1 else pieces[0].keys

    def in_order(self) -> tuple[list[bytes], Rows]:
        """Return the keys and rows in order."""
        rows = Rows()
        for piece in self._pieces:
            rows.extend(piece.block.rows, piece.start, piece.start + len(piece.keys))
        if len(self._pieces) == 1:
            return self.keys, rows
        order = sorted(range(len(self.keys)), key=self.keys.__getitem__)  # quick: sorted pieces are merged
        return [self.keys[position] for position in order], rows.taken(order)


def batches(runs: Sequence[Run], within: Range = EVERYTHING) -> Iterator[Batch]:
    """Yield what `merge` yields, to be put in order by whoever needs it."""
    with ExitStack() as stack:
        readers = [stack.enter_context(_RunReader(run, low=within.low)) for run in runs if run.rows]
        for border, crowded in _borders(readers, within.high):
            pieces = [piece for reader in readers for piece in reader.below(border)]
            if pieces:
                yield Batch(pieces)
            if crowded:
                # More rows of one key than are to be held. They need no sorting.
                for reader in readers:
                    for piece in reader.equal_to(border):
                        yield Batch([piece])


def _block_borders(keys: Sequence[bytes]) -> Iterator[int]:
    """Yield where each block of sorted keys stops."""
    ends = list(accumulate(map(len, keys)))
    start = before = 0
    while start < len(keys):
        fitting = bisect_right(ends, before + _BLOCK_BYTES_MAX, start)
        stop = min(start + _BLOCK_ROWS_MAX, max(start + 1, fitting))
        yield stop
        start, before = stop, ends[stop - 1]


def _borders(readers: Sequence[_RunReader], high: bytes | None) -> Iterator[tuple[bytes | None, bool]]:
    """Yield keys that part all rows into batches, and whether there is more than a batch of that one key.

    The last border is ``high``, or None: there is none.
    """
    weight = 0
    border, crowded = b"", False
    for first, more in heapq.merge(*(reader.unread_firsts() for reader in readers)):
        if high is not None and first >= high:
            break
        if weight >= MERGE_BYTES:
            weight = 0
            if first != border:
                if border:
                    yield border, crowded
                border, crowded = first, False
            else:
                crowded = True
        weight += more
    if border:
        yield border, crowded
    yield high, False


class _Block:
    """One block of a run. Its rows are made when they are first wanted."""

    def __init__(self, run: Run, data: bytes) -> None:
        self._run = run
        self._count, text_bytes = _COUNTS.unpack_from(data)
        text_start = len(data) - text_bytes
        lengths = array("I")
        columns_start = _COUNTS.size + self._count * lengths.itemsize
        lengths.frombytes(memoryview(data)[_COUNTS.size : columns_start])
        self._columns = data[columns_start:text_start]
        self.keys = [data[a:b] for a, b in pairwise(accumulate(lengths, initial=text_start))]

    @cached_property
    def rows(self) -> Rows:
        """The rows, with their ordinals and numbers in the whole file."""
        rows = Rows.frombytes(self._columns, self._count)
        rows.ordinals = _raised(rows.ordinals, self._run.ordinal_base)
        rows.numbers = _raised(rows.numbers, self._run.number_base)
        return rows


def _raised(column: array[int], base: int) -> array[int]:
    return array(column.typecode, [base + each for each in column]) if base else column


class _Piece(NamedTuple):
    """Rows of one block from ``start`` on, and their keys."""

    keys: list[bytes]
    block: _Block
    start: int


class _RunReader:
    """Reads one run from the key ``low`` to its end, a block at a time."""

    def __init__(self, run: Run, *, low: bytes = b"") -> None:
        self._run = run
        self._low = low
        self._file = Path(run.path).open("rb", buffering=0)  # noqa: SIM115 (`__exit__` does)
        self._footer = self._read_footer()
        self._first_block = self._next_block = self._block_of(low)
        self._unread = self.unread_firsts()
        self._next_first = next(self._unread, None)
        self._next_offset = self._footer.ends[self._next_block - 1] if self._next_block else 0
        self._block = _Block(run, _COUNTS.pack(0, 0))
        self._position = 0

    def firsts(self) -> Iterator[tuple[bytes, int]]:
        """Yield for each block a beginning of its first key, which is not after that key, and its weight."""
        footer, first, at = self._footer, b"", 0
        for shared, length, weight in zip(footer.shared, footer.following_bytes, footer.weights, strict=True):
            first = first[:shared] + footer.following[at : at + length]
            at += length
            yield first, weight

    def unread_firsts(self) -> Iterator[tuple[bytes, int]]:
        """Yield what `firsts` does, of the blocks that are read."""
        return islice(self.firsts(), self._first_block, None)

    def below(self, border: bytes | None) -> Iterator[_Piece]:
        """Take what comes before ``border``, or all that is left."""
        while self._load(lambda first: border is None or first < border):
            stop = (
                len(self._block.keys)
                if border is None
                else bisect_left(self._block.keys, border, self._position)
            )
            if stop > self._position:
                yield self._take(stop)
            if stop < len(self._block.keys):
                return

    def equal_to(self, key: bytes | None) -> Iterator[_Piece]:
        """Take what has this key, where all that comes before it has been taken."""
        assert key is not None
        while self._load(lambda first: first <= key):
            stop = bisect_right(self._block.keys, key, self._position)
            if stop > self._position:
                yield self._take(stop)
            if stop < len(self._block.keys):
                return

    def _take(self, stop: int) -> _Piece:
        start, self._position = self._position, stop
        return _Piece(self._block.keys[start:stop], self._block, start)

    def _load(self, wanted: Callable[[bytes], bool]) -> bool:
        """Have rows in memory, of the next block only if it may be wanted. False if there are none."""
        if self._position < len(self._block.keys):
            return True
        if self._next_first is None or not wanted(self._next_first[0]):
            return False
        start, stop = self._next_offset, self._footer.ends[self._next_block]
        self._block = _Block(self._run, self._read(start, stop - start))
        self._position = bisect_left(self._block.keys, self._low)
        self._next_block, self._next_offset = self._next_block + 1, stop
        self._next_first = next(self._unread, None)
        return True

    def _block_of(self, low: bytes) -> int:
        """Return the number of a block before which all keys are below ``low``."""
        # Of a first key only the beginning is known: one that ``low`` begins with may be above it.
        below = (n for n, (first, _) in enumerate(self.firsts()) if first < low and not low.startswith(first))
        return max(below, default=0)

    def _read_footer(self) -> _Footer:
        end = self._file.seek(0, os.SEEK_END) - _TRAILER.size
        length, blocks = _TRAILER.unpack(self._read(end, _TRAILER.size))
        return _Footer.frombytes(self._read(end - length, length), blocks)

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) < length:
            raise OSError(f"{self._run.path} is shorter than it was written")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
