"""The seam for bulk bytes. ``tests/contract/test_blob_store.py`` is its contract.

Names are relative paths with ``/`` between parts, made by halfrate and never by a client. Calls block
on the disk: run long ones in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self


class BlobWriter(Protocol):
    """Writes one blob that appears whole or not at all. Leaving without `commit` discards it."""

    def write(self, data: bytes) -> None:
        """Add bytes at the end."""
        ...

    def commit(self) -> int:
        """Make the blob durable under its name, in place of any older one. Return its size in bytes."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class BlobAppender(Protocol):
    """Appends to one blob that stays, and can be read, while it grows."""

    @property
    def size_bytes(self) -> int:
        """Bytes in the blob, synced or not."""
        ...

    def append(self, data: bytes) -> None:
        """Add bytes at the end. They may be lost in a power cut until `sync` returns."""
        ...

    def sync(self) -> None:
        """Return when everything appended so far is durable."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class BlobReader(Protocol):
    """Reads one blob at any offset."""

    @property
    def name(self) -> str:
        """The blob's name, for messages."""
        ...

    @property
    def size_bytes(self) -> int:
        """Size when the blob was opened."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; fewer only at the end of the blob."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class BlobStore(Protocol):
    """Bulk bytes by name. A missing name raises `FileNotFoundError`."""

    def writer(self, name: str) -> BlobWriter:
        """Begin a new blob."""
        ...

    def appender(self, name: str) -> BlobAppender:
        """Open a blob to grow it, creating it if there is none."""
        ...

    def reader(self, name: str) -> BlobReader:
        """Open a blob to read it."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Move a blob. Its new name is durable; the old one may be back, too, after a power cut."""
        ...

    def delete(self, name: str) -> None:
        """Remove a blob, or every blob below ``name``, durably; nothing if there is none."""
        ...

    def sweep(self) -> None:
        """Remove what writers left behind when their process died. Call it before there are any."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all blobs below the folder ``prefix``, in order."""
        ...


CHUNK_BYTES = 1 << 20


def read_chunks(reader: BlobReader, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes from ``start`` up to ``stop`` (default: the end) in pieces of at most 1 MiB."""
    end = reader.size_bytes if stop is None else min(stop, reader.size_bytes)
    while start < end:
        chunk = reader.read(start, min(CHUNK_BYTES, end - start))
        if not chunk:
            return
        yield chunk
        start += len(chunk)
