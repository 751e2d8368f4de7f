"""Sorting more than fits in memory: sorted runs in files, merged block by block.

Rows are columns of equal length beside their keys, because a Python object for each of ten million rows
would take more time than everything else.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Self

MERGE_BYTES = 16 << 20
"""Memory for rows and their keys while runs are merged, over all of them; a row of each run at least."""

_ROW_OVERHEAD_BYTES = 120  # what CPython needs for a row beside its key's bytes

_BLOCK_BYTES_MAX = 256 << 10
_KEYS_WRITTEN_AT_ONCE = 1_024


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


# A run's file: key ends (64 bits each), the columns of all rows one after the other, the keys.

_END = struct.Struct("<Q")


def write_run(path: Path, keys: Sequence[bytes], rows: Rows) -> None:
    """Sort rows by key and write them. Rows of equal keys stay in the order they came."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    in_order = [keys[position] for position in order]
    with path.open("wb", buffering=0) as file:
        file.write(array("Q", accumulate(map(len, in_order))).tobytes())
        file.write(rows.taken(order).tobytes())
        for start in range(0, len(in_order), _KEYS_WRITTEN_AT_ONCE):
            file.write(b"".join(in_order[start : start + _KEYS_WRITTEN_AT_ONCE]))


def merge(runs: Sequence[Run]) -> Iterator[tuple[list[bytes], Rows]]:
    """Yield keys and rows in order, a batch at a time.

    Rows of equal keys come in the order of the runs, and within a run in its own.
    """
    with ExitStack() as stack:
        block_bytes = min(_BLOCK_BYTES_MAX, MERGE_BYTES // max(1, len(runs)))
        cursors = [stack.enter_context(_Cursor(run, block_bytes)) for run in runs if run.rows]
        while cursors := [cursor for cursor in cursors if cursor.load()]:
            keys, rows = _gathered(cursors)
            yield _in_order(keys, rows)


def _gathered(cursors: Iterable[_Cursor]) -> tuple[list[bytes], Rows]:
    """Take from all blocks what certainly comes before anything not loaded yet."""
    cursors = list(cursors)
    limit = min(cursor.keys[-1] for cursor in cursors)
    keys: list[bytes] = []
    rows = Rows()
    more_equals = False
    for cursor in cursors:
        start = cursor.position
        # Once a run may have more rows of the limit's key, later runs' rows of it have to wait.
        find = bisect_left if more_equals else bisect_right
        stop = cursor.position = find(cursor.keys, limit, start)
        keys += cursor.keys[start:stop]
        rows.extend(cursor.rows, start, stop)
        more_equals = more_equals or (stop == len(cursor.keys) and cursor.unread > 0)
    return keys, rows


def _in_order(keys: list[bytes], rows: Rows) -> tuple[list[bytes], Rows]:
    order = sorted(range(len(keys)), key=keys.__getitem__)  # fast: it finds the sorted pieces it is made of
    return [keys[position] for position in order], rows.taken(order)


class _Cursor:
    """Reads one run, a block at a time."""

    def __init__(self, run: Run, block_bytes: int) -> None:
        self._run = run
        self._block_bytes = block_bytes
        self._file: BinaryIO = Path(run.path).open("rb", buffering=0)  # noqa: SIM115 (`__exit__` does)
        self._next = 0  # the first row not loaded yet
        self._keys_start = run.rows * (_END.size + ROW_BYTES)
        self._keys_read = 0  # bytes
        (keys_bytes,) = _END.unpack(self._read((run.rows - 1) * _END.size, _END.size))
        # What probably fills a block; its keys may be longer than the others.
        self._rows_max = max(1, block_bytes * run.rows // (keys_bytes + run.rows * _ROW_OVERHEAD_BYTES))
        self.keys: list[bytes] = []
        self.rows = Rows()
        self.position = 0

    @property
    def unread(self) -> int:
        """Rows that were never loaded."""
        return self._run.rows - self._next

    def load(self) -> bool:
        """Have at least one row in memory. False if there is none left."""
        if self.position < len(self.keys):
            return True
        if not self.unread:
            return False
        self._load_block()
        return True

    def _load_block(self) -> None:
        start = self._next
        ends = array("Q")
        ends.frombytes(self._read(start * _END.size, min(self.unread, self._rows_max) * _END.size))
        base = self._keys_read
        count = max(1, bisect_right(ends, base + self._block_bytes))
        text = self._read(self._keys_start + base, ends[count - 1] - base)
        borders = [0, *(end - base for end in ends[:count])]
        self.keys = [text[a:b] for a, b in pairwise(borders)]
        self.rows = self._read_rows(start, count)
        self.position = 0
        self._next += count
        self._keys_read += len(text)

    def _read_rows(self, start: int, count: int) -> Rows:
        rows, at = Rows(), self._run.rows * _END.size
        for column in rows.columns():
            column.frombytes(self._read(at + start * column.itemsize, count * column.itemsize))
            at += self._run.rows * column.itemsize
        ordinal_base, number_base = self._run.ordinal_base, self._run.number_base
        rows.ordinals = array("I", [ordinal_base + ordinal for ordinal in rows.ordinals])
        rows.numbers = array("I", [number_base + number for number in rows.numbers])
        return rows

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
