"""Whole Jobs in the real application, on a disk that loses things and in a process that dies anywhere.

A seed is one Job's life: what its lines are, when the process dies, what the disk loses, whether somebody
cancels. ``HALFRATE_SEEDS`` says how many there are (`make simulate` runs 1,000).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import pytest

from halfrate.app import App, Stores, open_app
from halfrate.config import Config, DispatchConfig, ModelConfig
from halfrate.domain.file import File
from halfrate.domain.job import Job, JobState
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import Request
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.ingest.workers import ThreadWorkers
from halfrate.results.segment import read_segment
from halfrate.store.blob.names import segment_blob_of
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.wire.gemini.lines import read_lines
from tests.fakes import FakeClock, line, pieces
from tests.simulation.disk import CommitAtOnce, Crashed, Fate, SimulatedDisk

SEEDS = int(os.environ.get("HALFRATE_SEEDS", "40"))
LIVES_MAX = 12
SECONDS_MAX = 5_000


class Life:
    """One seed: a client with a file, and the lives of the process that serves it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        self.disk = SimulatedDisk()
        self.folder = folder
        self.texts = [f"say {self.chance.randint(0, 30)}" for _ in range(self.chance.randint(1, 40))]
        self.texts += ["refuse"] * self.chance.randint(0, 2) + ["stumble"] * self.chance.randint(0, 2)
        if self.chance.random() < 0.3:
            self.texts.append("poison")
        self.chance.shuffle(self.texts)
        self.cancel_at = self.clock.now() + self.chance.choice([5, 20, 10**9, 10**9])
        self.file: File | None = None
        self.job: Job | None = None
        self.settled: set[str] = set()  # texts whose Results were settled when the last life ended
        self.deaths: list[str] = []

    def script(self) -> ScriptedEngine:
        """An engine for one life: some lines it refuses, some it stumbles over once, some kill it."""
        stumbled = set()

        def play(request: Request) -> Outcome:
            text = request.messages[-1].text
            if text == "refuse":
                return Failed(Cause.INTERNAL, "no")
            if text == "stumble" and text not in stumbled:
                stumbled.add(text)
                return Failed(Cause.OVERLOADED, "not now")
            return echo(request)

        return ScriptedEngine(
            play, delay_seconds=0.5, lanes=3, deadly="poison", restart_seconds=1, clock=self.clock
        )

    def open_stores(self, data: Path, clock: FakeClock) -> Stores:
        store = SqliteStore(
            data / "halfrate.db", clock, lambda connection: CommitAtOnce(connection, self.disk)
        )
        return Stores(meta=store, blobs=self.disk, workers=ThreadWorkers(self.disk, read_lines))

    async def live(self, fate: Fate) -> None:
        """Run the process until the Job is final or fate strikes."""
        self.disk.fate = fate
        engine = self.script()
        config = Config(
            data_dir=str(self.folder),
            models={"pocket-1": ModelConfig(path="pocket-1.gguf")},
            dispatch=DispatchConfig(shard_requests=6),
        )
        try:
            async with open_app(
                config,
                clock=self.clock,
                chance=lambda: 0.5,
                make_engine=lambda entry: engine,
                open_stores=self.open_stores,
            ) as app:
                await self.be_a_client(app)
                await self.until_the_end(app, fate)
                await self.look(app, engine)
        except BaseExceptionGroup as group:
            if group.split(Crashed)[1] is not None:
                raise
        except Crashed:
            pass
        assert not {request.messages[-1].text for request in engine.answered} & self.settled, (
            "what was settled was asked again"
        )
        if fate.died_at is not None:
            self.deaths.append(fate.died_at)
            self.disk.crash(self.chance)
            self.settled = await self.read_settled()

    async def be_a_client(self, app: App) -> None:
        """Do what has not been acknowledged yet; what has been must still be there."""
        if self.file is None:
            data = b"\n".join(
                line(text, f"k{number}", temperature=0) for number, text in enumerate(self.texts)
            )
            begun = await app.uploads.begin(
                file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
            )
            await app.uploads.append(begun.id, offset=0, chunks=pieces(data, 500))
            self.file = await app.uploads.finish(begun.id)
        elif self.job is None:
            assert await app.files.get(self.file.id) == self.file
        if self.job is None:
            # Creating is not idempotent: after a crash a client looks whether its Job is there.
            known, _ = await app.jobs.list(page_size=1, page_token=None)
            self.job = (
                known[0]
                if known
                else await app.jobs.create_from_file(
                    model="pocket-1", file_id=self.file.id, display_name="", priority=0
                )
            )

    async def until_the_end(self, app: App, fate: Fate) -> None:
        assert self.job is not None
        for _ in range(SECONDS_MAX):
            for _ in range(60):
                await asyncio.sleep(0)
            if fate.died_at is not None:
                raise Crashed(fate.died_at)
            job = await app.jobs.get(self.job.id)
            assert not self.job.state.final or job == self.job, "a final state moved"
            self.job = job
            if job.state.final:
                return
            if self.clock.now() >= self.cancel_at:
                await app.jobs.cancel(job.id)
            self.clock.advance(seconds=1)
        raise AssertionError(f"the Job does not end: {job}")

    async def look(self, app: App, engine: ScriptedEngine) -> None:
        """State each invariant of a finished Job by itself."""
        job = self.job
        assert job is not None
        assert await app.store.check_integrity() == []
        _, chunks = await app.files.download(f"batch-{job.id}")
        output = [json.loads(text) for text in b"".join([chunk async for chunk in chunks]).splitlines()]
        assert [result["key"] for result in output] == [f"k{n}" for n in range(len(self.texts))], (
            "every Request has exactly one Result, in input order"
        )
        answered = [result["response"] for result in output if "response" in result]
        assert job.counts.succeeded == len(answered)
        assert job.counts.failed == len(output) - len(answered)
        assert job.usage.input_tokens == sum(a["usageMetadata"]["promptTokenCount"] for a in answered)
        assert job.usage.output_tokens == sum(a["usageMetadata"]["candidatesTokenCount"] for a in answered)
        assert job.interactive_cost_picos == (
            job.usage.input_tokens * 300_000 + job.usage.output_tokens * 2_500_000
        )
        for text, result in zip(self.texts, output, strict=True):
            if "response" in result:
                assert result["response"]["candidates"][0]["content"]["parts"][0]["text"] == text
                assert text not in ("refuse", "poison")
            else:
                unanswered = job.state is JobState.CANCELLED and result["error"]["code"] == 1
                assert unanswered or text in ("refuse", "poison"), result

    async def read_settled(self) -> set[str]:
        """Which texts the database says are settled, read from what the disk kept."""
        if self.job is None:
            return set()
        store = SqliteStore(self.folder / "halfrate.db", self.clock)
        try:
            segments = await store.segments(self.job.id)
        finally:
            store.close()
        ordinals = set()
        for segment in segments:
            with self.disk.reader(segment_blob_of(segment)) as reader:
                results = list(read_segment(reader, segment.settled_bytes))
            assert len(results) == segment.results, "the disk lost what was settled"
            ordinals |= {result.asker.ordinal for result in results}
        return {self.texts[ordinal] for ordinal in ordinals}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_job_ends_as_if_nothing_had_happened(seed, tmp_path, monkeypatch):
    async def at_once(work, *arguments):
        return work(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    life = Life(seed, tmp_path)
    for _ in range(LIVES_MAX):
        await life.live(Fate(life.chance.randint(0, 120)))
        if life.job is not None and life.job.state.final:
            break
    await life.live(Fate())
    await life.live(Fate())
    assert life.job is not None
    assert life.job.state in (JobState.SUCCEEDED, JobState.CANCELLED)
