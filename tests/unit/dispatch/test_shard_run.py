"""One Shard from its Requests to its end, beside others that want the same lanes."""

import asyncio
from pathlib import Path

import pytest

from halfrate.config import DispatchConfig
from halfrate.dispatch import sink as sink_module
from halfrate.dispatch.feed import Feed
from halfrate.dispatch.shard_run import ShardRun
from halfrate.domain.errors import LeaseLost
from halfrate.domain.outcome import Answered, Cause, Failed
from halfrate.domain.request import Message, Request, Role
from halfrate.domain.result import Asker, Assignment
from halfrate.domain.shard import Lease
from halfrate.engines.scripted import ScriptedEngine, failing
from halfrate.metering.price import Price
from halfrate.results.segment import read_segment
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import segment_blob_of
from tests.fakes import FakeClock, make_job

LEASE = Lease("job-1", 0, 1, "w", 0.0)


def assignment(ordinal: int, text: str = "hello", *, twins: int = 0) -> Assignment:
    askers = tuple(Asker(n, f"k{n}") for n in range(ordinal, ordinal + twins + 1))
    return Assignment(Request((Message(Role.USER, text),)), askers)


class Store:
    """The half of a MetaStore that a Shard's run calls, and what it said."""

    def __init__(self) -> None:
        self.segment = None
        self.ended = []
        self.settling = asyncio.Event()
        self.settling.set()
        self.refuse = False

    async def settle(self, lease, segment, tally):
        await self.settling.wait()
        if self.refuse:
            raise LeaseLost("another worker has it")
        self.segment = segment

    async def finish_shard(self, lease):
        self.ended.append("finished")

    async def release_shard(self, lease):
        self.ended.append("released")


class Run(ShardRun):
    """A Shard with these Assignments."""

    def __init__(self, pending, feed, store, folder: Path) -> None:
        super().__init__(
            LEASE,
            feed,
            engine="pocket-1",
            store=store,
            blobs=LocalBlobStore(folder),
            inputs=None,
            asked=None,
            lookup=None,
            default_temperature=0.0,
            price=Price.of(input=2, output=4, cached_input=0),
            clock=FakeClock(),
            config=DispatchConfig(),
            settled=lambda *_: None,
        )
        self._given = pending
        self._folder = folder
        self.handed_out = asyncio.Event()

    async def _job(self):
        return make_job()

    async def _pending(self, job):
        return self._given

    async def go(self) -> None:
        await self.run(self.handed_out.set)

    def settled(self, segment) -> dict:
        with LocalBlobStore(self._folder).reader(segment_blob_of(segment)) as reader:
            results = list(read_segment(reader, segment.settled_bytes))
        assert len({result.asker.ordinal for result in results}) == len(results)
        return {result.asker.ordinal: result.outcome for result in results}


@pytest.fixture
async def store():
    return Store()


def feed_of(engine: ScriptedEngine, lanes: int) -> Feed:
    return Feed(engine, lanes=lanes, clock=FakeClock(), chance=lambda: 0.0, config=DispatchConfig())


async def eventually(what) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.001)


async def test_every_asker_gets_its_result(store, tmp_path):
    """Twins, and lines that failed before any Engine saw them, among them."""
    failed = Assignment(Failed(Cause.INVALID, "why"), (Asker(90), Asker(91)))
    given = [assignment(0, "a"), failed, assignment(1, "b", twins=2), assignment(10, "bad")]
    async with ScriptedEngine(failing("bad")) as engine:
        run = Run(given, feed_of(engine, 2), store, tmp_path)
        await run.go()
        assert engine.calls == 3
    settled = run.settled(store.segment)
    assert {n for n, outcome in settled.items() if isinstance(outcome, Answered)} == {0, 1, 2, 3}
    assert {n for n, outcome in settled.items() if isinstance(outcome, Failed)} == {10, 90, 91}
    assert settled[3].text == "b"
    assert store.ended == ["finished"]


async def test_no_more_are_on_their_way_than_there_are_lanes(store, tmp_path):
    async with ScriptedEngine(delay_seconds=0.001, lanes=64) as engine:
        await Run([assignment(n) for n in range(60)], feed_of(engine, 7), store, tmp_path).go()
        assert (engine.calls, engine.in_flight_max) == (60, 7)


async def test_a_lane_is_free_again_when_its_request_is_answered(store, tmp_path):
    """Not when the slowest of its chunk is: the Engine never runs dry."""
    clock = FakeClock()
    async with ScriptedEngine(delay_seconds=1, lanes=1, clock=clock) as engine:
        run = Run([assignment(n) for n in range(4)], feed_of(engine, 2), store, tmp_path)
        task = asyncio.create_task(run.go())
        await eventually(lambda: len(engine.in_flight) == 2)
        for answered in (1, 2):
            clock.advance(seconds=1)
            await eventually(lambda n=answered: len(engine.answered) == n)
            await eventually(lambda: len(engine.in_flight) == 2)
        for _ in range(2):
            clock.advance(seconds=1)
            await asyncio.sleep(0.001)
        await task


async def test_a_run_that_is_cancelled_settles_what_it_has_and_lets_others_go_on(store, tmp_path):
    """Every lane is given back, those of chunks that never began among them."""
    async with ScriptedEngine(delay_seconds=60, lanes=2) as engine:
        feed = feed_of(engine, 4)
        run = Run([assignment(n) for n in range(9)], feed, store, tmp_path)
        run._given.insert(0, Assignment(Failed(Cause.INVALID, "why"), (Asker(77),)))
        task = asyncio.create_task(run.go())
        await eventually(lambda: len(engine.in_flight) == 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert engine.in_flight == []
        async with asyncio.timeout(5):
            assert (await feed.lanes.take(9)).count == 4
    assert store.ended == ["released"]
    assert list(run.settled(store.segment)) == [77]


async def test_a_run_waits_for_the_disk_before_it_asks_for_more(store, tmp_path, monkeypatch):
    """Answers that cannot be settled yet stay bounded, however fast the Engine is."""
    monkeypatch.setattr(sink_module, "WAITING_MAX", 8)
    monkeypatch.setattr(sink_module, "GROUP_ENOUGH", 1)
    store.settling.clear()
    async with ScriptedEngine() as engine:
        run = Run([assignment(n) for n in range(100)], feed_of(engine, 4), store, tmp_path)
        task = asyncio.create_task(run.go())
        await eventually(lambda: engine.calls >= 8)
        await asyncio.sleep(0.05)
        assert engine.calls <= 8 + 4 + 4
        store.settling.set()
        await task
    assert len(run.settled(store.segment)) == 100


async def test_a_lost_lease_ends_the_run_in_the_middle_of_its_answers(store, tmp_path, monkeypatch):
    """Nothing it would answer counts any more: it does not wait for the slow ones."""
    monkeypatch.setattr(sink_module, "GROUP_ENOUGH", 1)
    store.refuse = True
    async with ScriptedEngine(delay_seconds=60) as engine:
        given = [assignment(0), Assignment(Failed(Cause.INVALID, "why"), (Asker(5),))]
        task = asyncio.create_task(Run(given, feed_of(engine, 4), store, tmp_path).go())
        await eventually(task.done)
        with pytest.raises(LeaseLost):
            await task
        assert engine.in_flight == []
