"""Blobs as files in one directory, with the full fsync discipline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Self

from halfrate.store.blob.api import BlobAppender, BlobReader, BlobWriter
from halfrate.store.disk import named

_TEMPORARY = ".writing"
"""The folder of blobs that are being written: all in one place, to be found without a search."""


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable: a new name is only then sure to be found again."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Create a directory and its parents, each durable in its parent."""
    if path.is_dir():
        return
    make_directories(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


class LocalBlobStore:
    """Blobs as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, name: str) -> BlobWriter:
        """Begin a new blob in a temporary file, on the same file system."""
        return _LocalWriter(self._path(name), self._root / _TEMPORARY)

    def appender(self, name: str) -> BlobAppender:
        """Open a blob to grow it, creating it if there is none."""
        return _LocalAppender(self._path(name))

    def reader(self, name: str) -> BlobReader:
        """Open a blob to read it."""
        return _LocalReader(name, self._path(name))

    def rename(self, name: str, new_name: str) -> None:
        """Move a blob, durably."""
        old, new = self._path(name), self._path(new_name)
        make_directories(new.parent)
        old.rename(new)
        sync_directory(new.parent)
        sync_directory(old.parent)

    def delete(self, name: str) -> None:
        """Remove a blob, or every blob below ``name``; nothing if there is none."""
        path = self._path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all blobs below the folder ``prefix``, in order."""
        try:
            entries = sorted(os.scandir(self._path(prefix)), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:  # memory for one folder, not for all there is
            if entry.is_dir():
                yield from self.names(f"{prefix}/{entry.name}")
            else:
                yield f"{prefix}/{entry.name}"

    def sweep(self) -> None:
        """Remove what writers left behind when their process died. Call it before there are any."""
        shutil.rmtree(self._root / _TEMPORARY, ignore_errors=True)

    def _path(self, name: str) -> Path:
        # Names are ours, but a slip must not become a way out of the directory.
        parts = name.split("/")
        if not name or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"{name!r} is no blob name")
        return self._root.joinpath(*parts)


class _LocalWriter:
    def __init__(self, path: Path, folder: Path) -> None:
        make_directories(path.parent)
        folder.mkdir(exist_ok=True)
        self._path = path
        self._temporary = folder / token_hex(8)
        self._file = self._temporary.open("xb", buffering=1 << 20)

    def write(self, data: bytes) -> None:
        with named(self._path):
            self._file.write(data)

    def commit(self) -> int:
        with named(self._path):
            self._file.flush()
            # fsync before rename: after a crash the name must point at the old blob or the whole new one.
            os.fsync(self._file.fileno())
            size_bytes = self._file.tell()
            self._file.close()
        self._temporary.rename(self._path)
        sync_directory(self._path.parent)
        return size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._file.close()
        finally:  # also on a full disk, where closing fails: it writes what is buffered
            self._temporary.unlink(missing_ok=True)


class _LocalAppender:
    def __init__(self, path: Path) -> None:
        make_directories(path.parent)
        created = not path.exists()
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size_bytes = self._file.tell()
        if created:
            sync_directory(path.parent)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with named(self._path):
                written = self._file.write(view)
            self._size_bytes += written
            view = view[written:]

    def sync(self) -> None:
        with named(self._path):
            os.fdatasync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


class _LocalReader:
    def __init__(self, name: str, path: Path) -> None:
        self._name = name
        self._descriptor = os.open(path, os.O_RDONLY)
        self._size_bytes = os.fstat(self._descriptor).st_size

    @property
    def name(self) -> str:
        return self._name

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read(self, offset: int, length: int) -> bytes:
        pieces = []
        while length > 0 and (piece := os.pread(self._descriptor, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._descriptor)
