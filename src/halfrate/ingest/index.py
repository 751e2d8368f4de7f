"""The index of a client's file: its lines, in the order to run them.

::

    header    magic, version
    blocks    of `BLOCK_ROWS` lines each, the last one shorter: the columns of `Rows`, xxh3 over them
    summary   msgpack
    trailer   length of the summary, xxh3 of the summary, magic

The order is a depth-first walk of the trie of prompts, so that what begins alike is run together: first of
the lines that name no model, then of those that name each one. Every block has its own checksum, seeded with
its number: a reader of one Shard checks what it reads, and no more.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from halfrate.domain.errors import CorruptData
from halfrate.domain.kind import Kind
from halfrate.domain.sharing import Sharing
from halfrate.ingest.runs import ROW_BYTES, Rows
from halfrate.planner.prefix import SORT_KEY_VERSIONS_READ
from halfrate.store.blob.api import BlobReader, BlobWriter

STRANGERS_MAX = 20
"""How many lines of the wrong kind are named to a client: one look shows what is wrong with all of them."""

ERRORS_MAX = 1_000
"""How many errors a summary spells out. `IndexSummary.bad` and `bad_keys` count them all."""

CACHES_MAX = 100
"""How many Caches the lines of one input may name."""

MODELS_MAX = 100
"""How many models the lines of one input may name."""

SHARING_ALL_MAX = 1 << 14
"""Up to so many lines, what all of them share is looked at. To look at ten million would take long."""

BLOCK_ROWS = 2_048

BAD, REPEATED, TWIN = 1, 2, 4
"""The flags of a row: it cannot be read; an earlier line has its key; it asks what the one before it asks."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that lines name: how many do, and the number of the first."""

    model: str
    requests: int
    line: int


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What a whole file came to.

    ``requests`` counts the lines that are not blank, bad ones included. ``bad`` are those that cannot be
    read, ``bad_keys`` those whose key an earlier line has. ``errors`` has a sentence for each, by line
    number, up to `ERRORS_MAX`. ``refusal`` says why the file as a whole can never be run, if so.
    ``doomed`` are lines that can be read and never be answered here, the first of them in ``warnings``;
    ``keyless`` are lines without a key. ``sha256`` is what the input hashed to when it was indexed.
    ``embeddings`` are lines that ask for one; the numbers of the first of them, and of the first others, are
    in ``first_embeddings`` and ``first_generations``.
    ``caches`` are those that lines name, each with the number of the first line that does, and
    ``cache_models`` the models which these lines name, too; ``reads_files`` is whether a line points at a
    File.
    ``models`` are those that lines name, in the order in which their lines come; None in an index of before,
    where such lines are among all others. ``sharing`` is what prompts have in common with the one before in
    the order; of more than `SHARING_ALL_MAX` lines a sample tells it. ``order_version`` is that of what lines
    are sorted by.
    """

    requests: int
    bad: int
    bad_keys: int
    errors: tuple[str, ...]
    input_bytes: int
    refusal: str | None = None
    doomed: int = 0
    keyless: int = 0
    warnings: tuple[str, ...] = ()
    sha256: str | None = None
    embeddings: int = 0
    first_embeddings: tuple[int, ...] = ()
    first_generations: tuple[int, ...] = ()
    caches: tuple[tuple[str, int], ...] = ()
    reads_files: bool = False
    cache_models: tuple[str | None, ...] = ()
    models: tuple[NamedModel, ...] | None = None
    sharing: Sharing = Sharing()
    order_version: int = 0

    @property
    def named_caches(self) -> list[tuple[str, int, str | None]]:
        """Each Cache that lines name, the number of the first line that does, and the model it names."""
        models = self.cache_models or (None,) * len(self.caches)
        return [(*named, model) for named, model in zip(self.caches, models, strict=True)]

    def strangers(self, kind: Kind) -> tuple[int, tuple[int, ...]]:
        """Return how many lines have no place in a Job of this kind, and the numbers of the first of them."""
        if kind is Kind.GENERATION:
            return self.embeddings, self.first_embeddings
        return self.requests - self.bad - self.embeddings, self.first_generations


class Entry(NamedTuple):
    """One line that is not blank.

    ``offset`` and ``length`` say where its bytes are. ``ordinal`` counts Requests in input order from 0,
    ``number`` lines from 1. ``bad`` marks a line that cannot be read, ``repeated`` one whose key an
    earlier line has.
    """

    offset: int
    ordinal: int
    number: int
    length: int
    bad: bool
    repeated: bool


class IndexWriter:
    """Writes an index into a blob. Rows come in the order to run them."""

    def __init__(self, into: BlobWriter) -> None:
        self._into = into
        self._waiting = Rows()
        self._blocks = 0
        into.write(_HEADER.pack(_MAGIC, _VERSION))

    def add(self, rows: Rows) -> None:
        """Add rows."""
        self._waiting.extend(rows)
        start = 0
        while start + BLOCK_ROWS <= len(self._waiting):
            self._write_block(start, start + BLOCK_ROWS)
            start += BLOCK_ROWS
        rest = Rows()
        rest.extend(self._waiting, start)
        self._waiting = rest

    def finish(self, summary: IndexSummary) -> None:
        """Write what is left and the summary, and commit."""
        if len(self._waiting):
            self._write_block(0, len(self._waiting))
        packed = msgspec.msgpack.encode(summary)
        self._into.write(packed)
        self._into.write(_TRAILER.pack(len(packed), xxh3_64_intdigest(packed), _MAGIC))
        self._into.commit()

    def _write_block(self, start: int, stop: int) -> None:
        block = Rows()
        block.extend(self._waiting, start, stop)
        data = block.tobytes()
        self._into.write(data)
        self._into.write(_CHECKSUM.pack(xxh3_64_intdigest(data, seed=self._blocks)))
        self._blocks += 1


class IndexReader:
    """Reads an index. What is read is what was written, or it raises `CorruptData`."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader
        self._check_header()
        self.summary = self._read_summary()

    def entries(self, first: int, count: int) -> list[Entry]:
        """Return ``count`` lines from position ``first`` of the order. Raise `IndexError` beyond its end."""
        if first < 0 or first + count > self.summary.requests:
            raise IndexError(f"the index has {self.summary.requests} lines, not {first + count}")
        found: list[Entry] = []
        for block in range(first // BLOCK_ROWS, -(-(first + count) // BLOCK_ROWS)):
            rows, begins = self._block(block), block * BLOCK_ROWS
            part = Rows()
            part.extend(rows, max(0, first - begins), first + count - begins)
            found += map(_entry, *part.columns())
        return found

    def sizes(self) -> Iterator[tuple[Sequence[int], Sequence[bool]]]:
        """Yield how long each line is, in order, and whether it asks what the one before asks, by blocks."""
        for block in range(self._blocks):
            rows = self._block(block)
            yield rows.lengths, [bool(flags & TWIN) for flags in rows.flags]

    def check(self) -> None:
        """Read everything. Raise `CorruptData` unless every byte is as it was written."""
        for block in range(self._blocks):
            self._block(block)

    @property
    def _blocks(self) -> int:
        return -(-self.summary.requests // BLOCK_ROWS)

    def _block(self, number: int) -> Rows:
        rows = min(BLOCK_ROWS, self.summary.requests - number * BLOCK_ROWS)
        data = self._reader.read(_block_offset(number), rows * ROW_BYTES + _CHECKSUM.size)
        if len(data) < rows * ROW_BYTES + _CHECKSUM.size:
            raise self._corrupt("it is cut off")
        body = memoryview(data)[: rows * ROW_BYTES]
        (checksum,) = _CHECKSUM.unpack(data[len(body) :])
        if xxh3_64_intdigest(body, seed=number) != checksum:
            raise self._corrupt(f"the block at byte {_block_offset(number)} does not match its checksum")
        return Rows.frombytes(body, rows)

    def _check_header(self) -> None:
        header = self._reader.read(0, _HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise self._corrupt("it does not begin like one")
        _, version = _HEADER.unpack(header)
        if version != _VERSION:
            raise self._corrupt(f"it has format {version}, and this halfrate reads {_VERSION}")

    def _read_summary(self) -> IndexSummary:
        stop = self._reader.size_bytes - _TRAILER.size
        if stop < _HEADER.size:
            raise self._corrupt("it is cut off")
        length, checksum, magic = _TRAILER.unpack(self._reader.read(stop, _TRAILER.size))
        if magic != _MAGIC or length > stop - _HEADER.size:
            raise self._corrupt("it is cut off")
        packed = self._reader.read(stop - length, length)
        if xxh3_64_intdigest(packed) != checksum:
            raise self._corrupt("its summary does not match its checksum")
        summary = msgspec.msgpack.decode(packed, type=IndexSummary)
        if summary.order_version not in SORT_KEY_VERSIONS_READ:
            raise self._corrupt(f"it has order {summary.order_version}, which this halfrate does not make")
        if stop - length != _blocks_end(summary.requests):
            raise self._corrupt(f"it has not the size of one of {summary.requests} lines")
        return summary

    def _corrupt(self, why: str) -> CorruptData:
        return CorruptData(
            f"Blob {self._reader.name} is not a whole index: {why}. Delete it, and it is made again from "
            "the input when it is next needed."
        )


_MAGIC = b"HALFRIDX"
_VERSION = 2
_HEADER = struct.Struct("<8sI")
_CHECKSUM = struct.Struct("<Q")
_TRAILER = struct.Struct("<IQ8s")


def _block_offset(number: int) -> int:
    return _HEADER.size + number * (BLOCK_ROWS * ROW_BYTES + _CHECKSUM.size)


def _blocks_end(rows: int) -> int:
    return _HEADER.size + rows * ROW_BYTES + -(-rows // BLOCK_ROWS) * _CHECKSUM.size


def _entry(offset: int, ordinal: int, number: int, length: int, flags: int) -> Entry:
    return Entry(offset, ordinal, number, length, bool(flags & BAD), bool(flags & REPEATED))
