"""One batch at the upstream, from its lines to its results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from halfrate.clock import Clock
from halfrate.domain.errors import CorruptData
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.engines.upstream.gemini_batch.api import BatchApi, Never, NotNow
from halfrate.engines.upstream.gemini_batch.entries import Entry, Lines
from halfrate.engines.upstream.gemini_batch.journal import Journal, Record, Stage
from halfrate.engines.upstream.gemini_batch.room import Room
from halfrate.engines.upstream.gemini_batch.settings import BatchSettings
from halfrate.wire.gemini.asking_batches import BatchRead, result_in

logger = logging.getLogger(__name__)

T = TypeVar("T")
SLICE_LINES = 256
"""How many results are read at a time, away from the loop."""

EXHAUSTED = 8  # gRPC's number for a quota that is used up


class Upstream:
    """What all batches of one model share. ``told`` is called with why nothing goes on, None when it does."""

    def __init__(
        self,
        api: BatchApi,
        journal: Journal,
        settings: BatchSettings,
        *,
        kind: Kind,
        clock: Clock,
        model: Callable[[], Awaitable[str]],
        told: Callable[[str | None], None],
    ) -> None:
        self.api = api
        self.journal = journal
        self.settings = settings
        self.kind = kind
        self.clock = clock
        self.model = model
        self.told = told
        self.room = Room(batches_max=settings.active_max, tokens_max=settings.tokens_max)

    async def insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call until it is done, with growing pauses. Raise `Never` if it will not be."""
        pause = self.settings.retry_seconds
        while True:
            try:
                done = await call()
            except NotNow as error:
                self.told(str(error))
                logger.warning("%s", error)
                await self.clock.sleep(max(pause, error.retry_after_seconds or 0.0))
                pause = min(2 * pause, self.settings.retry_seconds_max)
            else:
                self.told(None)
                return done


