"""Groups of Results on their way to being settled."""

import asyncio

import pytest

from halfrate.clock import WallClock
from halfrate.dispatch import sink as sink_module
from halfrate.dispatch.sink import Sink, tally
from halfrate.domain.errors import LeaseLost
from halfrate.domain.job import Counts
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.shard import Lease
from halfrate.domain.usage import Usage
from halfrate.metering.price import Price
from tests.fakes import FakeClock

LEASE = Lease("job-1", 0, 1, "w", 0.0)
PRICE = Price.of(input=2, output=4, cached_input=0)


def answer(ordinal: int) -> Result:
    return Result(Asker(ordinal), Answered.of("yes", Finish.STOP, Usage(10, 5, 0)))


class Writer:
    """Keeps groups apart, and notes when they were synced."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.synced = 0

    def append(self, results):
        self.groups.append([result.asker.ordinal for result in results])
        return sum(len(group) for group in self.groups) * 10

    def sync(self):
        self.synced = len(self.groups)


class Store:
    """Settles when it is let, and only what was synced before."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.gate = asyncio.Event()
        self.gate.set()
        self.settled: list[tuple[int, int, int]] = []
        self.refuse = False

    async def settle(self, lease, segment, tally):
        await self.gate.wait()
        if self.refuse:
            raise LeaseLost("another worker has it")
        assert self.writer.synced == len(self.writer.groups), "settled before it was durable"
        self.settled.append((segment.settled_bytes, segment.results, tally.counts.succeeded))


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture
async def store(writer):
    return Store(writer)


async def test_what_gathers_while_a_group_is_settled_is_the_next_group(writer, store):
    store.gate.clear()
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        sink.add([answer(0)])
        while not writer.groups:
            await asyncio.sleep(0.001)
        for ordinal in range(1, 6):
            sink.add([answer(ordinal)])
        store.gate.set()
        await sink.close()
    assert writer.groups == [[0], [1, 2, 3, 4, 5]]
    assert store.settled == [(10, 1, 1), (60, 6, 5)]


async def test_a_group_gathers_for_a_while_but_the_end_does_not_wait(writer, store):
    """A clock that stands still: only enough Results, or the end, make a group."""
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=FakeClock()) as sink:
        for ordinal in range(3):
            sink.add([answer(ordinal)])
            await asyncio.sleep(0.01)
        assert writer.groups == []
        sink.add([answer(ordinal) for ordinal in range(3, sink_module.GROUP_ENOUGH)])
        while not writer.groups:
            await asyncio.sleep(0.001)
        sink.add([answer(9_999)])
        await sink.close()
    assert [len(group) for group in writer.groups] == [sink_module.GROUP_ENOUGH, 1]


async def test_nobody_waits_for_the_disk_until_too_much_waits_for_it(writer, store, monkeypatch):
    monkeypatch.setattr(sink_module, "WAITING_MAX", 3)
    monkeypatch.setattr(sink_module, "GROUP_ENOUGH", 1)
    store.gate.clear()
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        sink.add([answer(0)])
        while not writer.groups:
            await asyncio.sleep(0.001)
        sink.add([answer(1), answer(2)])
        async with asyncio.timeout(5):
            await sink.room()
        sink.add([answer(3)])
        held = asyncio.create_task(sink.room())
        await asyncio.sleep(0.01)
        assert not held.done()
        store.gate.set()
        await held
        await sink.close()
    assert [ordinal for group in writer.groups for ordinal in group] == [0, 1, 2, 3]


async def test_a_lost_lease_is_told_to_whoever_watches_asks_for_room_or_closes(writer, store):
    store.refuse = True
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        watching = asyncio.create_task(sink.failure())
        sink.add([answer(0)])
        with pytest.raises(LeaseLost):
            await watching
        with pytest.raises(LeaseLost):
            await sink.room()
        with pytest.raises(LeaseLost):
            await sink.close()
        sink.add([answer(1)])


async def test_whoever_waits_for_room_is_told_of_a_failure(writer, store, monkeypatch):
    """Else it would wait for ever: nothing makes room any more."""
    monkeypatch.setattr(sink_module, "WAITING_MAX", 1)
    store.refuse = True
    store.gate.clear()
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        sink.add([answer(0)])
        while not writer.groups:
            await asyncio.sleep(0.001)
        sink.add([answer(1)])
        held = asyncio.create_task(sink.room())
        await asyncio.sleep(0)
        store.gate.set()
        async with asyncio.timeout(5):
            with pytest.raises(LeaseLost):
                await held


async def test_a_watch_ends_when_all_went_well(writer, store):
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        watching = asyncio.create_task(sink.failure())
        sink.add([answer(0)])
        await sink.close()
        await watching


async def test_who_is_cancelled_while_it_waits_for_the_end_stops_nothing(writer, store):
    store.gate.clear()
    async with Sink(LEASE, writer, store=store, price=PRICE, clock=WallClock()) as sink:
        sink.add([answer(0)])
        closing = asyncio.create_task(sink.close())
        while not writer.groups:
            await asyncio.sleep(0.001)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        assert closing.cancelled()
        store.gate.set()
        await sink.close()
    assert store.settled == [(10, 1, 1)]


def test_answers_are_paid_for_and_errors_are_not():
    failed = Result(Asker(1), Failed(Cause.INVALID, "why"))
    added = tally([answer(0), failed, answer(2)], PRICE)
    assert added.counts == Counts(succeeded=2, failed=1)
    assert added.usage == Usage(20, 10, 0)
    assert (added.cost_picos, added.interactive_cost_picos) == (20 * 1 + 10 * 2, 20 * 2 + 10 * 4)
