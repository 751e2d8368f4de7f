"""What ingest workers do: tasks as values, the reports they end with, and how each is done.

A task reads blobs and runs and leaves no state in its worker, so that any worker can do any task, and do
it again when one has died half-way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from operator import eq
from pathlib import Path
from typing import NamedTuple

import msgspec

from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.line import Rejection
from halfrate.domain.sharing import Sharing
from halfrate.ingest.chunks import UNASKED_KEY, ChunkReport, Reading, index_chunk, shortened
from halfrate.ingest.index import ERRORS_MAX, REPEATED, TWIN, IndexReader, IndexSummary, IndexWriter
from halfrate.ingest.runs import EVERYTHING, Range, Rows, RowsWriter, Run, batches, halves, merge, read_rows
from halfrate.planner.shards import cut_sections
from halfrate.planner.sharing import sharing
from halfrate.store.blob.api import BlobStore

KEY_CHARS_MAX = 60


class IndexChunk(msgspec.Struct, frozen=True, tag=True):
    """Validate the lines of ``blob`` between two offsets and write two runs: see `chunks.index_chunk`."""

    blob: str
    start: int
    stop: int
    last: bool
    line_bytes_max: int
    prompts_run: str
    keys_run: str


class FindRepeated(msgspec.Struct, frozen=True, tag=True):
    """Find the keys of ``blob`` used more than once. The ordinals concerned go into a bitmap at ``marks``."""

    blob: str
    keys: list[Run]
    requests: int
    marks: str


class Repeated(msgspec.Struct, frozen=True, tag=True):
    """How many lines have a key that an earlier one has, and the first of them with a sentence each."""

    count: int
    errors: list[tuple[int, str]]


class Half(StrEnum):
    """Which part of an order is meant."""

    ALL = "all"
    LOWER = "lower"
    UPPER = "upper"


class MergePrompts(msgspec.Struct, frozen=True, tag=True):
    """Merge the runs by prompt of ``blob``, or a half of them, into a file of rows at ``into``.

    What they share is told by every so manieth prompt.
    """

    blob: str
    prompts: list[Run]
    half: Half
    into: str
    every: int


class Merged(msgspec.Struct, frozen=True, tag=True):
    """How many rows were merged, how many of them were looked at, and what those share."""

    rows: int
    looked_at: int
    sharing: Sharing


class WriteIndex(msgspec.Struct, frozen=True, tag=True):
    """Put files of rows, in turn, into the index ``blob``. ``marks`` is a bitmap of repeated ordinals."""

    blob: str
    parts: list[str]
    marks: str | None
    summary: IndexSummary


class CutShards(msgspec.Struct, frozen=True, tag=True):
    """Cut the order in the index ``blob`` into Shards. Each of its ``sections`` has so many Requests."""

    blob: str
    sections: list[int]
    requests_max: int
    bytes_max: int


class Sizes(msgspec.Struct, frozen=True, tag=True):
    """How many Requests each Shard of each section has, in order."""

    requests: list[list[int]]


class Nothing(msgspec.Struct, frozen=True, tag=True):
    """It is done."""


Task = IndexChunk | FindRepeated | MergePrompts | WriteIndex | CutShards


class Chunk(msgspec.Struct, frozen=True, tag=True):
    """What a chunk came to."""

    report: ChunkReport


Report = Chunk | Repeated | Merged | Sizes | Nothing


def perform(task: Task, blobs: BlobStore, read: Reading) -> Report:
    """Do one task. Raise `FileNotFoundError`, `CorruptData`, or another `OSError`."""
    match task:
        case IndexChunk():
            return Chunk(_index_chunk(task, blobs, read))
        case FindRepeated():
            repeated = _find_repeated(task, blobs, read)
            reach(CrashPoint.KEYS_COMPARE_AFTER)
            return repeated
        case MergePrompts():
            return _merge_prompts(task)
        case WriteIndex():
            _write_index(task, blobs)
            return Nothing()
        case CutShards(blob, sections, requests_max, bytes_max):
            with blobs.reader(blob) as reader:
                blocks = IndexReader(reader).sizes()
                sizes = cut_sections(blocks, sections, requests_max=requests_max, bytes_max=bytes_max)
                return Sizes(list(sizes))


def _index_chunk(task: IndexChunk, blobs: BlobStore, read: Reading) -> ChunkReport:
    with blobs.reader(task.blob) as source:
        return index_chunk(
            source,
            task.start,
            task.stop,
            last=task.last,
            read=read,
            line_bytes_max=task.line_bytes_max,
            prompts_run=Path(task.prompts_run),
            keys_run=Path(task.keys_run),
        )


# Repeated keys ----------------------------------------------------------------------------------------


class _Repetition(NamedTuple):
    ordinal: int
    number: int
    offset: int
    length: int
    first_number: int


def _find_repeated(task: FindRepeated, blobs: BlobStore, read: Reading) -> Repeated:
    marks: bytearray | None = None
    count = 0
    first: list[tuple[int, _Repetition]] = []  # a heap whose root has the largest line number
    for repetition in _repetitions(task.keys):
        count += 1
        if marks is None:
            marks = bytearray(task.requests // 8 + 1)
        marks[repetition.ordinal >> 3] |= 1 << (repetition.ordinal & 7)
        if len(first) < ERRORS_MAX:
            heapq.heappush(first, (-repetition.number, repetition))
        elif -repetition.number > first[0][0]:
            heapq.heapreplace(first, (-repetition.number, repetition))
    if marks is None:
        return Repeated(0, [])
    Path(task.marks).write_bytes(marks)
    with blobs.reader(task.blob) as source:
        errors = []
        for _, found in sorted(first, reverse=True):
            (line,) = read.lines([source.read(found.offset, found.length)])
            key = None if isinstance(line, Rejection) else line.key
            errors.append((found.number, _repetition_message(key or "", found.first_number)))
    return Repeated(count, errors)


def _repetitions(runs: list[Run]) -> Iterator[_Repetition]:
    """Yield every use of a key after its first."""
    last_key, first_number = b"", 0
    for batch in batches(runs):
        if last_key not in (different := set(batch.keys)) and len(different) == len(batch.keys):
            continue  # nearly always: no need for an order
        keys, rows = batch.in_order()
        for position, key in enumerate(keys):
            if key == last_key:
                where = rows.ordinals[position], rows.numbers[position], rows.offsets[position]
                yield _Repetition(*where, rows.lengths[position], first_number)
            else:
                last_key, first_number = key, rows.numbers[position]


def _repetition_message(key: str, first_number: int) -> str:
    return (
        f"duplicate key {shortened(key, KEY_CHARS_MAX)!r}, first used on line {first_number}; "
        "give every line a key of its own, so that results can be told apart"
    )


# The index --------------------------------------------------------------------------------------------


def _merge_prompts(task: MergePrompts) -> Merged:
    found, last_key, looked_at = Sharing(), b"", 0
    with RowsWriter(Path(task.into)) as writer:
        for keys, rows in merge(task.prompts, _range(task)):
            found += sharing(keys, last_key, every=task.every)
            looked_at += -(-len(keys) // task.every)
            last_key = _mark_twins(keys, rows, last_key)
            writer.add(rows)
    return Merged(writer.rows, looked_at, found)


def _range(task: MergePrompts) -> Range:
    match task.half:
        case Half.ALL:
            return EVERYTHING
        case Half.LOWER:
            return halves(task.prompts)[0]
        case Half.UPPER:
            return halves(task.prompts)[1]


def _write_index(task: WriteIndex, blobs: BlobStore) -> None:
    marks = Path(task.marks).read_bytes() if task.marks else b""
    with blobs.writer(task.blob) as into:
        writer = IndexWriter(into)
        for path in task.parts:
            for rows in read_rows(Path(path)):
                if marks:
                    _mark_repeated(rows, marks)
                writer.add(rows)
        reach(CrashPoint.INDEX_COMMIT_BEFORE)
        writer.finish(task.summary)
    reach(CrashPoint.INDEX_COMMIT_AFTER)


def _mark_repeated(rows: Rows, marks: bytes) -> None:
    for position, ordinal in enumerate(rows.ordinals):
        if marks[ordinal >> 3] >> (ordinal & 7) & 1:
            rows.flags[position] |= REPEATED


def _mark_twins(keys: list[bytes], rows: Rows, last_key: bytes) -> bytes:
    """Flag each row whose key the row before it has. Return the last key."""
    before = [last_key, *keys]
    if any(map(eq, keys, before)):  # seldom, and then it is worth a look at each
        for position, key in enumerate(keys):
            if key == before[position] and key != UNASKED_KEY:
                rows.flags[position] |= TWIN
    return keys[-1]


def first_errors(
    bad: list[tuple[int, str]], repeated: list[tuple[int, str]], *, prefix: str = "Error"
) -> tuple[str, ...]:
    """Return the sentences for the first lines with something wrong, in the order of lines."""
    first = islice(heapq.merge(bad, repeated), ERRORS_MAX)
    return tuple(f"{prefix} on line {number}: {message}" for number, message in first)