class Batch:
    """Goes on from wherever its record says it is, over any crash. ``lines`` are told what comes of them."""

    def __init__(self, upstream: Upstream, record: Record, lines: Lines) -> None:
        self._upstream = upstream
        self.record = record
        self.lines = lines
        # Whether it may have been created without our knowing.
        self._in_doubt = record.stage is Stage.UPLOADED

    async def run(self) -> None:
        """Have it answered, and tell the lines."""
        if self.record.stage is not Stage.ENDED:
            try:
                await self._be_answered()
            except Never as error:
                logger.warning("Batch %s was refused: %s", self.record.id, error)
                await self._end(failed=str(error), cause=None if error.gone else Cause.INVALID)
        await self._tell()
        await self._tidy()

    async def cancel(self) -> None:
        """Have the upstream stop it, if it runs there, and forget it."""
        if self.record.stage in {Stage.UPLOADED, Stage.CREATED}:
            await self._save(stage=Stage.CANCELLING)
        if self.record.stage is Stage.CANCELLING:
            try:
                name = self.record.name or await self._found()
                if name is not None:
                    await self._upstream.insist(lambda: self._upstream.api.cancel(name))
            except Never as error:
                logger.info("Batch %s is not cancelled: %s", self.record.id, error)
        await asyncio.to_thread(self._upstream.journal.forget, self.record.id)

    def result_of(self, entry: Entry) -> Outcome:
        """Return the Outcome of a line whose results have come."""
        if entry.span is None:
            return self._missing()
        start, end = entry.span
        with self._upstream.journal.results(self.record.id).open("rb") as file:
            file.seek(start)
            return self._read(file.read(end - start))[1]

    # Steps --------------------------------------------------------------------------------------------

    async def _be_answered(self) -> None:
        async with self._upstream.room.of(self.record.tokens):
            if self.record.stage is Stage.SEALED:
                await self._upload()
            if self.record.stage is Stage.UPLOADED:
                await self._create()
            ended = await self._watch()
            if ended.results:
                await self._download(ended)
            elif ended.state == "FAILED":
                error = ended.error
                exhausted = error is not None and error.code == EXHAUSTED
                await self._end(
                    failed=(error.message if error else "") or "The upstream does not say why.",
                    cause=Cause.OVERLOADED if exhausted else Cause.UPSTREAM,
                )
            else:
                await self._end(failed=f"it is {ended.state} there, and has no results", cause=None)

    async def _upload(self) -> None:
        path = self._upstream.journal.lines(self.record.id)
        name = self.record.display_name
        file = await self._upstream.insist(lambda: self._upstream.api.upload(path, display_name=name))
        await self._save(stage=Stage.UPLOADED, file=file)

    async def _create(self) -> None:
        """Create it once, whatever happens."""
        if self._in_doubt:
            # What was on the wire when this process died may be there only in a moment.
            await self._upstream.clock.sleep(self._upstream.settings.retry_seconds)
        name = await self._upstream.insist(self._created)
        await self._save(stage=Stage.CREATED, name=name)

    async def _created(self) -> str:
        """Return the name of the batch. Where no answer came to its creation, it is looked for first."""
        api, record = self._upstream.api, self.record
        if self._in_doubt:
            found = await api.find(record.display_name)
            if found is not None:
                return found.name
        model = await self._upstream.model()
        self._in_doubt = True
        created = await api.create(model, file=record.file or "", display_name=record.display_name)
        return created.name

    async def _found(self) -> str | None:
        """Return the name of a batch that may have been created just now, None if it was not."""
        upstream = self._upstream
        for _ in range(2):
            found = await upstream.insist(lambda: upstream.api.find(self.record.display_name))
            if found is not None:
                return found.name
            await upstream.clock.sleep(upstream.settings.retry_seconds)
        return None

    async def _watch(self) -> BatchRead:
        """Return it when it has ended."""
        settings = self._upstream.settings
        pause = settings.poll_seconds
        name = self.record.name or ""
        while True:
            batch = await self._upstream.insist(lambda: self._upstream.api.get(name))
            if batch.ended:
                return batch
            await self._upstream.clock.sleep(pause)
            pause = min(1.5 * pause, settings.poll_seconds_max)

    async def _download(self, ended: BatchRead) -> None:
        upstream, part = self._upstream, self._upstream.journal.results_part(self.record.id)
        await upstream.insist(lambda: upstream.api.download(ended.results, part))
        self.record = msgspec.structs.replace(
            self.record,
            stage=Stage.ENDED,
            ended_at=upstream.clock.now(),
            expired=ended.state == "EXPIRED",
        )
        await asyncio.to_thread(upstream.journal.keep_results, self.record)

    async def _end(self, *, failed: str, cause: Cause | None) -> None:
        """Have it end without results. Without a cause it was not tried: its lines are to be asked again."""
        await self._save(
            stage=Stage.ENDED,
            ended_at=self._upstream.clock.now(),
            failed=failed,
            cause=(cause or Cause.OVERLOADED).value,
        )

    async def _tidy(self) -> None:
        """Remove its lines from the upstream, where room for files is bounded. One try is enough."""
        if self.record.file is not None:
            try:
                await self._upstream.api.delete_file(self.record.file)
            except (NotNow, Never) as error:
                logger.info("File %s stays at the upstream: %s", self.record.file, error)

    async def _save(self, **changes: object) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)
        await asyncio.to_thread(self._upstream.journal.save, self.record)

    # Results ------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell each line that somebody waits for, and note where the results of the others are."""
        if self.record.failed is not None:
            failed = Failed(Cause(self.record.cause), f"The upstream's batch failed: {self.record.failed}")
            for entry in self.lines.entries:
                entry.tell(failed)
            return
        start = 0
        while True:
            lines = await asyncio.to_thread(self._slice, start)
            for line, key, outcome in lines:
                self._told(key, outcome, (start, start + len(line)))
                start += len(line)
            if not lines:
                break
        for entry in self.lines.entries:
            if entry.span is None and not entry.taken:
                entry.tell(self._missing())

    def _told(self, key: str | None, outcome: Outcome, span: tuple[int, int]) -> None:
        if key is None or not key.isdecimal() or int(key) >= len(self.lines.entries):
            return
        entry = self.lines.entries[int(key)]
        if entry.chunk is not None:
            entry.tell(outcome)
        else:
            entry.span = span

    def _slice(self, start: int) -> list[tuple[bytes, str | None, Outcome]]:
        read = []
        with self._upstream.journal.results(self.record.id).open("rb") as file:
            file.seek(start)
            for line in file:
                read.append((line, *self._read(line)))
                if len(read) == SLICE_LINES:
                    break
        return read

    def _read(self, line: bytes) -> tuple[str | None, Outcome]:
        try:
            return result_in(line, expired=self.record.expired, kind=self._upstream.kind)
        except CorruptData as error:
            return None, Failed(Cause.UPSTREAM, str(error))

    @staticmethod
    def _missing() -> Failed:
        return Failed(Cause.UPSTREAM, "The upstream's batch has no result for this request.")
