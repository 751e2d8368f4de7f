"""Requests on their way into a batch."""

from __future__ import annotations

from halfrate.engines.upstream.gemini_batch.entries import Entry, Lines
from halfrate.engines.upstream.gemini_batch.journal import Record, Stage
from halfrate.identity import new_id

BYTES_PER_TOKEN = 4
ID_CHARS = 20


class Gathering:
    """Lines to come of a batch, and in memory the body of each: no more than one batch takes."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.bodies: list[bytes] = []
        self.bytes = 0

    def add(self, body: bytes, digest: bytes) -> Entry:
        """Add a line, which is free."""
        self.bodies.append(body)
        self.bytes += len(body)
        return self.lines.add(digest)

    def waited_for(self) -> Lines:
        """Leave out what nobody waits for any more, and return what there is to be asked."""
        if self.lines.waiting < len(self.lines.entries):
            left = [
                (e, b) for e, b in zip(self.lines.entries, self.bodies, strict=True) if e.chunk is not None
            ]
            for entry in self.lines.entries:
                entry.taken = entry.chunk is None
            self.bodies = [body for _, body in left]
            self.lines.entries = [entry for entry, _ in left]
            self.lines.untaken = len(left)
            for number, entry in enumerate(self.lines.entries):
                entry.number = number
        return self.lines

    def record(self, *, now: float) -> Record:
        """Return the batch that these become."""
        size = sum(map(len, self.bodies))
        return Record(new_id(ID_CHARS), Stage.SEALED, len(self.bodies), size // BYTES_PER_TOKEN, now)
