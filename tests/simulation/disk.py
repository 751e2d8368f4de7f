"""A disk that loses what was not synced, and a database beside it, for a process that may die anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

import apsw

T = TypeVar("T")


class Crashed(BaseException):
    """The process died here. Nothing that it does afterwards has any effect."""


class Fate:
    """Lets the process die at the ``places_left``-th place it reaches from now on; never, if None."""

    def __init__(self, places_left: int | None = None) -> None:
        self._places_left = places_left
        self.died_at: str | None = None

    def reach(self, place: str) -> None:
        """Pass a place where the process may die."""
        if self.died_at is None and self._places_left is not None:
            self._places_left -= 1
            if self._places_left < 0:
                self.died_at = place
        if self.died_at is not None:
            raise Crashed(self.died_at)


@dataclass(slots=True, eq=False)
class _Inode:
    data: bytearray = field(default_factory=bytearray)
    synced_bytes: int = 0


class SimulatedDisk:
    """A `BlobStore` in memory. `crash` takes back what was never made durable, and perhaps a little less."""

    def __init__(self) -> None:
        self.fate = Fate()
        self._names: dict[str, _Inode] = {}
        self._durable_names: dict[str, _Inode] = {}

    def crash(self, chance: random.Random) -> None:
        """Lose what a power cut may lose: unsynced bytes, from the end, and names of deleted blobs not."""
        self.fate = Fate()
        kept = {
            name: inode
            for name, inode in self._durable_names.items()
            if name in self._names or chance.random() < 0.5
        }
        self._names, self._durable_names = dict(kept), dict(kept)
        for inode in kept.values():
            del inode.data[chance.randint(inode.synced_bytes, len(inode.data)) :]
            inode.synced_bytes = len(inode.data)

    def writer(self, name: str) -> _Writer:
        self._check(name)
        return _Writer(self, name)

    def appender(self, name: str) -> _Appender:
        self._check(name)
        if name not in self._names:
            self.fate.reach("create blob")
            self._names[name] = self._durable_names[name] = _Inode()
        return _Appender(self, self._names[name])

    def reader(self, name: str) -> _Reader:
        self._check(name)
        if name not in self._names:
            raise FileNotFoundError(name)
        return _Reader(name, self._names[name])

    def rename(self, name: str, new_name: str) -> None:
        self._check(name)
        self._check(new_name)
        if name not in self._names:
            raise FileNotFoundError(name)
        self.fate.reach("rename blob")
        self._names[new_name] = self._durable_names[new_name] = self._names.pop(name)
        self._durable_names.pop(name, None)
        self.fate.reach("blob renamed")

    def delete(self, name: str) -> None:
        self._check(name)
        self.fate.reach("delete blob")
        for known in [known for known in self._names if known == name or known.startswith(f"{name}/")]:
            del self._names[known]

    def sweep(self) -> None:
        """Writers that died left nothing: their blobs never had a name."""

    def names(self, prefix: str) -> Iterator[str]:
        self._check(prefix)
        return iter(sorted(name for name in self._names if name.startswith(f"{prefix}/")))

    def put(self, name: str, inode: _Inode) -> None:
        """Give a finished blob its name: synced, renamed, directory synced."""
        self.fate.reach("sync blob")
        inode.synced_bytes = len(inode.data)
        self.fate.reach("name blob")
        self._names[name] = inode
        self.fate.reach("sync name of blob")
        self._durable_names[name] = inode

    @staticmethod
    def _check(name: str) -> None:
        if not name or any(part in ("", ".", "..") or "\0" in part for part in name.split("/")):
            raise ValueError(f"{name!r} is no blob name")


class _Writer:
    def __init__(self, disk: SimulatedDisk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._inode = _Inode()

    def write(self, data: bytes) -> None:
        self._inode.data += data

    def commit(self) -> int:
        self._disk.put(self._name, self._inode)
        return len(self._inode.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class _Appender:
    def __init__(self, disk: SimulatedDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode

    @property
    def size_bytes(self) -> int:
        return len(self._inode.data)

    def append(self, data: bytes) -> None:
        self._disk.fate.reach("append")
        self._inode.data += data

    def sync(self) -> None:
        self._disk.fate.reach("sync appended")
        self._inode.synced_bytes = len(self._inode.data)
        self._disk.fate.reach("appended synced")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class _Reader:
    def __init__(self, name: str, inode: _Inode) -> None:
        self._name = name
        self._inode = inode
        self._size_bytes = len(inode.data)

    @property
    def name(self) -> str:
        return self._name

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._inode.data[offset : offset + length])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class CommitAtOnce:
    """A `Committer` without a thread, so that a seed always gives the same run."""

    def __init__(self, connection: apsw.Connection, disk: SimulatedDisk) -> None:
        self._connection = connection
        self._disk = disk

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        self._disk.fate.reach("commit")
        with self._connection:
            result = change(self._connection)
        self._disk.fate.reach("committed")
        return result

    def close(self) -> None:
        pass
