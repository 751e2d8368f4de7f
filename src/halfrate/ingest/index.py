"""The index of a client's file: where every line is, whether it can be read, what its key is.

::

    header    magic, version, size of one record
    records   one a line, in order: offset, line number, length, flags, key hash
    summary   msgpack
    trailer   length of the summary, xxh3 of all before, magic
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple, Self

import msgspec
from xxhash import xxh3_64, xxh3_128_digest

from halfrate.domain.errors import CorruptData, InvalidArgument
from halfrate.domain.line import Line, Rejection
from halfrate.ingest.lines import LineScanner, RawLine
from halfrate.ingest.sort import ExternalSort
from halfrate.store.blob.api import CHUNK_BYTES, BlobReader, BlobWriter, read_chunks

ERRORS_MAX = 1_000
"""How many errors a summary spells out. `IndexSummary.bad` and `bad_keys` count them all."""

EXAMPLE = '{"key": "1", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}'


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What a whole file came to.

    ``requests`` counts the lines that are not blank, bad ones included. ``bad`` are those that cannot be
    read, ``bad_keys`` those whose key an earlier line has. ``errors`` has a sentence for each, by line
    number, up to `ERRORS_MAX`; a file without any Request has one too.
    """

    requests: int
    bad: int
    bad_keys: int
    errors: tuple[str, ...]
    input_bytes: int


class IndexRecord(NamedTuple):
    """One line that is not blank. A tuple, because a plan reads ten million of them.

    ``ordinal`` counts them from 0; ``number`` is the line's number in the file, from 1 and with blank
    lines. ``key_hash`` is xxh3-128 of the key in UTF-8, None without a key. ``repeated`` marks a line
    whose key an earlier line has.
    """

    ordinal: int
    number: int
    offset: int
    length: int
    bad: bool
    repeated: bool
    key_hash: bytes | None


