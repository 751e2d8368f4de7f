"""Claims Shards for one Engine and keeps it busy with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.dispatch.assignments import Asked
from halfrate.dispatch.bell import Bell
from halfrate.dispatch.feed import Feed
from halfrate.dispatch.joint import JointWalk
from halfrate.dispatch.shard_run import ShardRun
from halfrate.dispatch.troubles import Troubles
from halfrate.domain.errors import CorruptData, EngineBroken, IllegalTransition, LeaseLost
from halfrate.domain.job import JobState
from halfrate.domain.shard import Lease
from halfrate.engines.api import Engine, EngineFacts
from halfrate.ingest.inputs import Inputs
from halfrate.lookup.lookup import Lookup
from halfrate.metering.meter import Meter
from halfrate.metering.price import Price
from halfrate.store import disk
from halfrate.store.blob.api import BlobStore
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
PAUSE_SECONDS = 5.0


class Dispatcher:
    """The Worker of one Engine. `run` ends only by being cancelled; it then lets every Shard go.

    While the last Requests of a Shard are being answered the next Shard is already claimed, so that
    the lanes never run dry between two.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        *,
        price: Price,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        asked: Asked,
        lookup: Lookup,
        clock: Clock,
        chance: Callable[[], float],
        config: DispatchConfig,
        troubles: Troubles,
        drained: Callable[[], None],
        meter: Meter,
    ) -> None:
        self._name = name
        self._engine = engine
        self._price = price
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._asked = asked
        self._lookup = lookup
        self._default_temperature = 1.0  # until the Engine is ready, which it is before any Shard is claimed
        self._clock = clock
        self._chance = chance
        self._config = config
        self._troubles = troubles
        self._drained = drained
        self._meter = meter
        self._walk = JointWalk(name, store=store, inputs=inputs, asked=asked)
        self._feed: Feed | None = None
        self._runs: dict[asyncio.Task[None], str] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.bell = Bell(clock)

    async def run(self) -> None:
        """Claim and run Shards until cancelled."""
        facts = await self._await_engine()
        self._default_temperature = facts.default_temperature
        feed = self._feed = Feed(
            self._engine,
            lanes=facts.lanes,
            patience_seconds=facts.patience_seconds,
            clock=self._clock,
            chance=self._chance,
            config=self._config,
        )
        try:
            while True:
                await self._await_engine()
                lease = await self._store.claim_shard(
                    self._name,
                    worker=self._name,
                    lease_seconds=self._config.lease_seconds,
                    job_id=await self._walk.step(),
                )
                if lease is None:
                    await self.bell.wait(seconds=LOOK_SECONDS)
                else:
                    await self._start(lease, feed)
        finally:
            await self._let_go(list(self._runs))

    @property
    def lanes_in_use(self) -> int:
        """How many lanes to the Engine have a Request."""
        return self._feed.lanes.in_use if self._feed is not None else 0

    async def let_go(self, job_id: str) -> None:
        """Stop working on a Job: settle what was answered, and give its Shards back."""
        await self._let_go([task for task, running in self._runs.items() if running == job_id])

    async def _start(self, lease: Lease, feed: Feed) -> None:
        """Begin a Shard, and return when its last Request has a lane or the Shard is over."""
        handed_out = asyncio.Event()
        task = asyncio.create_task(self._run_shard(lease, feed, handed_out), name=f"shard {lease}")
        self._runs[task] = lease.job_id
        task.add_done_callback(self._runs.pop)
        # Whoever stopped the Job between the claim and this line found no run to let go of.
        job = await self._store.get_job(lease.job_id)
        if job is None or job.state is not JobState.RUNNING:
            await self.let_go(lease.job_id)
        await handed_out.wait()

    async def _run_shard(self, lease: Lease, feed: Feed, handed_out: asyncio.Event) -> None:
        run = ShardRun(
            lease,
            feed,
            engine=self._name,
            store=self._store,
            blobs=self._blobs,
            inputs=self._inputs,
            asked=self._asked,
            lookup=self._lookup,
            default_temperature=self._default_temperature,
            price=self._price,
            clock=self._clock,
            config=self._config,
            settled=lambda tally, seconds: self._meter.settled(
                lease.job_id,
                tally.counts.succeeded + tally.counts.failed,
                usage=tally.usage,
                seconds=seconds,
                now=self._clock.now(),
            ),
        )
        self._meter.begin(lease.job_id, self._clock.now())

        def all_handed_out() -> None:
            self._walk.passed(run.tail)
            handed_out.set()

        try:
            await run.run(all_handed_out)
        except BaseException as error:
            await self._explain(lease, error)
        else:
            self._troubles.clear(lease.job_id)
        finally:
            self._meter.end(lease.job_id, self._clock.now())
            handed_out.set()
            self._drained()

    async def _explain(self, lease: Lease, error: BaseException) -> None:
        """Act on what ended a Shard early. Anything that may pass leaves the Shard to be claimed again."""
        causes = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        for cause in causes:
            match cause:
                case asyncio.CancelledError():
                    raise cause
                case LeaseLost():
                    logger.warning("%s", cause)
                case CorruptData():
                    await self._fail(lease, str(cause))
                case FileNotFoundError():
                    await self._fail(lease, disk.explain(cause))
                case OSError():
                    await self._wait_out(lease, disk.explain(cause))
                case _:
                    await self._pause(lease, str(cause))

    async def _fail(self, lease: Lease, why: str) -> None:
        logger.error("Job %s cannot go on: %s", lease.job_id, why)
        try:
            await self._store.fail_job(lease.job_id, why)
        except IllegalTransition:
            logger.info("Job %s has ended in the meantime.", lease.job_id)
        except OSError as error:  # the next claim comes to the same end
            await self._wait_out(lease, disk.explain(error))

    async def _wait_out(self, lease: Lease, why: str) -> None:
        self._troubles.note(why, job_id=lease.job_id)
        await self._pause(lease, why)

    async def _pause(self, lease: Lease, why: str) -> None:
        """Wait a moment: a full disk or a broken engine does not get better by being asked at once."""
        logger.error("Shard %d of Job %s stopped: %s", lease.shard, lease.job_id, why)
        task = asyncio.current_task()
        # Who lets go of the Shard is not to be kept waiting.
        if task is not None and not task.cancelling():
            await self._clock.sleep(PAUSE_SECONDS)

    async def _await_engine(self) -> EngineFacts:
        """Wait for the Engine as long as it takes: Jobs say why they wait. What is wrong is logged once."""
        told = ""
        while True:
            try:
                return await self._engine.ready()
            except EngineBroken as error:
                if str(error) != told:
                    told = str(error)
                    logger.warning("%s", told)
                await self._clock.sleep(PAUSE_SECONDS)

    async def _let_go(self, tasks: list[asyncio.Task[None]]) -> None:
        # A task that is cancelled before its first step runs no line of it, and gives no Shard back.
        await asyncio.sleep(0)
        for task in tasks:
            # Cancelled twice, it would break off settling what was answered.
            if task not in self._leaving:
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)  # not gathered: whoever is cancelled here would cancel them again
