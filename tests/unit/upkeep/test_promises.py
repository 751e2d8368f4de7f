"""Jobs that break their promise are told of, once."""

import logging

import pytest

from halfrate.domain.outlook import Outlook, Promise
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.upkeep.promises import PromiseWatch
from tests.fakes import EPOCH, make_job


@pytest.fixture
def store(tmp_path, clock):
    store = SqliteStore(tmp_path / "halfrate.db", clock)
    yield store
    store.close()


async def test_a_job_that_will_be_late_is_warned_of_once(store, clock, caplog):
    for name in ("late", "unknown", "kept", "ended"):
        await store.create_job(make_job(name), active_jobs_max=100)
    await store.fail_job("ended", "x")
    holds = {"unknown": None, "kept": True, "late": True, "ended": False}

    async def outlook(job):
        return Outlook(promise=Promise(EPOCH, holds[job.id], "It is slow."))

    watch = PromiseWatch(store=store, outlook=outlook, clock=clock, every_seconds=30)
    with caplog.at_level(logging.WARNING):
        await watch.look()
        assert caplog.messages == []
        holds["late"] = False
        await watch.look()
        await watch.look()
    assert caplog.messages == ["Job late will not be done as promised: It is slow."]
