"""Runs one Shard under its Lease: what it does not have yet is answered and settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from halfrate.clock import Clock
from halfrate.config import DispatchConfig
from halfrate.crashpoints import CrashPoint, reach
from halfrate.dispatch.ahead import Ahead
from halfrate.dispatch.assignments import Asked, assignments
from halfrate.dispatch.feed import Feed
from halfrate.dispatch.lanes import Taken
from halfrate.dispatch.sink import Settled, Sink
from halfrate.domain.errors import CorruptData, LeaseLost
from halfrate.domain.job import Job
from halfrate.domain.outcome import Failed, Outcome
from halfrate.domain.request import AnyRequest, Request
from halfrate.domain.result import Assignment, Result
from halfrate.domain.shard import Lease, SegmentRef, Shard
from halfrate.engines.api import Took
from halfrate.ingest.inputs import Inputs
from halfrate.lookup.lookup import Lookup, is_whole
from halfrate.lookup.web import Informed
from halfrate.metering.price import Price
from halfrate.planner.longest import longest_first
from halfrate.planner.prefix import sort_key
from halfrate.results.segment import SegmentWriter, read_segment
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import segment_blob, segment_blob_of
from halfrate.store.meta.api import MetaStore


class ShardRun:
    """One Worker's work on one Shard.

    A Worker that dies leaves settled Results behind; the next Lease's run skips them.
    """

    def __init__(
        self,
        lease: Lease,
        feed: Feed,
        *,
        engine: str,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        asked: Asked,
        lookup: Lookup,
        default_temperature: float,
        price: Price,
        clock: Clock,
        config: DispatchConfig,
        settled: Settled,
    ) -> None:
        self.lease = lease
        self._engine = engine
        self._feed = feed
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._asked = asked
        self._lookup = lookup
        self._default_temperature = default_temperature
        self._price = price
        self._clock = clock
        self._config = config
        self._on_settled = settled
        self.tail = b""
        """The sort key of the last Request that is to be answered, once that is known."""

    async def run(self, handed_out: Callable[[], None]) -> None:
        """Answer and settle, then close the Shard. Call ``handed_out`` when the last Request has a lane.

        Cancelled or failing, it settles what has been answered and gives the Shard back. Raise
        `LeaseLost` when another Worker holds the Shard, alone or in an `ExceptionGroup`.
        """
        lease = self.lease
        try:
            job = await self._job()
            pending = await self._pending(job)
            self.tail = sort_key(pending[-1].request) if pending else b""
        except BaseException:
            await self._store.release_shard(lease)
            raise
        reach(CrashPoint.SHARD_READ_AFTER)
        with self._blobs.appender(segment_blob(lease.job_id, lease.shard, lease.token)) as appender:
            writer = SegmentWriter(appender)
            async with Sink(
                lease,
                writer,
                store=self._store,
                price=self._price,
                clock=self._clock,
                settled=self._on_settled,
            ) as sink:
                try:
                    await self._answer_all(job, pending, sink, handed_out)
                    reach(CrashPoint.SHARD_ANSWER_AFTER)
                    await sink.close()
                except BaseException:
                    try:
                        await sink.close()
                    finally:  # also when nothing can be settled any more, as on a full disk
                        await self._store.release_shard(lease)
                    raise
                await self._store.finish_shard(lease)

    async def _answer_all(
        self, job: Job, pending: list[Assignment], sink: Sink, handed_out: Callable[[], None]
    ) -> None:
        async with asyncio.TaskGroup() as group:
            guards = [group.create_task(self._keep_lease()), group.create_task(sink.failure())]
            answers = []
            unasked = Ahead(
                self._add_failed(job, pending, sink), fetch=partial(self._fetch, job), group=group
            )
            while count := await unasked.ready():
                await sink.room()
                lanes = await self._feed.lanes.take(count)
                chunk = unasked.take(lanes.count)
                answer = group.create_task(self._answer(job, chunk, lanes, sink))
                # Not in the task itself: one that is cancelled before its first step runs no line of it.
                answer.add_done_callback(partial(_give_back, lanes))
                answers.append(answer)
            handed_out()
            # The group would wait for the guards too, which end only when there is nothing to guard.
            await asyncio.gather(*answers)
            for guard in guards:
                guard.cancel()

    async def _answer(self, job: Job, chunk: list[Assignment], lanes: Taken, sink: Sink) -> None:
        other = self._unless_own(job)

        def took(position: int, outcome: Outcome) -> None:
            sink.add([Result(asker, outcome, other) for asker in chunk[position].askers])
            lanes.give_one_back()

        # All of them: those that have failed already were not handed out.
        requests = [a.request for a in chunk if not isinstance(a.request, Failed)]
        if all(map(is_whole, requests)):
            await self._feed.answer(requests, took)
        else:
            await self._answer_looked_up(job, requests, took)

    async def _answer_looked_up(self, job: Job, requests: Sequence[AnyRequest], took: Took) -> None:
        """Look up what the Requests name, when they have their lanes: no more is held of it at a time."""
        positions: list[int] = []
        whole: list[AnyRequest] = []
        told: list[Callable[[Outcome], Outcome]] = []
        # Together: to find out how much of its pages fits takes each of them some turns of the Engine.
        every = await asyncio.gather(*(self._informed(job, request) for request in requests))
        for position, found in enumerate(every):
            if isinstance(found, Failed):
                took(position, found)
            else:
                positions.append(position)
                whole.append(found.request)
                told.append(found.told)
        if whole:
            await self._feed.answer(whole, lambda nth, outcome: took(positions[nth], told[nth](outcome)))

    async def _fetch(self, job: Job, request: Request) -> None:
        await self._lookup.fetch(request, job_id=job.id)

    async def _informed(self, job: Job, request: AnyRequest) -> Informed | Failed:
        if not isinstance(request, Request):
            return Informed(request)
        whole = await self._lookup.whole(request, engine=self._engine, at=job.created_at)
        if isinstance(whole, Failed):
            return whole
        return await self._lookup.informed(whole, engine=self._feed.engine, job_id=job.id)

    def _add_failed(self, job: Job, pending: list[Assignment], sink: Sink) -> list[Assignment]:
        """Settle what can already be seen to have no answer, and return what is to be asked."""
        unasked: list[Assignment] = []
        other = self._unless_own(job)
        for assignment in pending:
            match assignment.request:
                case Failed() as failed:
                    sink.add([Result(asker, failed, other) for asker in assignment.askers])
                case _:
                    unasked.append(assignment)
        return unasked

    def _unless_own(self, job: Job) -> str | None:
        """Return this Engine, None if it is the Job's own: Results are that one's where they say nothing."""
        return None if self._engine == job.engine else self._engine

    async def _keep_lease(self) -> None:
        while True:
            await self._clock.sleep(self._config.lease_seconds / 3)
            await self._store.renew_lease(self.lease, lease_seconds=self._config.lease_seconds)

    async def _job(self) -> Job:
        job = await self._store.get_job(self.lease.job_id)
        if job is None:
            raise LeaseLost(f"Job {self.lease.job_id} was deleted.")
        return job

    async def _pending(self, job: Job) -> list[Assignment]:
        """Return what of the Shard has no Result yet, in order."""
        shard = await self._store.get_shard(job.id, self.lease.shard)
        segments = await self._store.segments(job.id, self.lease.shard)
        settled = await asyncio.to_thread(self._settled, segments)
        try:
            return await asyncio.to_thread(self._load, job, shard, settled)
        except (CorruptData, FileNotFoundError):
            await self._inputs.mend(job.input_blob)
            return await asyncio.to_thread(self._load, job, shard, settled)

    def _settled(self, segments: Sequence[SegmentRef]) -> set[int]:
        settled: set[int] = set()
        for segment in segments:
            with self._blobs.reader(segment_blob_of(segment)) as reader:
                results = read_segment(reader, segment.settled_bytes)
                settled.update(result.asker.ordinal for result in results)
        return settled

    def _load(self, job: Job, shard: Shard, settled: set[int]) -> list[Assignment]:
        with self._inputs.lines(job.input_blob) as lines:
            if lines.order_version != job.order_version:
                raise CorruptData(
                    f"It was planned in order {job.order_version} by another halfrate, and its lines are in "
                    f"order {lines.order_version} by now: create it again."
                )
            whole = assignments(
                lines.in_run_order(shard.first, shard.requests),
                # Where the index keeps apart what names a model, the plan has sent it to that one's Engine.
                model=None if lines.parted_by_model else job.model,
                kind=job.kind,
                asked=self._asked,
                default_temperature=self._default_temperature,
                refusal=shard.refusal,
            )
        pending = [left for assignment in whole if (left := _without(assignment, settled))]
        # While another Shard follows, nothing waits for the end of this one.
        is_last = shard.first + shard.requests == job.counts.requests
        return longest_first(pending) if is_last else pending


def _give_back(lanes: Taken, _: asyncio.Task[None]) -> None:
    lanes.give_back()


def _without(assignment: Assignment, settled: set[int]) -> Assignment | None:
    """Return what is left of an Assignment when some of its Askers have their Results."""
    askers = tuple(asker for asker in assignment.askers if asker.ordinal not in settled)
    return Assignment(assignment.request, askers) if askers else None
