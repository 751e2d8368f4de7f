"""An Engine that hands Requests to an upstream's own batches, and takes their results when they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self

from halfrate.clock import Clock, WallClock
from halfrate.domain.errors import EngineBroken
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.domain.trouble import Trouble
from halfrate.engines.abilities import inability
from halfrate.engines.api import EngineFacts, EngineState, Took, Wrote
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.gemini import GeminiDialect
from halfrate.engines.upstream.gemini_batch.api import BatchApi
from halfrate.engines.upstream.gemini_batch.batch import Batch, Upstream
from halfrate.engines.upstream.gemini_batch.entries import Chunk, Entry, FreeLines, Lines
from halfrate.engines.upstream.gemini_batch.gathering import Gathering
from halfrate.engines.upstream.gemini_batch.journal import Journal, Record, Stage, digest_of
from halfrate.engines.upstream.gemini_batch.settings import BatchSettings
from halfrate.engines.upstream.replica import STOPPED
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.engines.upstream.transport import Transport
from halfrate.wire.gemini.asking import body_of

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 7 * 86_400.0
"""An upstream ends its batches itself, after two days; and every Job has a deadline of its own."""

FILE_BYTES_MAX = 8 << 30
WRITTEN_AT_ONCE = 64
"""How many Requests are written before others get their turn."""


class GeminiBatchEngine:
    """Answers chunks through batches of a Gemini API, and single Requests interactively.

    Requests are gathered into batches, which are kept on the disk until their answers have been taken: after
    a crash, whoever asks the same again gets the line that is under way, or its answer. A batch that nobody
    waits for any more is cancelled; leaving cancels none.
    """

    def __init__(
        self, settings: UpstreamSettings, batches: BatchSettings, *, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._batches = batches
        self._clock = clock or WallClock()
        self._single = UpstreamEngine(settings, GeminiDialect, clock=self._clock)
        self._transport = Transport(
            settings.urls[0],
            headers=GeminiDialect(settings).headers(),
            patience=settings.patience,
            answer_bytes_max=FILE_BYTES_MAX,
            proxy_from_env=settings.proxy_from_env,
            ca_file=settings.ca_file,
        )
        self._upstream = Upstream(
            BatchApi(self._transport, kind=settings.kind),
            Journal(batches.folder),
            batches,
            kind=settings.kind,
            clock=self._clock,
            model=self._model,
            told=self._tell_trouble,
        )
        self._free = FreeLines()
        self._gathering: Gathering | None = None
        self._running: dict[Batch, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._chunks: set[Chunk] = set()
        self._opened: asyncio.Future[None] | None = None
        self._trouble: str | None = None
        self._stack = AsyncExitStack()

    @property
    def state(self) -> EngineState:
        """READY when the upstream answers and what was under way before is known."""
        opened = self._opened
        if opened is not None and opened.done() and opened.exception() is not None:
            return EngineState.BROKEN
        return self._single.state if opened is not None and opened.done() else EngineState.LOADING

    @property
    def trouble(self) -> Trouble | None:
        """Why the upstream answers nothing now, or takes no batches."""
        if self._opened is not None and self._opened.done() and (error := self._opened.exception()):
            return Trouble(str(error))
        return self._single.trouble or (None if self._trouble is None else Trouble(self._trouble))

    async def ready(self) -> EngineFacts:
        """Wait until the upstream answers. Raise `EngineBroken` while it refuses everything."""
        if self._opened is None:
            raise EngineBroken(STOPPED)
        await asyncio.shield(self._opened)
        facts = await self._single.ready()
        return replace(facts, lanes=self._batches.lanes, patience_seconds=PATIENCE_SECONDS)

    async def answer(
        self, request: AnyRequest, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt, interactively: whoever asks alone is not to wait for a batch."""
        return await self._single.answer(request, interactive=interactive, wrote=wrote)

    async def answer_many(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Have each answered in a batch. The promise is that of `halfrate.engines.api.Engine`."""
        chunk = Chunk(len(requests), took)
        entries: list[Entry] = []
        self._chunks.add(chunk)
        try:
            await self._hand_over(requests, chunk, entries)
            await chunk.complete
        finally:
            self._chunks.discard(chunk)
            if not chunk.over:
                chunk.over = True
                self._let_go(entries)

    async def count_tokens(self, request: AnyRequest) -> int:
        """The tokens of the prompt, as the server counts them. Raise `EngineBroken`."""
        return await self._single.count_tokens(request)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._single)
        await self._stack.enter_async_context(self._transport)
        self._opened = asyncio.get_running_loop().create_future()
        self._spawn(self._open(self._opened))
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [*self._tasks, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for batch in list(self._running):
            if batch.record.stage is Stage.ENDED and not batch.lines.untaken:
                await asyncio.to_thread(self._upstream.journal.forget, batch.record.id)
        for chunk in list(self._chunks):
            chunk.fail(Failed(Cause.ENGINE_DIED, STOPPED))
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(EngineBroken(STOPPED))
            self._opened.exception()
        self._opened = None
        self._upstream.journal.close()
        await self._stack.aclose()

    # Taking Requests ----------------------------------------------------------------------------------

    async def _hand_over(self, requests: Sequence[AnyRequest], chunk: Chunk, entries: list[Entry]) -> None:
        try:
            facts = await self.ready()
        except EngineBroken as error:
            chunk.fail(Failed(Cause.ENGINE_DIED, str(error)))
            return
        for position, request in enumerate(requests):
            body = inability(request, facts) or body_of(request, self._settings.body)
            if isinstance(body, Failed):
                chunk.take(position, body)
            else:
                entries.append(self._line_for(body, chunk, position))
            if position % WRITTEN_AT_ONCE == WRITTEN_AT_ONCE - 1:
                await asyncio.sleep(0)

    def _line_for(self, body: bytes, chunk: Chunk, position: int) -> Entry:
        """Have a line answer this: one there is already, or a new one."""
        digest = digest_of(body)
        entry = self._free.take(digest)
        if entry is None:
            return self._gather(body, digest, chunk, position)
        entry.give(chunk, position)
        if entry.span is not None and entry.lines.batch is not None:
            entry.tell(entry.lines.batch.result_of(entry))
        return entry

    def _gather(self, body: bytes, digest: bytes, chunk: Chunk, position: int) -> Entry:
        if self._gathering is None:
            self._gathering = Gathering(Lines())
            self._spawn(self._seal_later(self._gathering))
        gathering = self._gathering
        entry = gathering.add(body, digest)
        entry.give(chunk, position)
        settings = self._batches
        if len(gathering.lines.entries) >= settings.requests_max or gathering.bytes >= settings.bytes_max:
            self._seal(gathering)
        return entry

    async def _seal_later(self, gathering: Gathering) -> None:
        await self._clock.sleep(self._batches.wait_seconds)
        self._seal(gathering)

    def _seal(self, gathering: Gathering) -> None:
        """Begin a batch of what has been gathered, unless that is done or nobody waits for it any more."""
        if self._gathering is not gathering:
            return
        self._gathering = None
        lines = gathering.waited_for()
        if lines.entries:
            record = gathering.record(now=self._clock.now())
            self._start(record, lines, gathering.bodies)

    def _let_go(self, entries: list[Entry]) -> None:
        """Have nobody wait for these: others may, and whole batches that nobody waits for are cancelled."""
        left = [entry for entry in entries if entry.chunk is not None]
        for entry in left:
            entry.let_go()
        self._free.add(left)
        for lines in {entry.lines for entry in left}:
            if not lines.waiting and lines.batch is not None:
                self._spawn(self._abandon(lines.batch))

    # Batches ------------------------------------------------------------------------------------------

    async def _open(self, opened: asyncio.Future[None]) -> None:
        """Go on with what was under way before."""
        journal = self._upstream.journal
        try:
            for record in await asyncio.to_thread(journal.open):
                lines = Lines()
                for digest in await asyncio.to_thread(journal.digests, record.id):
                    lines.add(digest)
                if record.stage is not Stage.CANCELLING:
                    self._free.add(lines.entries)
                self._start(record, lines, None)
        except (OSError, ValueError) as error:
            why = f"What was handed to the upstream is not known: {self._batches.folder}: {error}"
            opened.set_exception(EngineBroken(why))
            opened.exception()  # told to whoever asks, and to nobody else
        else:
            opened.set_result(None)

    def _start(self, record: Record, lines: Lines, bodies: list[bytes] | None) -> None:
        batch = Batch(self._upstream, record, lines)
        lines.batch = batch
        task = asyncio.create_task(self._run(batch, bodies), name=f"batch {record.id}")
        self._running[batch] = task

    async def _run(self, batch: Batch, bodies: list[bytes] | None) -> None:
        """Have a batch answered, and keep it for as long as it may be needed; over what fails on the way."""
        journal = self._upstream.journal
        while True:
            try:
                if bodies is not None:
                    await asyncio.to_thread(journal.seal, batch.record, bodies)
                    bodies = None
                if batch.record.stage is Stage.CANCELLING:
                    await batch.cancel()
                    break
                await batch.run()
                await self._keep(batch)
                await asyncio.to_thread(journal.forget, batch.record.id)
                break
            except Exception as error:
                # Whatever it was, such as a full disk, what is answered there is paid for: go on.
                logger.exception("Batch %s stopped, and goes on in a while.", batch.record.id)
                self._tell_trouble(f"A batch of the upstream stopped: {error}")
                await self._clock.sleep(self._batches.retry_seconds)
        self._running.pop(batch, None)

    async def _keep(self, batch: Batch) -> None:
        """Return when what it came to is needed no more."""
        settings = self._batches
        until = (batch.record.ended_at or 0.0) + settings.keep_seconds
        while batch.lines.untaken and self._clock.now() < until:
            await self._clock.sleep(settings.settle_seconds)
        for entry in batch.lines.entries:
            entry.taken = True
        await self._clock.sleep(settings.settle_seconds)

    async def _abandon(self, batch: Batch) -> None:
        """Cancel a batch that nobody comes back for."""
        await self._clock.sleep(self._batches.abandon_seconds)
        running = self._running.get(batch)
        if batch.lines.waiting or running is None or batch.record.stage is Stage.ENDED:
            return
        del self._running[batch]
        for entry in batch.lines.entries:
            entry.taken = True
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await batch.cancel()

    # ---

    async def _model(self) -> str:
        return (await self._single.ready()).model_version

    def _tell_trouble(self, why: str | None) -> None:
        self._trouble = why

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
