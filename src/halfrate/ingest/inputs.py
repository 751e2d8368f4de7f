"""Inputs with their index: validated while the bytes arrive, or when first needed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from halfrate.config import Limits
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.errors import CorruptData, InvalidArgument
from halfrate.domain.kind import Kind, stranger
from halfrate.domain.line import Line, Rejection
from halfrate.identity import new_id
from halfrate.ingest.index import IndexReader, IndexSummary
from halfrate.ingest.indexed import IndexedLines, ParseLines
from halfrate.ingest.indexing import Indexing
from halfrate.ingest.lines import LineScanner
from halfrate.ingest.tasks import CutShards, Sizes
from halfrate.ingest.workers import Workers
from halfrate.store.blob.api import BlobAppender, BlobStore, read_chunks
from halfrate.store.blob.names import index_blob
from halfrate.store.blob.streams import in_thread

logger = logging.getLogger(__name__)


class Inputs:
    """Makes and finds the indexes of inputs."""

    def __init__(
        self,
        blobs: BlobStore,
        workers: Workers,
        *,
        parse: ParseLines,
        spill: Path,
        limits: Limits,
        small: Workers | None = None,
    ) -> None:
        """``small``, if given, does the work where an input is small: see `Indexing`."""
        self._blobs = blobs
        self._workers = workers
        self._small = small
        self._parse = parse
        self._spill = spill
        self._limits = limits
        self._building: dict[str, asyncio.Task[IndexSummary]] = {}
        self._indexings: dict[str, Indexing] = {}

    async def receive(self, blob: str) -> Receiver:
        """Begin, or take up again, to receive an input into the growing ``blob``."""
        receiver = Receiver(self, self._blobs, blob, self._indexing(blob))
        await receiver.catch_up()
        return receiver

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

    def percent(self, blob: str) -> float | None:
        """Return how much of an input is read for its index, None where that is not known or over."""
        indexing = self._indexings.get(blob)
        return indexing.percent if indexing is not None else None

    async def cut(
        self, blob: str, sections: Sequence[int], *, requests_max: int, bytes_max: int
    ) -> list[list[int]]:
        """Return how many Requests each Shard of the order has, for each of its sections.

        ``sections`` says how many Requests each has. Raise as `read_summary` does.
        """
        task = CutShards(
            blob=index_blob(blob),
            sections=list(sections),
            requests_max=requests_max,
            bytes_max=bytes_max,
        )
        try:
            sizes = await self._workers.perform(task)
        except CorruptData:
            await self.mend(blob)
            sizes = await self._workers.perform(task)
        assert isinstance(sizes, Sizes)
        return sizes.requests

    async def mend(self, blob: str) -> None:
        """Make a damaged index again. It holds nothing that the input does not, in the same order."""
        # Written over, not removed first: another Job may be reading it, or have mended it just now.
        again = f"{blob} again"
        await asyncio.shield(self._building.get(again) or self._build(again, self._make_index(blob)))

    @contextmanager
    def lines(self, blob: str) -> Iterator[IndexedLines]:
        """Open an indexed input to read its lines again. Blocks: use a thread.

        Raise `FileNotFoundError` if the input or its index is gone, `CorruptData` if the index is damaged.
        """
        with self._blobs.reader(index_blob(blob)) as index, self._blobs.reader(blob) as source:
            yield IndexedLines(
                IndexReader(index), source, self._parse, line_bytes_max=self._limits.line_bytes
            )

    def first_line(self, blob: str) -> Line | Rejection | None:
        """Return the first line of an input that is not blank, None if there is none or it is too long.

        Blocks: use a thread. Raise `FileNotFoundError` if the input is gone.
        """
        scanner = LineScanner(self._limits.line_bytes)
        with self._blobs.reader(blob) as source:
            for chunk in read_chunks(source):
                if known := scanner.feed(chunk).data:
                    break
            else:
                known = scanner.finish().data
        return self._parse([known[0]])[0] if known and known[0] is not None else None

    def discard(self, blob: str) -> None:
        """Remove an input and its index. Blocks: use a thread."""
        self._blobs.delete(blob)
        self._blobs.delete(index_blob(blob))

    def names(self) -> list[str]:
        """Return the name of every input that is there, or of which there is an index. Blocks."""
        indexed = (name.removeprefix(index_blob("")) for name in self._blobs.names(index_blob("inputs")))
        return sorted({*self._blobs.names("inputs"), *indexed})

    def finish_index(self, blob: str, indexing: Indexing, sha256: str) -> None:
        """Have the index of an input, which is complete, finished in the background."""
        self._indexings[blob] = indexing
        self._build(blob, self._finish(blob, indexing, sha256))

    async def close(self) -> None:
        """Stop what is being made; it is made again when it is needed."""
        building = list(self._building.values())
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)

    def _building_of(self, blob: str) -> asyncio.Task[IndexSummary]:
        return self._building.get(blob) or self._build(blob, self._summary(blob))

    def _build(self, blob: str, work: Coroutine[None, None, IndexSummary]) -> asyncio.Task[IndexSummary]:
        task = asyncio.create_task(work, name=f"index of {blob}")
        self._building[blob] = task
        task.add_done_callback(lambda _: self._built(blob, task))
        return task

    def _built(self, blob: str, task: asyncio.Task[IndexSummary]) -> None:
        del self._building[blob]
        self._indexings.pop(blob, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("The index of %s could not be made: %s", blob, error)

    async def _summary(self, blob: str) -> IndexSummary:
        try:
            return await asyncio.to_thread(self._read_summary, blob)
        except (FileNotFoundError, CorruptData):
            # An index holds nothing that the input does not: it can always be made again.
            return await self._make_index(blob)

    def _read_summary(self, blob: str) -> IndexSummary:
        with self._blobs.reader(index_blob(blob)) as reader:
            return IndexReader(reader).summary

    async def _make_index(self, blob: str) -> IndexSummary:
        indexing = self._indexings[blob] = self._indexing(blob)
        try:
            with self._blobs.reader(blob) as reader:
                digest = hashlib.sha256()
                async for chunk in in_thread(read_chunks(reader)):
                    digest.update(chunk)
                    indexing.arrived(chunk)
            return await self._finish(blob, indexing, digest.hexdigest())
        except BaseException:
            await indexing.close()
            raise

    async def _finish(self, blob: str, indexing: Indexing, sha256: str) -> IndexSummary:
        summary = await indexing.finish(blob, sha256=sha256)
        await asyncio.to_thread(self._discard_if_gone, blob)
        return summary

    def _discard_if_gone(self, blob: str) -> None:
        """Remove the index of an input that was discarded while it was made."""
        try:
            self._blobs.reader(blob).__exit__()
        except FileNotFoundError:
            self._blobs.delete(index_blob(blob))

    def _indexing(self, blob: str) -> Indexing:
        folder = self._spill / new_id(12)
        return Indexing(blob, self._workers, folder=folder, limits=self._limits, small=self._small)


def refuse_bad_input(summary: IndexSummary, *, keep_going: bool, kind: Kind = Kind.GENERATION) -> None:
    """Raise `InvalidArgument` if an input can make no Job of this kind.

    It has no Requests; or it has bad lines, or those of the other kind, and the Job is not to keep going.
    """
    if summary.refusal is not None:
        raise InvalidArgument(summary.refusal)
    strangers, first = summary.strangers(kind)
    if strangers and not keep_going:
        other = next(each for each in Kind if each is not kind)
        raise InvalidArgument(
            "\n".join(
                [
                    *(f"Error on line {number}: {stranger(other)}." for number in first),
                    *([f"... and {strangers - len(first)} more."] if strangers > len(first) else []),
                ]
            )
        )
    bad = summary.bad + summary.bad_keys
    if keep_going or not bad:
        return
    untold = bad - len(summary.errors)
    raise InvalidArgument("\n".join([*summary.errors, *([f"... and {untold} more."] if untold > 0 else [])]))


class Receiver:
    """One input on its way in: written and hashed here, indexed by workers as the bytes arrive.

    One call at a time.
    """

    def __init__(self, inputs: Inputs, blobs: BlobStore, blob: str, indexing: Indexing) -> None:
        self._inputs = inputs
        self._blobs = blobs
        self._blob = blob
        self._indexing = indexing
        self._appender: BlobAppender = blobs.appender(blob)
        self._digest = hashlib.sha256()

    @property
    def received_bytes(self) -> int:
        """Bytes that have arrived."""
        return self._appender.size_bytes

    @property
    def sha256(self) -> str:
        """The digest of what has arrived, in hexadecimal."""
        return self._digest.hexdigest()

    async def catch_up(self) -> None:
        """Take in bytes that arrived before this process started."""
        with self._blobs.reader(self._blob) as reader:
            async for chunk in in_thread(read_chunks(reader)):
                self._digest.update(chunk)
                self._indexing.arrived(chunk)

    async def take(self, data: bytes) -> None:
        """Add the next bytes."""
        await asyncio.to_thread(self._append, data)
        self._indexing.arrived(data)

    async def finish(self, blob: str) -> str:
        """Make the input durable as ``blob``; its index follows. Return its SHA-256 in hexadecimal."""
        await asyncio.to_thread(self._name, blob)
        reach(CrashPoint.INPUT_NAME_AFTER)
        self._appender.__exit__()
        self._inputs.finish_index(blob, self._indexing, self.sha256)
        return self.sha256

    async def close(self) -> None:
        """Let go of files. What has arrived stays, for another Receiver to take up."""
        self._appender.__exit__()
        await self._indexing.close()

    def _append(self, data: bytes) -> None:
        self._appender.append(data)
        self._digest.update(data)

    def _name(self, blob: str) -> None:
        self._appender.sync()
        self._blobs.rename(self._blob, blob)
