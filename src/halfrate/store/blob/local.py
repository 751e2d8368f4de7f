"""Blobs as files in one directory, with the full fsync discipline."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from halfrate.crashpoints import CrashPoint, reach
from halfrate.store.blob.api import CHUNK_BYTES, BlobAppender, BlobReader, BlobWriter
from halfrate.store.blob.disk import Disk, OsDisk
from halfrate.store.disk import named

_TEMPORARY = ".writing"
"""The folder of blobs that are being written: all in one place, to be found without a search."""


class LocalBlobStore:
    """Blobs as files below ``root``, whose parent is there."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self._root = root
        self._disk = disk or OsDisk()
        self._folders = _Folders(root, self._disk)

    def writer(self, name: str) -> BlobWriter:
        """Begin a new blob in a temporary file, on the same file system."""
        return _LocalWriter(self._placed(name), self._root / _TEMPORARY, self._disk)

    def appender(self, name: str) -> BlobAppender:
        """Open a blob to grow it, creating it if there is none."""
        return _LocalAppender(self._placed(name), self._disk)

    def reader(self, name: str) -> BlobReader:
        """Open a blob to read it."""
        return _LocalReader(name, self._path(name))

    def rename(self, name: str, new_name: str) -> None:
        """Move a blob. Its new name is durable; the old one may be back, too, after a power cut."""
        old, new = self._path(name), self._placed(new_name)
        reach(CrashPoint.MOVE_RENAME_BEFORE)
        self._disk.rename(old, new)
        reach(CrashPoint.MOVE_RENAME_AFTER)
        self._disk.sync_directory(new.parent)
        reach(CrashPoint.MOVE_SYNC_AFTER)

    def delete(self, name: str) -> None:
        """Remove a blob, or every blob below ``name``, durably; nothing if there is none."""
        path = self._path(name)
        if path.is_dir():
            self._delete_folder(path)
        else:
            self._unlink(path)
        # Also if there was nothing: who removed it may have died before that was durable.
        if path.parent.is_dir():
            self._disk.sync_directory(path.parent)
            reach(CrashPoint.DELETE_SYNC_AFTER)

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
        if (self._root / _TEMPORARY).is_dir():
            self._delete_folder(self._root / _TEMPORARY)

    def _delete_folder(self, path: Path) -> None:
        for folder, _, names in os.walk(path, topdown=False):
            for name in sorted(names):
                self._unlink(Path(folder, name))
            self._disk.remove_directory(Path(folder))
        self._folders.forget(path)

    def _unlink(self, path: Path) -> None:
        reach(CrashPoint.DELETE_UNLINK_BEFORE)
        with suppress(FileNotFoundError):
            self._disk.unlink(path)
        reach(CrashPoint.DELETE_UNLINK_AFTER)

    def _placed(self, name: str) -> Path:
        """Return the path of a blob that is to be written, in a folder that is there."""
        path = self._path(name)
        self._folders.make(path.parent)
        return path

    def _path(self, name: str) -> Path:
        # Names are ours, but a slip must not become a way out of the directory.
        parts = name.split("/")
        if not name or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"{name!r} is no blob name")
        return self._root.joinpath(*parts)


class _Folders:
    """Makes folders below ``root``, each durable in its parent before anything is put into it.

    A folder that is there counts only once this process has synced its parent: it may have been made by one
    that died before it did, and would then be lost in a power cut with all it holds.
    """

    KNOWN_MAX = 4_096  # to forget one costs no more than another sync

    def __init__(self, root: Path, disk: Disk) -> None:
        self._root = root
        self._disk = disk
        self._known: dict[Path, None] = {}
        self.make(root)

    def make(self, path: Path) -> None:
        """Return when a folder is there and durable."""
        if path in self._known and path.is_dir():
            return
        if path != self._root:
            self.make(path.parent)
        reach(CrashPoint.DIRECTORY_MAKE_BEFORE)
        self._disk.make_directory(path)
        reach(CrashPoint.DIRECTORY_MAKE_AFTER)
        self._disk.sync_directory(path.parent)
        reach(CrashPoint.DIRECTORY_SYNC_AFTER)
        if len(self._known) >= self.KNOWN_MAX:
            self._known.clear()
        self._known[path] = None

    def forget(self, path: Path) -> None:
        """Take note that a folder was removed."""
        for known in [known for known in list(self._known) if known.is_relative_to(path)]:
            self._known.pop(known, None)


class _LocalWriter:
    def __init__(self, path: Path, folder: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        self._temporary = folder / secrets.token_hex(8)
        self._buffer = bytearray()
        self._size_bytes = 0
        disk.make_directory(folder)
        reach(CrashPoint.BLOB_CREATE_BEFORE)
        self._file = disk.open(self._temporary, "xb")

    def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= CHUNK_BYTES:
            self._flush()

    def commit(self) -> int:
        self._flush()
        reach(CrashPoint.BLOB_WRITE_AFTER)
        # Synced before it is renamed: after a crash the name must point at the old blob or the whole new one.
        with named(self._path):
            self._disk.sync(self._file)
        reach(CrashPoint.BLOB_SYNC_AFTER)
        self._file.close()
        self._disk.rename(self._temporary, self._path)
        reach(CrashPoint.BLOB_RENAME_AFTER)
        self._disk.sync_directory(self._path.parent)
        reach(CrashPoint.BLOB_COMMIT_AFTER)
        return self._size_bytes

    def _flush(self) -> None:
        data, self._buffer = self._buffer, bytearray()
        view = memoryview(data)
        with named(self._path):
            while view:
                view = view[self._disk.write(self._file, view) :]
        self._size_bytes += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            self._disk.unlink(self._temporary)


class _LocalAppender:
    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk
        reach(CrashPoint.APPENDER_CREATE_BEFORE)
        self._file = disk.open(path, "ab")
        reach(CrashPoint.APPENDER_CREATE_AFTER)
        self._size_bytes = self._file.tell()
        # One that was there too: who created it may have died before its name was durable.
        disk.sync_directory(path.parent)
        reach(CrashPoint.APPENDER_OPEN_AFTER)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            reach(CrashPoint.APPENDER_WRITE_BEFORE)
            with named(self._path):
                written = self._disk.write(self._file, view)
            self._size_bytes += written
            view = view[written:]
        reach(CrashPoint.APPENDER_WRITE_AFTER)

    def sync(self) -> None:
        reach(CrashPoint.APPENDER_SYNC_BEFORE)
        with named(self._path):
            self._disk.sync(self._file)
        reach(CrashPoint.APPENDER_SYNC_AFTER)

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
