"""Who waits for which line of which batch."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from halfrate.domain.outcome import Failed, Outcome
from halfrate.engines.api import Took

if TYPE_CHECKING:
    from halfrate.engines.upstream.gemini_batch.batch import Batch


class Chunk:
    """One call of `answer_many`, which waits for the Outcomes of its Requests."""

    def __init__(self, requests: int, took: Took) -> None:
        self._untold = set(range(requests))
        self._took = took
        self.over = not requests
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.over:
            self.complete.set_result(None)

    def take(self, position: int, outcome: Outcome) -> None:
        """Tell an Outcome, unless nobody waits for it any more."""
        if self.over:
            return
        self._untold.discard(position)
        self._took(position, outcome)
        if not self._untold:
            self.over = True
            if not self.complete.done():
                self.complete.set_result(None)

    def fail(self, failed: Failed) -> None:
        """Tell all that is not told yet that it failed."""
        for position in list(self._untold):
            self.take(position, failed)


class Lines:
    """The lines of one batch. Each is free, or somebody waits for it, or its Outcome has been taken.

    ``waiting`` and ``untaken`` count those somebody waits for, and those not taken.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None  # none yet while they are gathered
        self.entries: list[Entry] = []
        self.waiting = 0
        self.untaken = 0

    def add(self, digest: bytes) -> Entry:
        """Add a line, which is free."""
        entry = Entry(self, len(self.entries), digest)
        self.entries.append(entry)
        self.untaken += 1
        return entry


class Entry:
    """One line of a batch. ``span`` is where its result is, once it is there and nobody waited for it."""

    __slots__ = ("chunk", "digest", "lines", "number", "position", "span", "taken")

    def __init__(self, lines: Lines, number: int, digest: bytes) -> None:
        self.lines = lines
        self.number = number
        self.digest = digest
        self.chunk: Chunk | None = None
        self.position = 0
        self.span: tuple[int, int] | None = None
        self.taken = False

    def give(self, chunk: Chunk, position: int) -> None:
        """Have its Outcome told to this Request."""
        self.chunk, self.position = chunk, position
        self.lines.waiting += 1

    def let_go(self) -> None:
        """Have nobody wait for it."""
        if self.chunk is not None:
            self.chunk = None
            self.lines.waiting -= 1

    def tell(self, outcome: Outcome) -> None:
        """Tell whoever waits, and be taken."""
        chunk = self.chunk
        self.let_go()
        if not self.taken:
            self.taken = True
            self.lines.untaken -= 1
        if chunk is not None:
            chunk.take(self.position, outcome)


class FreeLines:
    """The lines that nobody waits for, by what they ask: whoever asks the same gets one, the oldest first."""

    def __init__(self) -> None:
        self._free: defaultdict[bytes, deque[Entry]] = defaultdict(deque)

    def add(self, entries: Sequence[Entry]) -> None:
        """Have these taken by whoever asks for them."""
        for entry in entries:
            if not entry.taken:
                self._free[entry.digest].append(entry)

    def take(self, digest: bytes) -> Entry | None:
        """Return a line that asks this, if there is one."""
        free = self._free.get(digest)
        while free:
            entry = free.popleft()
            if not free:
                del self._free[digest]
            if not entry.taken:
                return entry
        return None
