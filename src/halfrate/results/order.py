"""Puts any number of Results in order in bounded memory: dealt onto piles, each small enough to be sorted."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

from halfrate.results.frames import encode_frame, read_frames

PILE_BYTES_MAX = 8 << 20
"""What is put in order in memory at a time. As Python objects it is about three times as large."""

PILES_MAX = 512
CHUNK_BYTES = 16 << 10


class Ordering:
    """Takes Results, as bytes, in any order and gives them back by their ordinals.

    ``size_bytes`` is how large they are together, as frames. What does not fit the memory goes through an
    unnamed file in ``spill`` that is read pile by pile, so no order of the Results makes it slow.
    """

    def __init__(self, ordinals: range, *, size_bytes: int, spill: Path) -> None:
        self._ordinals = ordinals
        self._spill = spill
        self._held: dict[int, bytes] = {}
        self._piles: list[_Pile] = []
        if size_bytes > PILE_BYTES_MAX and len(ordinals) > 1:
            # Half full, because Results are not all of one length.
            count = min(-(-size_bytes * 2 // PILE_BYTES_MAX), PILES_MAX)
            self._each = -(-len(ordinals) // count)
            spill.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=spill, buffering=0)  # noqa: SIM115 - `close` does
            starts = range(0, len(ordinals), self._each)
            self._piles = [_Pile(ordinals[n : n + self._each], self._file.fileno()) for n in starts]

    def add(self, ordinal: int, result: bytes) -> None:
        """Take one. There must be none of this ordinal yet."""
        if self._piles:
            pile = self._piles[(ordinal - self._ordinals.start) // self._each]
            pile.write(encode_frame(_ORDINAL.pack(ordinal) + result))
        else:
            self._held[ordinal] = result

    def results(self) -> Iterator[bytes | None]:
        """Yield for each ordinal, in ascending order, its Result, or None where there is none."""
        if not self._piles:
            yield from map(self._held.get, self._ordinals)
        for pile in self._piles:
            # Where large Results are next to each other, a pile is itself too large to be held.
            with Ordering(pile.ordinals, size_bytes=pile.size_bytes, spill=self._spill) as finer:
                for _, numbered in read_frames(pile, stop=pile.size_bytes):
                    finer.add(_ORDINAL.unpack_from(numbered)[0], numbered[_ORDINAL.size :])
                yield from finer.results()

    def close(self) -> None:
        """Give the file back."""
        if self._piles:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_ORDINAL = struct.Struct("<Q")


class _Pile:
    """A blob of frames in chunks of one size, spread over a file that it shares with others."""

    def __init__(self, ordinals: range, descriptor: int) -> None:
        self.name = f"of Results {ordinals.start} to {ordinals.stop - 1} in the spill directory"
        self.ordinals = ordinals
        self._descriptor = descriptor
        self._chunks = array("Q")  # where in the file each begins
        self._unfinished = bytearray()

    @property
    def size_bytes(self) -> int:
        return len(self._chunks) * CHUNK_BYTES + len(self._unfinished)

    def write(self, data: bytes) -> None:
        self._unfinished += data
        while len(self._unfinished) >= CHUNK_BYTES:
            chunk = self._unfinished[:CHUNK_BYTES]
            del self._unfinished[:CHUNK_BYTES]
            self._chunks.append(os.lseek(self._descriptor, 0, os.SEEK_END))
            while chunk:
                del chunk[: os.write(self._descriptor, chunk)]

    def read(self, offset: int, length: int) -> bytes:
        first, start = divmod(offset, CHUNK_BYTES)
        last = (offset + length - 1) // CHUNK_BYTES
        chunks = b"".join([self._chunk(number) for number in range(first, last + 1)])
        return chunks[start : start + length]

    def _chunk(self, number: int) -> bytes:
        if number < len(self._chunks):
            return os.pread(self._descriptor, CHUNK_BYTES, self._chunks[number])
        return bytes(self._unfinished)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
