"""Whoever is to hear how a Job ended hears it, at least once, and holds up nobody else."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from halfrate.domain.file import File, FileSource
from halfrate.domain.job import Counts, JobEvent, Notify
from halfrate.domain.webhook import Delivery, Event, EventKind, Secret, Told, Webhook, WebhookState, retry_at
from halfrate.net.post import Posted
from halfrate.store.meta.api import Tally
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.store.signing_key import SigningKey
from halfrate.upkeep import courier as module
from halfrate.upkeep.courier import EACH_MAX, IN_FLIGHT_MAX, Courier, next_ones
from halfrate.wire.gemini.webhooks import event_body
from tests.fakes import EPOCH, make_job, until

DAY = 86_400
URI = "https://hooks.test/a"


class Receivers:
    """Stands in for all of the network: what it answers is set by the host, and may have to be waited for."""

    def __init__(self):
        self.calls = []
        self.status = {}
        self.retry_after_seconds = None
        self.silent = set()
        self.let_go = asyncio.Event()

    async def post(self, url, *, headers, body):
        self.calls.append((url, headers["webhook-id"]))
        host = url.split("/")[2]
        if host in self.silent:
            await self.let_go.wait()
        status = self.status.get(host, 200)
        if not status:
            return Posted(None, "Nobody is there.")
        return Posted(status, retry_after_seconds=self.retry_after_seconds)

    @property
    def ids(self):
        return [id for _, id in self.calls]


@pytest.fixture
def store(tmp_path, clock):
    store = SqliteStore(tmp_path / "halfrate.db", clock)
    yield store
    store.close()


@pytest.fixture
async def receivers():
    return Receivers()


@pytest.fixture
def start(store, clock, receivers, tmp_path):
    """Run a Courier, as often as a test likes; leaving is its death."""

    @asynccontextmanager
    async def start():
        async def wait(*, seconds):
            await asyncio.sleep(0.001)

        courier = Courier(
            store=store,
            post=receivers.post,
            key=SigningKey(tmp_path / "key.pem"),
            encode=event_body,
            clock=clock,
            chance=lambda: 0.5,
            give_up_seconds=DAY,
            wait=wait,
            ring=lambda: None,
        )
        task = asyncio.create_task(courier.run())
        yield courier
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return start


async def register(store, id="hook", uri=URI, events=("batch.succeeded", "batch.failed")):
    webhook = Webhook(id, "", uri, events, WebhookState.ENABLED, EPOCH, EPOCH, (Secret("whsec_aaaa", EPOCH),))
    await store.create_webhook(webhook, webhooks_max=1_000)


async def end(store, job_id="job-1", **changes):
    await store.create_job(make_job(job_id, **changes), active_jobs_max=1_000)
    await store.fail_job(job_id, "broken")


async def nothing_waits(store):
    async def none() -> bool:
        return await store.deliveries_waiting() == 0

    await until(none)


async def attempted(receivers, count):
    async def so_often() -> bool:
        return len(receivers.calls) >= count

    await until(so_often)


async def test_a_receiver_is_told_once_when_it_takes_it(store, start, receivers):
    await register(store)
    await end(store)
    async with start() as courier:
        await nothing_waits(store)
        assert courier.told == {Told.DELIVERED: 1}
    assert receivers.calls == [(URI, "evt_job-1_hook")]


async def test_what_failed_is_tried_again_under_the_same_id_later_and_later(store, start, receivers, clock):
    receivers.status["hooks.test"] = 503
    await register(store)
    await end(store)
    async with start():
        for attempts, delay_seconds in enumerate([5, 10, 20, 40], start=1):
            await attempted(receivers, attempts)
            await _put_off(store, attempts)
            clock.advance(seconds=delay_seconds - 0.1)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert len(receivers.calls) == attempts
            clock.advance(seconds=0.2)
        receivers.status.clear()
        await nothing_waits(store)
    assert set(receivers.ids) == {"evt_job-1_hook"}
    assert (await store.get_webhook("hook")).state is WebhookState.ENABLED


async def _put_off(store, attempts):
    async def noted() -> bool:
        rows = store._read("deliveries_due", {"now": float("inf"), "each": 9, "limit": 9})
        return [row["attempts"] for row in rows] == [attempts]

    await until(noted)


async def test_a_webhook_that_nothing_reaches_for_a_day_is_disabled(store, start, receivers, clock):
    receivers.status["hooks.test"] = None
    await register(store)
    await end(store)
    clock.advance(seconds=DAY - 1)
    await end(store, "job-2")
    async with start() as courier:
        await nothing_waits(store)
        assert courier.told[Told.GIVEN_UP] == 2
    assert (await store.get_webhook("hook")).state is WebhookState.FAILED
    await end(store, "job-3")
    assert await store.deliveries_waiting() == 0


async def test_a_death_between_the_call_and_its_note_repeats_the_call(store, start, receivers):
    await register(store)
    await end(store)
    receivers.silent.add("hooks.test")
    async with start():
        await attempted(receivers, 1)
    receivers.silent.clear()
    async with start():
        await nothing_waits(store)
    assert receivers.ids == ["evt_job-1_hook"] * 2


async def test_a_slow_receiver_holds_up_no_other(store, start, receivers):
    receivers.silent.add("slow.test")
    for number in range(IN_FLIGHT_MAX + 20):
        notify = Notify((f"https://slow.test/{number}",))
        await end(store, f"job-{number:03}", notify=notify)
    await end(store, "job-last", notify=Notify(("https://quick.test/",)))
    async with start():
        await attempted(receivers, EACH_MAX + 1)
        assert sum("slow" in url for url, _ in receivers.calls) == EACH_MAX
        assert ("https://quick.test/", "evt_job-last_0") in receivers.calls
        receivers.let_go.set()
        await nothing_waits(store)


async def test_a_backlog_for_one_does_not_hide_what_is_due_to_another(store, start, receivers, monkeypatch):
    monkeypatch.setattr(module, "DUE_MAX", EACH_MAX + 1)
    receivers.silent.add("slow.test")
    for number in range(20):
        await end(store, f"job-{number:03}", notify=Notify(("https://slow.test/",)))
    await end(store, "job-last", notify=Notify(("https://quick.test/",)))
    async with start():
        await attempted(receivers, EACH_MAX + 1)
        assert ("https://quick.test/", "evt_job-last_0") in receivers.calls


async def test_a_webhook_that_is_disabled_hears_no_more_of_what_was_due(store, start, receivers):
    receivers.silent.add("hooks.test")
    await register(store)
    for number in range(EACH_MAX + 2):
        await end(store, f"job-{number}")
    async with start() as courier:
        await attempted(receivers, EACH_MAX)
        await store.change_webhook("hook", name=None, uri=None, events=None, state=WebhookState.DISABLED)
        receivers.let_go.set()

        async def idle() -> bool:
            return not courier._in_flight and not courier._due

        await until(idle)
    assert len(receivers.calls) == EACH_MAX


async def test_what_cannot_be_noted_is_not_told_again_meanwhile(store, start, receivers, clock, monkeypatch):
    await register(store)
    await end(store)
    delivered = store.delivered
    tried = []

    async def full(delivery_id):
        tried.append(delivery_id)
        if len(tried) == 1:
            raise OSError(28, "No space left on device")
        await delivered(delivery_id)

    monkeypatch.setattr(store, "delivered", full)
    async with start():
        await attempted(receivers, 1)

        async def waits() -> bool:
            return bool(clock.waited_for())

        await until(waits)
        clock.advance(seconds=5)
        await nothing_waits(store)
    assert len(receivers.calls) == 1


def delivery(number: int, uri: str) -> Delivery:
    return Delivery(f"evt_{number}", Event(EventKind.SUCCEEDED, EPOCH, "j"), uri, None, 0, EPOCH)


def test_so_many_calls_are_under_way_and_no_more():
    due = [delivery(number, f"https://host-{number}.test/") for number in range(IN_FLIGHT_MAX * 2)]
    assert len(next_ones(due, {})) == IN_FLIGHT_MAX
    assert next_ones(due, {str(number): "x" for number in range(IN_FLIGHT_MAX)}) == []


def test_what_is_under_way_is_not_begun_again():
    assert next_ones([delivery(1, URI), delivery(2, URI)], {"evt_1": "hooks.test"}) == [delivery(2, URI)]


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 10), (9, 2_560), (10, 3_600), (2_000, 3_600)])
def test_pauses_double_up_to_an_hour_and_are_spread(attempts, seconds):
    waiting = Delivery("e", Event(EventKind.SUCCEEDED, EPOCH), URI, None, attempts, EPOCH)
    for chance in (0.0, 0.5, 1.0):
        at = retry_at(waiting, now=EPOCH, chance=chance, give_up_seconds=DAY)
        assert at == EPOCH + seconds * (0.5 + chance)


@pytest.mark.parametrize(("wanted", "seconds"), [(None, 5), (0, 5), (120, 120), (1e9, 3_600)])
def test_a_receiver_is_left_alone_as_long_as_it_wants_up_to_an_hour(wanted, seconds):
    waiting = Delivery("e", Event(EventKind.SUCCEEDED, EPOCH), URI, None, 0, EPOCH)
    at = retry_at(waiting, now=EPOCH, chance=0.5, give_up_seconds=DAY, wanted_seconds=wanted)
    assert at == EPOCH + seconds


async def test_a_receiver_that_cannot_take_it_now_is_called_when_it_says(store, start, receivers, clock):
    receivers.status["hooks.test"], receivers.retry_after_seconds = 429, 600.0
    await register(store)
    await end(store)
    async with start() as courier:

        async def booked() -> bool:
            return courier.told[Told.FAILED] == 1

        await until(booked)
        assert await store.deliveries_due(each=9, limit=9) == []
        clock.advance(seconds=599)
        assert await store.deliveries_due(each=9, limit=9) == []
        receivers.status.clear()
        clock.advance(seconds=1)
        await nothing_waits(store)
    assert len(receivers.calls) == 2


def test_after_a_day_there_is_no_other_attempt():
    waiting = Delivery("e", Event(EventKind.SUCCEEDED, EPOCH), URI, None, 0, EPOCH)
    assert retry_at(waiting, now=EPOCH + DAY - 5, chance=0.5, give_up_seconds=DAY) == EPOCH + DAY
    assert retry_at(waiting, now=EPOCH + DAY - 4, chance=0.5, give_up_seconds=DAY) is None


def published(job_id: str) -> tuple[str, JobEvent, File]:
    file = File(
        f"batch-{job_id}", "", "jsonl", 1, "00", "outputs/x", FileSource.GENERATED, EPOCH, EPOCH + 1_000
    )
    return job_id, JobEvent.PUBLISH, file


async def test_nobody_is_told_before_the_job_is_final(store, start, receivers):
    await register(store)
    await store.create_job(make_job("job-1", counts=Counts()), active_jobs_max=9)
    await store.save_plan("job-1", [])
    assert await store.deliveries_waiting() == 0
    await store.publish_job(*published("job-1"), missing=Tally())
    assert await store.deliveries_waiting() == 1
