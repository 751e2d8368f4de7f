"""A whole world from one seed: clients, the real application, its disk, its engine, and what befalls them."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import apsw

from halfrate.app import App, Stores, open_app
from halfrate.config import Config, DispatchConfig, Limits, ModelConfig, PriceConfig
from halfrate.crashpoints import CrashPoint, Watcher, watched
from halfrate.domain.errors import ConfigError, NotFound
from halfrate.domain.job import JobState
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import Request
from halfrate.domain.shard import SegmentRef
from halfrate.domain.webhook import EVENT_OF
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.ingest.worker import READING
from halfrate.ingest.workers import ThreadWorkers
from halfrate.net.post import Posted
from halfrate.results.segment import read_segment
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import segment_blob_of
from halfrate.store.meta.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.simulation import invariants
from tests.simulation.disk import CommitInTurn, LossyDisk
from tests.simulation.fate import Crashed, Fate
from tests.simulation.wishes import (
    BAD,
    FOR_OTHER,
    KEEP_UPLOAD_SECONDS,
    MODEL,
    OTHER,
    PRICES,
    Client,
    Wish,
    everything,
    parsed,
    read_output,
)
from tests.simulation.witness import Witness, WitnessedStore

LANES = 3
DELAY_SECONDS = 0.5
STUMBLES = 4
TURNS_A_SECOND = 60
SECONDS_MAX = 3_000
IN_FLIGHT_MAX = 5 * LANES
FOREVER_SECONDS = 400 * 86_400.0
HOPELESS = ("refuse", "poison", BAD)
"""How the texts end that are never answered."""

HOOK = "everyone"
TELL_SECONDS_MAX = 600

STOPPED_CODES = {JobState.CANCELLED: 1, JobState.EXPIRED: 4}
"""The code of the error of a Request that a stopped Job did not come to."""


class World:
    """One seed. `live` runs the process until everything is done, or until it dies."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        self.began_at = self.clock.now()
        self.data = folder / "data"
        self.disk = LossyDisk(self.data, folder / "vault", self.chance)
        self.witness = Witness(self.clock)
        self.wishes = [Wish.by_chance(n, self.chance) for n in range(self.chance.choice([1, 2, 2, 3, 4]))]
        self.models = [MODEL, OTHER] if seed % 3 == 2 else [MODEL]
        if OTHER in self.models:
            for wish in self.wishes:
                wish.have_others(self.chance)
        self.job_hours = self.chance.choice([48, 48, 48, 20 / 3600])
        self.shard_requests = self.chance.choice([4, 6, 20])
        self.lease_seconds = self.chance.choice([3, 30])
        self.story: list[str] = []
        self.reached: Counter[CrashPoint] = Counter()
        self.died_at: Counter[CrashPoint] = Counter()
        self._full_at = self._spell(0.3, seconds_max=60)
        self._engine_dies_at = {self.chance.randint(0, 60) for _ in range(self.chance.choice([0, 0, 1, 3]))}
        self._sleeps_at = {self.chance.randint(0, 60) for _ in range(self.chance.choice([0, 0, 0, 2]))}
        self._settled: set[str] = set()
        self._ran: set[str] = set()
        self._in_flight: set[str] = set()
        self._ordinals: defaultdict[str, set[int]] = defaultdict(set)
        self._withering = self.withered = self._disturbed = self._patient = False
        self._told: dict[str, bytes] = {}
        self._taken: set[str] = set()

    @property
    def done(self) -> bool:
        """Whether every wish came to its end."""
        return all(wish.ended for wish in self.wishes)

    # One life

    async def live(self, fate: Fate, *, wither: bool, stop_after_seconds: int | None = None) -> None:
        """Run the process until every Job has ended, and with ``wither`` until everything is gone.

        It is stopped in good order before that if it takes longer than ``stop_after_seconds``.
        """
        self.disk.fate = fate
        engines = self._engines()
        ran_before = set(self._ran)
        self.witness.forget_holders()
        begun = stopped = self._disturbed = False
        try:
            with watched(self._watcher(fate)):
                async with self._open(engines) as app:
                    begun = True
                    stopped = not await self._serve(app, engines, fate, stop_after_seconds)
                    if wither and not stopped:
                        await self._wither(app, fate)
        except BaseExceptionGroup as group:
            if group.split(Crashed)[1] is not None:
                raise
        except Crashed:
            pass
        except (OSError, apsw.FullError, ConfigError):
            if begun:
                raise
            self._calm()  # no process begins on a full disk: somebody made room, and tries again
        await self._end_of_process()
        self.reached += fate.passed
        self.witness.check()
        ran = {request.messages[-1].text for engine in engines for request in engine.answered}
        invariants.what_runs_again_was_in_flight(ran & ran_before, self._in_flight)
        if fate.died_at is not None:
            await self._after_a_death(fate.died_at)
            self._count_in_flight(ran, in_flight_max=IN_FLIGHT_MAX)
        elif stopped:
            self.story.append("(stopped)")
            await self._find_what_was_settled()
            # What was answered is settled before a process that is stopped ends, unless the disk was full, or
            # a Lease lapsed, before that.
            self._count_in_flight(ran, in_flight_max=IN_FLIGHT_MAX if self._disturbed else LANES)

    async def _after_a_death(self, point: CrashPoint) -> None:
        self.died_at[point] += 1
        power = self.chance.random() < 0.5
        self.story.append(f"{point}{' and the power' if power else ''}")
        if power:
            self.disk.lose_power()
            for wish in self.wishes:
                wish.received_bytes = 0  # bytes of an upload are promised to outlive the process only
        await self._find_what_was_settled()

    def _count_in_flight(self, ran: set[str], *, in_flight_max: int) -> None:
        self._in_flight = self._ran - self._settled
        in_flight_max *= len(self.models)
        invariants.few_are_in_flight(self._in_flight & ran, in_flight_max=in_flight_max)

    def _watcher(self, fate: Fate) -> Watcher:
        """Let the process die where it is to, and commits fail on a full disk."""

        def reach(point: CrashPoint) -> None:
            fate.reach(point)
            if point is CrashPoint.COMMIT_BEFORE and self.disk.full and self.chance.random() < 0.5:
                raise apsw.FullError("database or disk is full")

        return reach

    def _open(self, engines: list[ScriptedEngine]) -> AbstractAsyncContextManager[App]:
        by_path = {f"{name}.gguf": engine for name, engine in zip(self.models, engines, strict=True)}
        config = Config(
            data_dir=str(self.data),
            models={name: _served(name) for name in self.models},
            dispatch=DispatchConfig(shard_requests=self.shard_requests, lease_seconds=self.lease_seconds),
            limits=Limits(job_hours=self.job_hours, upload_hours=KEEP_UPLOAD_SECONDS / 3_600),
        )
        return open_app(
            config,
            clock=self.clock,
            chance=self.chance.random,
            make_engine=lambda entry: by_path[entry.path],
            open_stores=self._open_stores,
            post=self._hear,
        )

    def _open_stores(self, data: Path, clock: FakeClock) -> Stores:
        blobs = LocalBlobStore(data / "blobs", self.disk)
        store = WitnessedStore(
            data / "halfrate.db",
            clock,
            lambda connection: CommitInTurn(connection, self.disk),
            self.witness,
            self._note_settled,
        )
        return Stores(meta=store, blobs=blobs, workers=ThreadWorkers(blobs, READING))

    def _engines(self) -> list[ScriptedEngine]:
        """The engines of one life: some lines they refuse, some kill one, for some there is no room now.

        For those more often than there are Attempts: a Request must not be given up for it.
        """
        stumbles: dict[str, int] = {}

        def play(request: Request) -> Outcome:
            text = request.messages[-1].text
            self.witness.hold(invariants.nothing_settled_is_run_again, text, self._settled)
            self._ran.add(text)
            if text.endswith("refuse"):
                return Failed(Cause.INTERNAL, "no")
            if text.endswith("stumble") and stumbles.setdefault(text, STUMBLES) > 0:
                stumbles[text] -= 1
                return Failed(Cause.OVERLOADED, "not now", retry_after_seconds=2.0)
            return echo(request)

        return [
            ScriptedEngine(
                play,
                delay_seconds=DELAY_SECONDS,
                lanes=LANES,
                deadly="poison",
                restart_seconds=1,
                clock=self.clock,
            )
            for _ in self.models
        ]

    # Time passes

    async def _serve(
        self, app: App, engines: list[ScriptedEngine], fate: Fate, stop_after_seconds: int | None
    ) -> bool:
        """Let every client do what it wants, and hold what came of it against the invariants.

        Return False if the process is stopped before that.
        """
        self._app, self._patient = app, False
        await self._register(app, fate)
        clients = [
            asyncio.create_task(Client(wish, app, self.clock, self.began_at).run()) for wish in self.wishes
        ]
        for second in range(SECONDS_MAX):
            if second == stop_after_seconds:
                for _ in range(self.chance.randrange(TURNS_A_SECOND // 3)):
                    await asyncio.sleep(0)
                for client in clients:
                    client.cancel()
                return False
            await self._a_second(fate, engines)
            if all(client.done() for client in clients):
                break
        else:
            states = [(wish.name, wish.job and wish.job.state) for wish in self.wishes]
            raise AssertionError(f"the Jobs do not end: {states}")
        for client in clients:
            await client
        self._calm()
        await self._let_everything_be_told(app, fate)
        await self._judge(app)
        return True

    async def _register(self, app: App, fate: Fate) -> None:
        """Have somebody told of everything, from before the first Job on."""
        while await app.store.get_webhook(HOOK) is None:
            try:
                await app.webhooks.create(
                    id=HOOK, name="", uri="https://hooks.test/", events=tuple(EVENT_OF.values())
                )
            except (OSError, apsw.FullError):
                await self._a_second(fate)

    async def _hear(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Posted:
        """Receive what is told: now and then late, or not well."""
        self.disk.fate.check()
        event, delivery_id = json.loads(body), headers["webhook-id"]
        stored = await self._app.store.stored_job(event["data"]["id"].removeprefix("batches/"))
        self.witness.hold(invariants.only_what_is_so_is_told, event, stored and stored.job)
        self.witness.hold(invariants.the_same_is_told_each_time, self._told.get(delivery_id), body)
        self._told[delivery_id] = body
        if not self._patient and self.chance.random() < 0.5:
            await self.clock.sleep(self.chance.randint(1, 12))
            return Posted(None, "There was no answer.")
        self._taken.add(delivery_id)
        return Posted(200)

    async def _let_everything_be_told(self, app: App, fate: Fate) -> None:
        self._patient = True
        for _ in range(TELL_SECONDS_MAX):
            if await app.store.deliveries_waiting() == 0:
                return
            await self._a_second(fate)
        raise AssertionError("what is to be told is not told")

    async def _wither(self, app: App, fate: Fate) -> None:
        """Let time pass until every File has expired, delete every Job, and see that nothing is kept."""
        self._withering = True
        self.clock.advance(seconds=FOREVER_SECONDS)
        await self._a_second(fate)
        for wish in self.wishes:
            if wish.job is not None:
                with suppress(NotFound):
                    await app.jobs.delete(wish.job.id)
        for _ in range(70):
            await self._a_second(fate)
        # What a fault left half-way is found at the next start.
        if self.withered:
            invariants.nothing_is_left_behind(await everything(app))
        self.withered = True

    async def _a_second(self, fate: Fate, engines: Sequence[ScriptedEngine] = ()) -> None:
        befalls_at = self.chance.randrange(TURNS_A_SECOND)
        for turn in range(TURNS_A_SECOND):
            await asyncio.sleep(0)
            if engines and turn == befalls_at:
                await self._befall(engines)
        fate.check()
        self.witness.check()
        self.clock.advance(seconds=1)

    async def _befall(self, engines: Sequence[ScriptedEngine]) -> None:
        now = int(self.clock.now() - self.began_at)
        self.disk.full = now in self._full_at
        self._disturbed |= self.disk.full
        if now in self._engine_dies_at:
            self._engine_dies_at.discard(now)
            await (engines[0] if len(engines) == 1 else self.chance.choice(engines)).die()
        if now in self._sleeps_at:
            self._sleeps_at.discard(now)
            self._disturbed = True
            self.clock.advance(seconds=45)  # longer than a Lease

    def _calm(self) -> None:
        self.disk.full = False
        self._full_at = range(0)

    def _spell(self, probability: float, *, seconds_max: int) -> range:
        if self.chance.random() >= probability:
            return range(0)
        start = self.chance.choice([0, 3, self.chance.randint(0, 30)])
        return range(start, start + self.chance.randint(1, seconds_max))

    @staticmethod
    async def _end_of_process() -> None:
        """Nothing of a process outlives it: not a task, and not what a thread was about to do."""
        asyncio.get_running_loop().set_exception_handler(_say_nothing_of_the_dead)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)

    # What is true

    async def _judge(self, app: App) -> None:
        """Hold every Job that has ended against each invariant."""
        invariants.nothing_contradicts(await app.store.check_integrity())
        for wish in self.wishes:
            if wish.job is not None and not wish.deleted and not self._withering:
                await self._judge_wish(app, wish)

    async def _judge_wish(self, app: App, wish: Wish) -> None:
        assert wish.job is not None
        job = await app.jobs.get(wish.job.id)
        invariants.a_final_state_never_moves(wish.job, job)
        invariants.every_end_is_told(f"evt_{job.id}_{HOOK}", self._taken)
        output = await read_output(app, job)
        if wish.output is not None:
            invariants.what_was_acknowledged_is_still_there("an output", wish.output, output)
        wish.output = output
        results = parsed(output)
        invariants.every_request_has_exactly_one_result(wish.keys, results)
        invariants.counts_usage_and_cost_equal_the_results(job, results, PRICES)
        for text, result in zip(wish.texts, results, strict=True):
            invariants.a_result_answers_its_request(
                text,
                result,
                model=OTHER if FOR_OTHER in text else MODEL,
                hopeless=text.endswith(HOPELESS),
                stopped_code=STOPPED_CODES.get(job.state),
            )

    def _note_settled(self, segment: SegmentRef) -> None:
        """Take note of the texts whose Results are settled: of twins only when all of them are."""
        self._ordinals[segment.job_id] |= self._ordinals_in(segment)
        wish = self._wish_of(segment.job_id)
        open_texts = {
            text for ordinal, text in enumerate(wish.texts) if ordinal not in self._ordinals[segment.job_id]
        }
        self._settled |= set(wish.texts) - open_texts

    async def _find_what_was_settled(self) -> None:
        """Read from what the disk kept what is settled, and that all of it is that was acknowledged."""
        if self._withering:
            return  # what a Job had is going, in any order
        store = SqliteStore(self.data / "halfrate.db", self.clock)
        try:
            names = {job.id: job.display_name for job in await store.list_jobs(limit=100, after=None)}
            stored = [ref for job_id in names for ref in await store.segments(job_id)]
        finally:
            store.close()
        acknowledged = [ref for ref in self.witness.settled.values() if ref.job_id in names]
        invariants.what_was_settled_is_still_there(acknowledged, stored)
        self.witness.job_names |= names
        for segment in stored:
            self._note_settled(segment)

    def _ordinals_in(self, segment: SegmentRef) -> set[int]:
        with LocalBlobStore(self.data / "blobs").reader(segment_blob_of(segment)) as reader:
            results = list(read_segment(reader, segment.settled_bytes))
        invariants.as_many_results_as_were_settled(segment, len(results))
        return {result.asker.ordinal for result in results}

    def _wish_of(self, job_id: str) -> Wish:
        name = self.witness.job_names[job_id]
        return next(wish for wish in self.wishes if wish.name == name)


def _served(name: str) -> ModelConfig:
    input_picos, output_picos = PRICES[name]
    return ModelConfig(path=f"{name}.gguf", price=PriceConfig(input=input_picos, output=output_picos))


def _say_nothing_of_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A task that was in the process that died is not asked what came of it."""
    if not isinstance(context.get("exception"), Crashed):
        loop.default_exception_handler(context)
