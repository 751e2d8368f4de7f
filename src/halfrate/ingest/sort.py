"""Sorting more than fits in memory."""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple, Self

_LENGTHS = struct.Struct("<II")
_BY_KEY = itemgetter(0)

_ENTRY_OVERHEAD_BYTES = 160  # what CPython needs beside the bytes: a tuple, two headers, a list slot
_FAN_IN = 32  # runs merged at once: bounds open files and read buffers
_BUFFER_BYTES = 128 << 10


class ExternalSort:
    """Sorts (key, payload) pairs by key, byte-wise; pairs of equal keys stay in the order they came.

    About ``memory_bytes`` are held in memory, plus a few MB of buffers while runs are merged; the rest
    is in files below ``spill`` that have no name, so that not even ``kill -9`` leaves one behind.
    """

    def __init__(self, spill: Path, *, memory_bytes: int) -> None:
        spill.mkdir(parents=True, exist_ok=True)
        self._spill = spill
        self._memory_bytes = memory_bytes
        self._entries: list[tuple[bytes, bytes]] = []
        self._entries_bytes = 0
        self._runs: list[_Run] = []

    def add(self, key: bytes, payload: bytes) -> None:
        """Take one more pair."""
        self._entries.append((key, payload))
        self._entries_bytes += len(key) + len(payload) + _ENTRY_OVERHEAD_BYTES
        if self._entries_bytes >= self._memory_bytes:
            self._spill_entries()

    def sorted(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every pair in order, once. Nothing may be added any more."""
        self._entries.sort(key=_BY_KEY)
        if not self._runs:
            return iter(self._entries)
        # In memory lies what came last, so it goes last: merge prefers earlier inputs among equals.
        return heapq.merge(*(run.pairs() for run in self._runs), self._entries, key=_BY_KEY)

    def close(self) -> None:
        """Give back memory and disk."""
        self._entries.clear()
        for run in self._runs:
            run.file.close()
        self._runs.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _spill_entries(self) -> None:
        self._entries.sort(key=_BY_KEY)
        self._runs.append(self._write_run(self._entries, level=0))
        self._entries.clear()
        self._entries_bytes = 0
        self._merge_full_levels()

    def _merge_full_levels(self) -> None:
        """Merge the newest runs while `_FAN_IN` of them have one level: each pair is rewritten
        once a level, and neighbours stay neighbours, which keeps the sort stable.
        """
        while len(self._runs) >= _FAN_IN and self._runs[-_FAN_IN].level == self._runs[-1].level:
            full = self._runs[-_FAN_IN:]
            merged = heapq.merge(*(run.pairs() for run in full), key=_BY_KEY)
            self._runs[-_FAN_IN:] = [self._write_run(merged, level=full[-1].level + 1)]
            for run in full:
                run.file.close()

    def _write_run(self, pairs: Iterable[tuple[bytes, bytes]], *, level: int) -> _Run:
        with ExitStack() as on_error:
            file = on_error.enter_context(TemporaryFile(dir=self._spill, buffering=_BUFFER_BYTES))
            for key, payload in pairs:
                file.write(_LENGTHS.pack(len(key), len(payload)) + key + payload)
            file.flush()
            on_error.pop_all()
        return _Run(file, level)


class _Run(NamedTuple):
    """Sorted pairs in a file. ``level`` counts how often they were merged."""

    file: IO[bytes]
    level: int

    def pairs(self) -> Iterator[tuple[bytes, bytes]]:
        self.file.seek(0)
        read = self.file.read
        while lengths := read(_LENGTHS.size):
            key_length, payload_length = _LENGTHS.unpack(lengths)
            both = read(key_length + payload_length)
            yield both[:key_length], both[key_length:]
