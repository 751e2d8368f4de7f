"""What has been handed to an upstream's batches, on the disk: a restart pays for nothing twice.

A batch is three files: ``ID.jsonl``, its lines as they are sent; ``ID.json``, how far it is; ``ID.results``,
what it came to. Each is written beside, made durable and renamed, so that it is there whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from threading import RLock
from typing import BinaryIO

import msgspec

from halfrate.wire.gemini.asking import line_of

DIGEST_BYTES = 16


class Stage(StrEnum):
    """How far a batch is. The name is of what is certain."""

    SEALED = "sealed"  # its lines are on the disk, and it is not created
    UPLOADED = "uploaded"  # its lines are at the upstream, which may have created it
    CREATED = "created"  # the upstream runs it, or has
    ENDED = "ended"  # there will be no other results than those that are here
    CANCELLING = "cancelling"  # nobody waits for it, and the upstream may still run it


class Record(msgspec.Struct, frozen=True):
    """What must be known of a batch after a crash.

    ``id`` is in its display name, by which it is found where the upstream's answer to its creation did not
    come. ``expired`` is whether it ended by the upstream's own deadline, ``failed`` why it failed as a whole,
    and ``cause`` the Cause of that.
    """

    id: str
    stage: Stage
    requests: int
    tokens: int
    sealed_at: float
    file: str | None = None
    name: str | None = None
    ended_at: float | None = None
    expired: bool = False
    failed: str | None = None
    cause: str = ""

    @property
    def display_name(self) -> str:
        """Return what the batch is called at the upstream."""
        return f"halfrate {self.id}"


def digest_of(body: bytes) -> bytes:
    """Return what tells Requests apart."""
    return blake2b(body, digest_size=DIGEST_BYTES).digest()


class Journal:
    """The batches of one model of one upstream, in a folder. Its calls block, and are made in threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # A thread goes on when whoever waited for it is cancelled: what is written next must come after.
        self._writing = RLock()
        self._lock: BinaryIO | None = None

    def open(self) -> list[Record]:
        """Make the folder, sweep what was not finished, and return the batches, the oldest first.

        Raise `OSError` if it cannot be read, or another Engine has it, `ValueError` if it says nothing known.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(self._folder.parent)
        self._lock = (self._folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(
                "another model has the same upstream. Serve one of them, and give it the names of both"
            ) from None
        records = []
        for path in sorted(self._folder.iterdir()):
            if path.suffix == ".json":
                records.append(msgspec.json.decode(path.read_bytes(), type=Record))
        known = {record.id for record in records}
        for path in self._folder.iterdir():
            finished = path.suffix not in {".part", ".new"} and path.name.split(".")[0] in known
            if not finished and path.name != "lock":
                path.unlink()
        return sorted(records, key=lambda record: record.sealed_at)

    def close(self) -> None:
        """Let another one have the folder."""
        if self._lock is not None:
            self._lock.close()

    def lines(self, id: str) -> Path:
        """Return where the lines of a batch are."""
        return self._folder / f"{id}.jsonl"

    def results(self, id: str) -> Path:
        """Return where its results are, when it has some."""
        return self._folder / f"{id}.results"

    def results_part(self, id: str) -> Path:
        """Return where its results are while they come."""
        return self._folder / f"{id}.results.part"

    def seal(self, record: Record, bodies: Iterable[bytes]) -> None:
        """Make the lines of a batch durable, the key of each its number, and then the batch itself."""
        part = self._folder / f"{record.id}.jsonl.part"
        with self._writing:
            with part.open("wb") as file:
                for number, body in enumerate(bodies):
                    file.write(line_of(str(number), body))
                _sync(file)
            part.rename(self.lines(record.id))
            self.save(record)

    def save(self, record: Record) -> None:
        """Make durable how far a batch is."""
        path = self._folder / f"{record.id}.json"
        new = path.with_suffix(".json.new")
        with self._writing:
            with new.open("wb") as file:
                file.write(msgspec.json.encode(record))
                _sync(file)
            new.rename(path)
            _sync_folder(self._folder)

    def keep_results(self, record: Record) -> None:
        """Make durable the results that have come, and that the batch has ended."""
        part = self.results_part(record.id)
        with self._writing:
            with part.open("r+b") as file:
                _sync(file)
            part.rename(self.results(record.id))
            self.save(record)

    def forget(self, id: str) -> None:
        """Remove all there is of a batch."""
        # The record first: without it the rest is swept, with it the rest is wanted.
        record = self._folder / f"{id}.json"
        with self._writing:
            for path in (record, self.lines(id), self.results(id), self.results_part(id)):
                path.unlink(missing_ok=True)

    def digests(self, id: str) -> list[bytes]:
        """Return the digest of each line, by its number."""
        digests = []
        with self.lines(id).open("rb") as file:
            for number, line in enumerate(file):
                start = len(line_of(str(number), b"")) - len(b"}\n")
                digests.append(digest_of(line[start : -len(b"}\n")]))
        return digests


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
