"""Makes the index of one input, chunk by chunk while its bytes arrive."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from halfrate.config import Limits
from halfrate.domain.kind import Kind
from halfrate.domain.sharing import Sharing
from halfrate.ingest.chunks import CHUNK_BYTES_MIN, CHUNK_LINES_MIN, WARNINGS_MAX, ChunkReport
from halfrate.ingest.hints import EXAMPLE
from halfrate.ingest.index import (
    CACHES_MAX,
    MODELS_MAX,
    SHARING_ALL_MAX,
    STRANGERS_MAX,
    IndexSummary,
    NamedModel,
)
from halfrate.ingest.runs import Run
from halfrate.ingest.tasks import (
    Chunk,
    FindRepeated,
    Half,
    IndexChunk,
    Merged,
    MergePrompts,
    Repeated,
    Report,
    Task,
    WriteIndex,
    first_errors,
)
from halfrate.ingest.workers import Workers
from halfrate.planner.prefix import SORT_KEY_VERSION, section_key
from halfrate.store.blob.names import index_blob

SMALL_BYTES = 256 << 10
"""An input of at most this much is indexed at once, in a thread: to ask a process for it takes longer."""

_UNDER_WAY_MAX = 2
"""Chunks of one input that workers have at a time: a large file is not to keep a small one waiting."""


_MERGED_WHOLE_MAX = 8
"""Chunks whose lines one worker merges. Those of more are merged by halves."""

_SHARING_EVERY = 17
"""A prime: groups of prompts are often of a size that a round number goes with."""


class Indexing:
    """The index of one input in the making.

    Bytes are announced in order, when they can be read from ``blob``. The memory it takes does not depend on
    the input's size: what is known of a chunk is in files below ``folder``.
    """

    def __init__(
        self,
        blob: str,
        workers: Workers,
        *,
        folder: Path,
        limits: Limits,
        small: Workers | None = None,
        chunk_bytes_min: int = CHUNK_BYTES_MIN,
    ) -> None:
        """Have ``workers`` do the work, or ``small``, if given, for an input of at most `SMALL_BYTES`."""
        self._blob = blob
        self._complete = asyncio.Event()
        self._workers = workers
        self._small = small or workers
        self._folder = folder
        self._limits = limits
        self._chunk_bytes_min = chunk_bytes_min
        self._arrived_bytes = 0
        self._whole_bytes = 0  # up to the last newline
        self._cut_bytes = 0  # up to the last chunk's end
        self._lines = 0  # since then
        self._under_way = asyncio.Semaphore(_UNDER_WAY_MAX)
        self._chunks: list[asyncio.Task[ChunkReport]] = []
        self._requests = 0
        self._sha256: str | None = None
        self._indexed_bytes = 0

    @property
    def percent(self) -> float | None:
        """Return how much of the input is read, None while more of it may arrive.

        It does not say 100 while the index is still to be written.
        """
        if not self._complete.is_set():
            return None
        return min(99.0, 100 * self._indexed_bytes / max(1, self._arrived_bytes))

    def arrived(self, data: bytes) -> None:
        """Take note of the next bytes of the input."""
        self._arrived_bytes += len(data)
        if newlines := data.count(b"\n"):
            self._lines += newlines
            self._whole_bytes = self._arrived_bytes - len(data) + data.rindex(b"\n") + 1
            if self._whole_bytes - self._cut_bytes >= self._chunk_bytes_min or self._lines >= CHUNK_LINES_MIN:
                self._cut(self._whole_bytes, last=False)

    async def finish(self, blob: str, *, sha256: str | None = None) -> IndexSummary:
        """Write the index of the input, which is complete and called ``blob`` from now on.

        ``sha256`` is what it hashes to, to be kept with the index.
        """
        self._blob = blob
        self._sha256 = sha256
        self._complete.set()
        if not self._chunks and self._arrived_bytes <= SMALL_BYTES:
            self._workers = self._small
        if self._arrived_bytes > self._cut_bytes:
            self._cut(self._arrived_bytes, last=True)
        try:
            return await self._finished(await asyncio.gather(*self._chunks))
        finally:
            await self.close()

    async def close(self) -> None:
        """Give the work up, and remove what it left."""
        for chunk in self._chunks:
            chunk.cancel()
        await asyncio.gather(*self._chunks, return_exceptions=True)
        await asyncio.to_thread(lambda: shutil.rmtree(self._folder, ignore_errors=True))

    def _cut(self, stop: int, *, last: bool) -> None:
        if self._requests <= self._limits.file_lines:
            number = len(self._chunks)
            self._chunks.append(asyncio.create_task(self._chunk(number, self._cut_bytes, stop, last=last)))
        self._cut_bytes, self._lines = stop, 0

    async def _chunk(self, number: int, start: int, stop: int, *, last: bool) -> ChunkReport:
        async with self._under_way:
            self._folder.mkdir(parents=True, exist_ok=True)
            while True:
                blob = self._blob
                task = IndexChunk(
                    blob=blob,
                    start=start,
                    stop=stop,
                    last=last,
                    line_bytes_max=self._limits.line_bytes,
                    prompts_run=self._run_path("prompts", number),
                    keys_run=self._run_path("keys", number),
                )
                try:
                    done = await self._workers.perform(task)
                except FileNotFoundError:
                    if self._complete.is_set() and blob == self._blob:
                        raise
                    await self._complete.wait()  # it is just being given its final name
                    continue
                assert isinstance(done, Chunk)
                self._requests += done.report.requests
                self._indexed_bytes += stop - start
                return done.report

    async def _finished(self, reports: list[ChunkReport]) -> IndexSummary:
        findings = _Findings(reports)
        summary = findings.summary(self._arrived_bytes, lines_max=self._limits.file_lines)
        summary = replace(summary, sha256=self._sha256)
        if summary.refusal is not None:
            await self._write(summary, [], marks=None)
            return summary
        marks = str(self._folder / "repeated")
        find = FindRepeated(
            blob=self._blob, keys=self._runs("keys", reports), requests=summary.requests, marks=marks
        )
        merges = self._merges(reports, summary.requests)
        tasks: list[Task] = [*merges, find]
        *merged, repeated = await asyncio.gather(*map(self._workers.perform, tasks))
        assert isinstance(repeated, Repeated)
        summary = replace(summary, sharing=_sharing(merged))
        if repeated.count:
            summary = findings.with_repeated(summary, repeated)
        parts = [merge.into for merge in merges]
        await self._write(summary, parts, marks=marks if repeated.count else None)
        return summary

    def _merges(self, reports: list[ChunkReport], requests: int) -> list[MergePrompts]:
        """Return what is to be merged: of a large input halves, at the same time."""
        halves = (Half.LOWER, Half.UPPER) if len(reports) > _MERGED_WHOLE_MAX else (Half.ALL,)
        prompts, every = self._runs("prompts", reports), _SHARING_EVERY if requests > SHARING_ALL_MAX else 1
        return [
            MergePrompts(
                blob=self._blob, prompts=prompts, half=half, into=str(self._folder / half), every=every
            )
            for half in halves
        ]

    async def _write(self, summary: IndexSummary, parts: list[str], *, marks: str | None) -> None:
        await self._workers.perform(
            WriteIndex(blob=index_blob(self._blob), parts=parts, marks=marks, summary=summary)
        )

    def _runs(self, kind: str, reports: list[ChunkReport]) -> list[Run]:
        runs, ordinal_base, number_base = [], 0, 0
        for number, report in enumerate(reports):
            rows = report.requests if kind == "prompts" else report.keys
            runs.append(Run(self._run_path(kind, number), rows, ordinal_base, number_base))
            ordinal_base += report.requests
            number_base += report.lines
        return runs

    def _run_path(self, kind: str, number: int) -> str:
        return str(self._folder / f"{kind}-{number}")


def _sharing(merged: Sequence[Report]) -> Sharing:
    """Return what the parts of an order share together."""
    found, rows, looked_at = Sharing(), 0, 0
    for part in merged:
        assert isinstance(part, Merged)
        found += part.sharing
        rows += part.rows
        looked_at += part.looked_at
    return found if rows == looked_at else found.times(rows / looked_at)


class _Findings:
    """What the chunks of a file came to together."""

    def __init__(self, reports: list[ChunkReport]) -> None:
        self._reports = reports
        self._errors: list[tuple[int, str]] = []
        self._warnings: list[tuple[int, str]] = []
        self._first: dict[Kind, list[int]] = {kind: [] for kind in Kind}
        base = 0
        for report in reports:
            self._errors += [(base + number, message) for number, message in report.errors]
            self._warnings += [(base + number, message) for number, message in report.warnings]
            self._first[Kind.EMBEDDING] += [base + number for number in report.first_embeddings]
            self._first[Kind.GENERATION] += [base + number for number in report.first_generations]
            base += report.lines

    def summary(self, input_bytes: int, *, lines_max: int) -> IndexSummary:
        """Return the summary of a file whose keys are all different."""
        requests = sum(report.requests for report in self._reports)
        caches, models = self._caches(), self._models()
        refusal = _refusal(requests, lines_max, caches=len(caches), models=len(models))
        if refusal is not None:
            return IndexSummary(0, 0, 0, (), input_bytes, refusal)
        bad = sum(report.bad for report in self._reports)
        return IndexSummary(
            requests=requests,
            bad=bad,
            bad_keys=0,
            errors=first_errors(self._errors, []),
            input_bytes=input_bytes,
            doomed=sum(report.doomed for report in self._reports),
            keyless=requests - bad - sum(report.keys for report in self._reports),
            warnings=first_errors(self._warnings[:WARNINGS_MAX], [], prefix="Warning"),
            embeddings=sum(report.embeddings for report in self._reports),
            first_embeddings=tuple(self._first[Kind.EMBEDDING][:STRANGERS_MAX]),
            first_generations=tuple(self._first[Kind.GENERATION][:STRANGERS_MAX]),
            caches=tuple((cache, number) for (cache, _), number in caches.items()),
            cache_models=tuple(model for _, model in caches),
            models=models,
            reads_files=any(report.reads_files for report in self._reports),
            order_version=SORT_KEY_VERSION,
        )

    def _caches(self) -> dict[tuple[str, str | None], int]:
        """Return the Caches that are named, with a model, and the number of the first line with both."""
        caches: dict[tuple[str, str | None], int] = {}
        base = 0
        for report in self._reports:
            for cache_id, model, number in report.caches:
                caches.setdefault((cache_id, model), base + number)
            base += report.lines
        return caches

    def _models(self) -> tuple[NamedModel, ...]:
        """Return the models that are named, in the order in which their lines come."""
        models: dict[str, NamedModel] = {}
        base = 0
        for report in self._reports:
            for named in report.models:
                first = models.get(named.model, NamedModel(named.model, 0, base + named.line))
                models[named.model] = replace(first, requests=first.requests + named.requests)
            base += report.lines
        return tuple(sorted(models.values(), key=lambda named: section_key(named.model)))

    def with_repeated(self, summary: IndexSummary, repeated: Repeated) -> IndexSummary:
        """Return the summary of a file in which keys are used more than once."""
        return replace(summary, bad_keys=repeated.count, errors=first_errors(self._errors, repeated.errors))


def _refusal(requests: int, lines_max: int, *, caches: int, models: int) -> str | None:
    if requests > lines_max:
        return f"The file has more than {lines_max:,} lines. Split it into several files, one for each batch."
    if caches > CACHES_MAX:
        return (
            f"The file names more than {CACHES_MAX} cached contents. Split it into several files, one for "
            "each batch, or put into each request what little it shares with others."
        )
    if models > MODELS_MAX:
        return (
            f"The file names more than {MODELS_MAX} models. Split it into several files, one for each batch, "
            "or name one model when you create the batch, and none on its lines."
        )
    if requests == 0:
        return (
            "The file has no requests: it is empty or has only blank lines. "
            f"Every line must be one JSON object, for example {EXAMPLE}"
        )
    return None