class Indexer:
    """Validates and indexes a file while its bytes arrive.

    Memory is bounded: records and key hashes are spilled to unnamed files below ``spill``.
    """

    def __init__(
        self,
        parse: Callable[[bytes], Line | Rejection],
        *,
        spill: Path,
        line_bytes_max: int = 4 << 20,
        lines_max: int = 10_000_000,
        example: str = EXAMPLE,
    ) -> None:
        spill.mkdir(parents=True, exist_ok=True)
        self._parse = parse
        self._line_bytes_max = line_bytes_max
        self._lines_max = lines_max
        self._example = example
        self._scanner = LineScanner(line_bytes_max)
        self._records = TemporaryFile(dir=spill, buffering=_BUFFER_BYTES)  # noqa: SIM115 (`close` does)
        self._keys = _Keys(spill)
        self._requests = 0
        self._bad = 0
        self._errors: list[_Error] = []
        self._input_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raise `InvalidArgument` if the file has more lines than allowed."""
        self._input_bytes += len(chunk)
        for line in self._scanner.feed(chunk):
            self._take(line)

    def finish(self, into: BlobWriter) -> IndexSummary:
        """Take the last line, find repeated keys, write the index and commit it."""
        for line in self._scanner.finish():
            self._take(line, cut_off=True)
        repeated, bad_keys = self._mark_repeated_keys()
        summary = IndexSummary(
            requests=self._requests,
            bad=self._bad,
            bad_keys=bad_keys,
            errors=self._texts(repeated),
            input_bytes=self._input_bytes,
        )
        self._write(summary, into)
        into.commit()
        self.close()
        return summary

    def close(self) -> None:
        """Give back what is held, after an upload that was broken off."""
        self._records.close()
        self._keys.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _take(self, line: RawLine, *, cut_off: bool = False) -> None:
        if self._requests == self._lines_max:
            raise InvalidArgument(
                f"The file has more than {self._lines_max:,} lines. Split it into several files, "
                "one for each batch."
            )
        parsed = self._read(line)
        flags, key_hash = 0, _NO_KEY
        if isinstance(parsed, Rejection):
            flags = _BAD
            self._reject(line, parsed.message, cut_off=cut_off)
        elif parsed.key is not None:
            flags = _KEYED
            key_hash = self._keys.add(parsed.key, ordinal=self._requests, number=line.number)
        length = min(line.length, _LENGTH_MAX)
        self._records.write(_RECORD.pack(line.offset, line.number, length, flags, key_hash))
        self._requests += 1

    def _read(self, line: RawLine) -> Line | Rejection:
        if line.data is not None:
            return self._parse(line.data)
        return too_long(line.length, line_bytes_max=self._line_bytes_max)

    def _reject(self, line: RawLine, message: str, *, cut_off: bool) -> None:
        self._bad += 1
        if len(self._errors) >= ERRORS_MAX:
            return
        message = _shortened(message, _MESSAGE_CHARS_MAX)
        if self._requests == 0 and line.data is not None and (hint := _hint(line.data)):
            message += f". {hint}. Every line must be one JSON object, for example {self._example}"
        elif cut_off and line.data is not None:
            message += (
                ". No newline ends this last line, so the file may have been cut off: "
                "check that it is complete and upload it again"
            )
        self._errors.append(_Error(line.number, message))

    def _mark_repeated_keys(self) -> tuple[list[_Error], int]:
        """Flag the records concerned; return the first errors and the number of all."""
        self._records.flush()
        first_errors: list[tuple[int, str]] = []  # a heap whose root is the largest line number
        count = 0
        for repetition in self._keys.repetitions():
            count += 1
            self._flag_as_repeated(repetition.ordinal)
            entry = (-repetition.number, repetition.message)
            if len(first_errors) < ERRORS_MAX:
                heapq.heappush(first_errors, entry)
            elif entry > first_errors[0]:
                heapq.heapreplace(first_errors, entry)
        return sorted(_Error(-number, message) for number, message in first_errors), count

    def _flag_as_repeated(self, ordinal: int) -> None:
        self._records.seek(ordinal * _RECORD.size + _FLAGS_OFFSET)
        self._records.write(_FLAGS.pack(_KEYED | _REPEATED))

    def _texts(self, repeated: list[_Error]) -> tuple[str, ...]:
        if self._requests == 0:
            return (
                "The file has no requests: it is empty or has only blank lines. "
                f"Every line must be one JSON object, for example {self._example}",
            )
        first_errors = islice(heapq.merge(self._errors, repeated), ERRORS_MAX)
        return tuple(f"Error on line {error.number}: {error.message}" for error in first_errors)

    def _write(self, summary: IndexSummary, into: BlobWriter) -> None:
        checksum = xxh3_64()

        def write(data: bytes) -> None:
            checksum.update(data)
            into.write(data)

        write(_HEADER.pack(_MAGIC, _VERSION, _RECORD.size))
        self._records.seek(0)
        while chunk := self._records.read(CHUNK_BYTES):
            write(chunk)
        packed = msgspec.msgpack.encode(summary)
        write(packed)
        write(_LENGTH.pack(len(packed)))
        into.write(_SEAL.pack(checksum.intdigest(), _MAGIC))


def too_long(length: int, *, line_bytes_max: int) -> Rejection:
    """Reject a line for its length."""
    return Rejection(
        f"the line has {length:,} bytes, and at most {line_bytes_max:,} are allowed: "
        "shorten the prompt, or split it over several lines"
    )


class IndexReader:
    """Reads an index. Opening it raises `CorruptData` unless every byte is as it was written."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader
        self._check_header()
        self._check_seal()
        self.summary = self._read_summary()

    def records(self) -> Iterator[IndexRecord]:
        """Yield every record in order."""
        ordinal = 0
        stop = _HEADER.size + self.summary.requests * _RECORD.size
        for start in range(_HEADER.size, stop, _READ_BYTES):
            packed = self._reader.read(start, min(_READ_BYTES, stop - start))
            for fields in _RECORD.iter_unpack(packed):
                yield _record(ordinal, fields)
                ordinal += 1

    def record(self, ordinal: int) -> IndexRecord:
        """Return one record. Raise `IndexError` if there are not so many."""
        if not 0 <= ordinal < self.summary.requests:
            raise IndexError(f"the index has {self.summary.requests} records, none is number {ordinal}")
        packed = self._reader.read(_HEADER.size + ordinal * _RECORD.size, _RECORD.size)
        return _record(ordinal, _RECORD.unpack(packed))

    def _check_header(self) -> None:
        header = self._reader.read(0, _HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise self._corrupt("it does not begin like one")
        _, version, record_bytes = _HEADER.unpack(header)
        if (version, record_bytes) != (_VERSION, _RECORD.size):
            raise self._corrupt(f"it has format {version}, and this halfrate reads {_VERSION}")

    def _check_seal(self) -> None:
        seal_offset = self._reader.size_bytes - _SEAL.size
        expected, magic = _SEAL.unpack(self._reader.read(seal_offset, _SEAL.size))
        if magic != _MAGIC:
            raise self._corrupt("it is cut off")
        checksum = xxh3_64()
        for chunk in read_chunks(self._reader, 0, seal_offset):
            checksum.update(chunk)
        if checksum.intdigest() != expected:
            raise self._corrupt("its checksum does not match")

    def _read_summary(self) -> IndexSummary:
        stop = self._reader.size_bytes - _SEAL.size - _LENGTH.size
        (length,) = _LENGTH.unpack(self._reader.read(stop, _LENGTH.size))
        return msgspec.msgpack.decode(self._reader.read(stop - length, length), type=IndexSummary)

    def _corrupt(self, why: str) -> CorruptData:
        return CorruptData(
            f"Blob {self._reader.name} is not a whole index: {why}. Upload the input file again, "
            "or restore the blob from a backup."
        )


_MAGIC = b"HALFRIDX"
_VERSION = 1
_HEADER = struct.Struct("<8sII")
_RECORD = struct.Struct("<QQII16s")
_FLAGS = struct.Struct("<I")
_FLAGS_OFFSET = 20
_LENGTH = struct.Struct("<I")
_SEAL = struct.Struct("<Q8s")

_BAD, _KEYED, _REPEATED = 1, 2, 4
_NO_KEY = bytes(16)
_LENGTH_MAX = (1 << 32) - 1  # a line this long is bad anyway; its error says how long it really is
_BUFFER_BYTES = 1 << 18
_READ_BYTES = _RECORD.size * 8192
_KEYS_MEMORY_BYTES = 16 << 20
_KEY_CHARS_MAX = 60
_MESSAGE_CHARS_MAX = 500


def _record(ordinal: int, fields: tuple[int, int, int, int, bytes]) -> IndexRecord:
    offset, number, length, flags, key_hash = fields
    bad, repeated = bool(flags & _BAD), bool(flags & _REPEATED)
    return IndexRecord(ordinal, number, offset, length, bad, repeated, key_hash if flags & _KEYED else None)


class _Error(NamedTuple):
    number: int
    message: str


class _Repetition(NamedTuple):
    ordinal: int
    number: int
    message: str


class _Keys:
    """Finds keys used twice, by sorting their hashes."""

    # Equal hashes are taken for equal keys. At 128 bits, ten million different keys collide by chance
    # with a probability of 10^-25. xxh3 does not resist an attacker, and need not: whoever crafts a
    # collision has a line of their own file refused as a repetition.

    _WHERE = struct.Struct("<QQ")

    def __init__(self, spill: Path) -> None:
        self._sort = ExternalSort(spill, memory_bytes=_KEYS_MEMORY_BYTES)

    def add(self, key: str, *, ordinal: int, number: int) -> bytes:
        """Take a key and return its hash."""
        encoded = key.encode("utf-8", "surrogatepass")
        key_hash = xxh3_128_digest(encoded)
        shown = encoded if len(key) <= _KEY_CHARS_MAX else _shortened(key, _KEY_CHARS_MAX).encode()
        self._sort.add(key_hash, self._WHERE.pack(ordinal, number) + shown)
        return key_hash

    def repetitions(self) -> Iterator[_Repetition]:
        """Yield every use of a key after its first."""
        last_hash, first_number = b"", 0
        for key_hash, payload in self._sort.sorted():
            ordinal, number = self._WHERE.unpack_from(payload)
            if key_hash != last_hash:
                last_hash, first_number = key_hash, number
                continue
            key = payload[self._WHERE.size :].decode("utf-8", "replace")
            yield _Repetition(
                ordinal,
                number,
                f"duplicate key {key!r}, first used on line {first_number}; "
                "give every line a key of its own, so that results can be told apart",
            )

    def close(self) -> None:
        self._sort.close()


def _shortened(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _hint(first_line: bytes) -> str | None:
    """Guess what a file is whose first line is not a JSON object, as a sentence without its full stop."""
    start = first_line.strip()
    for beginning, hint in _HINTS:
        if start.startswith(beginning):
            return hint
    if start == b"{":
        return "The file looks like JSON spread over several lines: write each object on a single line"
    return None if start.startswith(b"{") else "This does not look like a JSON Lines file"


_HINTS = (
    (b"[", "The file looks like one JSON array: write its elements without the brackets, one on each line"),
    (b"\x1f\x8b", "The file is compressed with gzip: unpack it first"),
    (b"PK\x03\x04", "The file is a ZIP archive: unpack it first"),
    (b"\xff\xfe", "The file is encoded as UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "The file is encoded as UTF-16: save it as UTF-8"),
    (b"PAR1", "The file is in Parquet format: export it as JSON Lines"),
)
