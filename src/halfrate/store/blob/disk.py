"""What blobs ask of the operating system, behind a seam: a simulation puts a lossy disk there."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Literal, Protocol


class Disk(Protocol):
    """Every call that changes what is on the disk. Each raises `OSError` as the operating system does."""

    def open(self, path: Path, mode: Literal["xb", "ab"]) -> FileIO:
        """Create a file, which must not be there, or open one to grow it."""
        ...

    def write(self, file: FileIO, data: memoryview) -> int:
        """Add bytes at the end, perhaps not all of them. Return how many."""
        ...

    def sync(self, file: FileIO) -> None:
        """Return when the file's bytes are durable. Its name may not be."""
        ...

    def rename(self, path: Path, new_path: Path) -> None:
        """Move a file, in place of any other."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def make_directory(self, path: Path) -> None:
        """Create a directory, if it is not there."""
        ...

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are durable, and those that left it gone for good."""
        ...


class OsDisk:
    """The machine's own disk."""

    def open(self, path: Path, mode: Literal["xb", "ab"]) -> FileIO:
        """Create a file, which must not be there, or open one to grow it."""
        return path.open(mode, buffering=0)

    def write(self, file: FileIO, data: memoryview) -> int:
        """Add bytes at the end, perhaps not all of them. Return how many."""
        return file.write(data)

    def sync(self, file: FileIO) -> None:
        """Return when the file's bytes are durable: its size with them, its times perhaps not."""
        os.fdatasync(file.fileno())

    def rename(self, path: Path, new_path: Path) -> None:
        """Move a file, in place of any other."""
        path.rename(new_path)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def make_directory(self, path: Path) -> None:
        """Create a directory, if it is not there."""
        path.mkdir(exist_ok=True)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory."""
        path.rmdir()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are durable, and those that left it gone for good."""
        sync_directory(path)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable: a new name is only then sure to be found again."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Create a directory and its parents, each durable in its parent.

    One that is there is synced all the same: who made it may have died before that.
    """
    if not path.parent.is_dir():
        make_directories(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)
