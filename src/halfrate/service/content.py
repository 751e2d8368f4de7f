"""What a File holds at one moment, to be read whole or in part."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

from halfrate.domain.file import File
from halfrate.store.blob.api import CHUNK_BYTES, BlobStore, read_chunks
from halfrate.store.blob.streams import in_thread


class Content(Protocol):
    """Bytes that never change. ``etag`` stands for exactly these.

    ``snapshot`` is the token of the Snapshot they are, None if they are no Job's Results. ``ranged`` is
    False where a part must not be given: whoever asks for one has seen other bytes before.
    """

    @property
    def etag(self) -> str:
        """The name of these bytes."""
        ...

    @property
    def snapshot(self) -> str | None:
        """The Snapshot they are."""
        ...

    @property
    def ranged(self) -> bool:
        """Whether parts may be given."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """Return the size, None where it is not known without making all of it."""
        ...

    def read(self) -> AsyncIterator[bytes]:
        """Yield all of it."""
        ...

    async def reach(self, stop: int | None) -> tuple[int, int | None]:
        """Have ``stop`` bytes ready to be read in parts, or all. Return how many are, and the size."""
        ...

    def read_part(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``, once they are in `reach`."""
        ...


class StoredContent:
    """The bytes of a File that is there whole."""

    def __init__(
        self, blobs: BlobStore, file: File, *, snapshot: str | None = None, ranged: bool = True
    ) -> None:
        self._blobs = blobs
        self._blob = file.blob
        self.etag = file.sha256
        self.snapshot = snapshot
        self.ranged = ranged
        self.size_bytes: int | None = file.size_bytes
        self._size_bytes = file.size_bytes

    def read(self) -> AsyncIterator[bytes]:
        """Yield all of it."""
        return self.read_part(0, self._size_bytes)

    async def reach(self, stop: int | None) -> tuple[int, int | None]:
        """Return the size twice: it is all there."""
        return self._size_bytes, self._size_bytes

    async def read_part(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``."""
        with self._blobs.reader(self._blob) as reader:
            async for chunk in in_thread(read_chunks(reader, start, stop)):
                yield chunk


class MadeContent:
    """Bytes made when they are read: as they come if all are wanted, through a `Rendering` for parts."""

    size_bytes: int | None = None

    def __init__(
        self,
        make: Callable[[], Awaitable[Iterator[bytes]]],
        renderings: Renderings,
        *,
        etag: str,
        snapshot: str,
        ranged: bool,
    ) -> None:
        self._make = make
        self._renderings = renderings
        self._rendering: Rendering | None = None
        self.etag = etag
        self.snapshot: str | None = snapshot
        self.ranged = ranged

    async def read(self) -> AsyncIterator[bytes]:
        """Yield all of it."""
        async for chunk in in_thread(await self._make()):
            yield chunk

    async def reach(self, stop: int | None) -> tuple[int, int | None]:
        """Have ``stop`` bytes ready to be read in parts, or all. Return how many are, and the size."""
        rendering = self._renderings.get(self.etag)
        if rendering is None:
            rendering = self._renderings.add(self.etag, await self._make())
        self._rendering = rendering
        return await asyncio.to_thread(rendering.reach, stop)

    def read_part(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``, once they are in `reach`."""
        assert self._rendering is not None, "reach it first"
        return in_thread(self._rendering.chunks(start, stop))


class Renderings:
    """The Snapshots that were read in parts last: each is made once, however many parts are asked for.

    At most ``most`` are kept; each takes as much disk as was read of it.
    """

    def __init__(self, spill: Path, *, most: int = 4) -> None:
        self._spill = spill
        self._most = most
        self._kept: OrderedDict[str, Rendering] = OrderedDict()  # the one used last at the end

    def get(self, etag: str) -> Rendering | None:
        """Return a Rendering that is kept."""
        if etag in self._kept:
            self._kept.move_to_end(etag)
        return self._kept.get(etag)

    def add(self, etag: str, chunks: Iterator[bytes]) -> Rendering:
        """Keep a new one, in place of the one not used for longest. Who still reads that one can go on."""
        self._kept[etag] = rendering = Rendering(chunks, self._spill)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return rendering


class Rendering:
    """Bytes in an unnamed file, made as far as somebody wanted to read. Gone when nobody holds it.

    Blocks: use it in a thread.
    """

    def __init__(self, chunks: Iterator[bytes], spill: Path) -> None:
        self._chunks = chunks
        self._made_bytes = 0
        self._whole = False
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        with TemporaryFile(dir=spill) as file:
            self._fd = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._fd)

    def reach(self, stop: int | None) -> tuple[int, int | None]:
        """Make bytes until there are ``stop``, or all. Return how many there are, and the size if known."""
        with self._lock:
            while not self._whole and (stop is None or self._made_bytes < stop):
                self._make_more()
            return self._made_bytes, self._made_bytes if self._whole else None

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield bytes that were made."""
        while start < stop and (chunk := os.pread(self._fd, min(CHUNK_BYTES, stop - start), start)):
            yield chunk
            start += len(chunk)

    def _make_more(self) -> None:
        if self._failure is not None:  # what failed once looks like an end when it is asked again
            raise self._failure
        try:
            chunk = memoryview(next(self._chunks, b""))
        except Exception as failure:
            self._failure = failure
            raise
        self._whole = not chunk
        while chunk:
            written = os.pwrite(self._fd, chunk, self._made_bytes)
            self._made_bytes += written
            chunk = chunk[written:]
