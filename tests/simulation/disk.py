"""A disk that loses what was not synced, and a database beside it, for a process that may die anywhere."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Literal, TypeVar

import apsw

from halfrate.store.meta.group_commit import Change, commit
from tests.simulation.fate import Crashed, Fate

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _File:
    """One inode. ``kept`` is a second name of it, out of the way, for when the first is lost."""

    kept: Path
    synced_bytes: int = 0


@dataclass(slots=True, eq=False)
class _Folder:
    """The names in a directory as they are, as they would be after a power cut, and the steps between."""

    now: dict[str, _File | _Folder] = field(default_factory=dict)
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    changes: list[dict[str, _File | _Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, _File | _Folder | None]) -> None:
        self.changes.append(names)
        _apply(self.now, names)

    def sync(self) -> None:
        self.durable = dict(self.now)
        self.changes.clear()


class LossyDisk:
    """A `Disk` of real files below ``home`` that keeps count of what is durable.

    `lose_power` takes back what is not: of each file its unsynced end, wholly or from anywhere on; of each
    directory the latest of its changes since it was synced. What is left of the unsynced end of a Segment may
    be garbage. A process that dies alone takes nothing along, but makes nothing durable either. While the
    disk is ``full`` nothing grows.
    """

    def __init__(self, home: Path, vault: Path, chance: random.Random) -> None:
        self.fate = Fate()
        self.full = False
        self._home = home
        self._vault = vault
        self._chance = chance
        self._numbers = count()
        self._root = _Folder()
        self._open: dict[FileIO, _File] = {}
        home.mkdir()
        vault.mkdir()

    # What a store asks for

    def open(self, path: Path, mode: Literal["xb", "ab"]) -> FileIO:
        self.fate.check()
        folder = self._folder(path.parent)
        if path.name not in folder.now:
            self._need_room()
        file = path.open(mode, buffering=0)
        if path.name not in folder.now:
            node = _File(self._vault / str(next(self._numbers)))
            os.link(path, node.kept)
            folder.change({path.name: node})
        known = folder.now[path.name]
        assert isinstance(known, _File)
        self._open[file] = known
        return file

    def write(self, file: FileIO, data: memoryview) -> int:
        self.fate.check()
        if self._chance.random() < 0.2 and len(data) > 1:
            return file.write(data[: self._chance.randrange(1, len(data))])
        self._need_room()
        return file.write(data)

    def sync(self, file: FileIO) -> None:
        self.fate.check()
        if self._chance.random() < 0.2:
            self._need_room()
        self._open[file].synced_bytes = os.fstat(file.fileno()).st_size

    def rename(self, path: Path, new_path: Path) -> None:
        self.fate.check()
        path.rename(new_path)
        old, new = self._folder(path.parent), self._folder(new_path.parent)
        node = old.now[path.name]
        if old is new:
            old.change({path.name: None, new_path.name: node})
        else:
            new.change({new_path.name: node})
            old.change({path.name: None})

    def unlink(self, path: Path) -> None:
        self.fate.check()
        path.unlink()
        self._folder(path.parent).change({path.name: None})

    def make_directory(self, path: Path) -> None:
        self.fate.check()
        if path.name not in self._folder(path.parent).now:
            self._need_room()
            path.mkdir()
            self._folder(path.parent).change({path.name: _Folder()})

    def remove_directory(self, path: Path) -> None:
        self.fate.check()
        path.rmdir()
        self._folder(path.parent).change({path.name: None})

    def sync_directory(self, path: Path) -> None:
        self.fate.check()
        self._folder(path).sync()

    # What happens to it

    def lose_power(self) -> None:
        """Take back what was not durable, or a little less."""
        self._open.clear()
        for name, node in self._root.now.items():
            (self._home / name).unlink() if isinstance(node, _File) else shutil.rmtree(self._home / name)
        self._lay_out(self._home, self._root, torn=set())

    def _lay_out(self, path: Path, folder: _Folder, torn: set[_File]) -> None:
        garbage = path.is_relative_to(self._home / "blobs" / "jobs")
        made = self._chance.choice([0, len(folder.changes), self._chance.randint(0, len(folder.changes))])
        for names in folder.changes[:made]:
            _apply(folder.durable, names)
        folder.now, folder.changes = dict(folder.durable), []
        for name, node in folder.now.items():
            if isinstance(node, _File):
                if node not in torn:
                    torn.add(node)
                    self._tear(node, garbage=garbage)
                os.link(node.kept, path / name)
            else:
                (path / name).mkdir()
                self._lay_out(path / name, node, torn)

    def _tear(self, node: _File, *, garbage: bool) -> None:
        size_bytes, synced_bytes = node.kept.stat().st_size, node.synced_bytes
        kept_bytes = self._chance.choice(
            [synced_bytes, size_bytes, self._chance.randint(synced_bytes, size_bytes)]
        )
        os.truncate(node.kept, kept_bytes)
        if garbage and kept_bytes > synced_bytes and self._chance.random() < 0.3:
            good_bytes = self._chance.randrange(synced_bytes, kept_bytes)
            with node.kept.open("r+b") as file:
                file.seek(good_bytes)
                file.write(self._chance.randbytes(kept_bytes - good_bytes))
        node.synced_bytes = kept_bytes

    def _need_room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _folder(self, path: Path) -> _Folder:
        folder = self._root
        for name in path.relative_to(self._home).parts:
            node = folder.now.get(name)
            if not isinstance(node, _Folder):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            folder = node
        return folder


def _apply(names: dict[str, _File | _Folder], change: dict[str, _File | _Folder | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class CommitInTurn:
    """A `Committer` without a thread, so that a seed always gives the same run.

    What is asked for in one turn of the event loop is committed in the next, together.
    """

    def __init__(self, connection: apsw.Connection, disk: LossyDisk) -> None:
        # The machine that runs the simulation does not lose power: its own syncs would only take time.
        connection.execute("PRAGMA synchronous = OFF")
        self._connection = connection
        self._disk = disk
        self._waiting: list[Change] = []

    async def write(self, change: Callable[[apsw.Connection], T]) -> T:
        self._disk.fate.check()
        done: Future[T] = Future()
        self._waiting.append(Change(change, done))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self.close)
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        group, self._waiting = self._waiting, []
        if self._disk.fate.died_at is None:
            commit(self._connection, group)
        for change in group:
            change.fail(Crashed())  # of no effect on what has been told
