"""Inputs with their index: validated while the bytes arrive, or when first needed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from halfrate.config import Limits
from halfrate.domain.errors import CorruptData, InvalidArgument
from halfrate.domain.line import Line, Rejection
from halfrate.ingest.index import Indexer, IndexReader, IndexSummary
from halfrate.ingest.indexed import IndexedLines
from halfrate.store.blob.api import BlobAppender, BlobStore, read_chunks
from halfrate.store.blob.names import index_blob

Parse = Callable[[bytes], Line | Rejection]


class Inputs:
    """Makes and finds the indexes of inputs."""

    def __init__(self, blobs: BlobStore, *, parse: Parse, spill: Path, limits: Limits) -> None:
        self._blobs = blobs
        self._parse = parse
        self._spill = spill
        self._limits = limits
        self._building: dict[str, asyncio.Task[IndexSummary]] = {}

    def receive(self, blob: str) -> Receiver:
        """Begin, or take up again, to receive an input into the growing ``blob``. Blocks: use a thread."""
        return Receiver(self._blobs.appender(blob), self._blobs, blob, self._indexer())

    async def read_summary(self, blob: str) -> IndexSummary:
        """Return what the index says, making it first if there is none or it is damaged.

        Raise `FileNotFoundError` if the input is gone.
        """
        # Shielded: a caller that gives up must not stop the work that others wait for.
        return await asyncio.shield(self._building_of(blob))

    async def summary_within(self, seconds: float, blob: str) -> IndexSummary | None:
        """Do as `read_summary`, and return None if it takes longer: it goes on in the background."""
        done, _ = await asyncio.wait({self._building_of(blob)}, timeout=seconds)
        return done.pop().result() if done else None

    @contextmanager
    def lines(self, blob: str) -> Iterator[IndexedLines]:
        """Open an indexed input to read its lines again. Blocks: use a thread.

        Raise `FileNotFoundError` if the input or its index is gone, `CorruptData` if the index is damaged.
        """
        with self._blobs.reader(index_blob(blob)) as index, self._blobs.reader(blob) as source:
            yield IndexedLines(
                IndexReader(index), source, self._parse, line_bytes_max=self._limits.line_bytes
            )

    def discard(self, blob: str) -> None:
        """Remove an input and its index. Blocks: use a thread."""
        self._blobs.delete(blob)
        self._blobs.delete(index_blob(blob))

    def _building_of(self, blob: str) -> asyncio.Task[IndexSummary]:
        if blob not in self._building:
            task = asyncio.create_task(asyncio.to_thread(self._summary, blob))
            self._building[blob] = task
            task.add_done_callback(lambda _: self._building.pop(blob))
        return self._building[blob]

    def _summary(self, blob: str) -> IndexSummary:
        try:
            with self._blobs.reader(index_blob(blob)) as reader:
                return IndexReader(reader).summary
        except (FileNotFoundError, CorruptData):
            # An index holds nothing that the input does not: it can always be made again.
            return self._make_index(blob)

    def _make_index(self, blob: str) -> IndexSummary:
        with self._indexer() as indexer, self._blobs.reader(blob) as reader:
            for chunk in read_chunks(reader):
                indexer.feed(chunk)
            with self._blobs.writer(index_blob(blob)) as writer:
                return indexer.finish(writer)

    def _indexer(self) -> Indexer:
        return Indexer(
            self._parse,
            spill=self._spill,
            line_bytes_max=self._limits.line_bytes,
            lines_max=self._limits.file_lines,
        )


def refuse_bad_input(summary: IndexSummary, *, keep_going: bool) -> None:
    """Raise `InvalidArgument` if an input has no Requests, or bad lines and the Job is not to keep going."""
    bad = summary.bad + summary.bad_keys
    if summary.requests > 0 and (keep_going or not bad):
        return
    untold = bad - len(summary.errors)
    raise InvalidArgument("\n".join([*summary.errors, *([f"... and {untold} more."] if untold > 0 else [])]))


class Receiver:
    """One input on its way in: written, hashed and indexed as the bytes arrive.

    Blocks on the disk: use it in a thread, one call at a time.
    """

    def __init__(self, appender: BlobAppender, blobs: BlobStore, blob: str, indexer: Indexer) -> None:
        self._appender = appender
        self._blobs = blobs
        self._blob = blob
        self._indexer = indexer
        self._digest = hashlib.sha256()
        self._replay()

    @property
    def received_bytes(self) -> int:
        """Bytes that have arrived."""
        return self._appender.size_bytes

    def take(self, data: bytes) -> None:
        """Add the next bytes."""
        self._appender.append(data)
        self._follow(data)

    def finish(self, blob: str) -> str:
        """Make the input durable as ``blob``, with its index beside it. Return its SHA-256 in hexadecimal."""
        self._appender.sync()
        with self._blobs.writer(index_blob(blob)) as writer:
            self._indexer.finish(writer)
        self._blobs.rename(self._blob, blob)
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let go of files. What has arrived stays, for another Receiver to take up."""
        self._appender.__exit__()
        self._indexer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _replay(self) -> None:
        """Catch up with bytes that arrived before this process started."""
        with self._blobs.reader(self._blob) as reader:
            for chunk in read_chunks(reader):
                self._follow(chunk)

    def _follow(self, data: bytes) -> None:
        self._digest.update(data)
        self._indexer.feed(data)
