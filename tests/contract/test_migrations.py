"""Data directories of earlier versions go on."""

from pathlib import Path

import apsw
import pytest

from halfrate.domain.job import JobState
from halfrate.domain.shard import SegmentRef, Shard, Share
from halfrate.domain.snapshot import Snapshot
from halfrate.domain.waiting import Ahead
from halfrate.store.meta.api import Tally
from halfrate.store.meta.migrations import migrations
from halfrate.store.meta.sqlite import SqliteStore
from tests.fakes import EPOCH


def database_of_version(path: Path, version: int) -> apsw.Connection:
    """An empty database as the version of halfrate had it that knew so many steps."""
    connection = apsw.Connection(str(path))
    for step in migrations()[:version]:
        connection.execute(step)
    connection.execute(f"PRAGMA user_version = {version}")
    return connection


def add_job(connection: apsw.Connection, id: str, state: str, *, planned: bool, engine: str) -> None:
    connection.execute(
        "INSERT INTO job (id, model, engine, display_name, priority, state, input_blob, keep_going,"
        " created_at, updated_at, deadline, planned, requests)"
        " VALUES (?, 'models/gemini-x', ?, '', 0, ?, 'inputs/1', 0, ?, ?, ?, ?, 5)",
        (id, engine, state, EPOCH, EPOCH, EPOCH + 1_000, planned),
    )


@pytest.fixture
def before_shards_of_engines(tmp_path: Path) -> Path:
    path = tmp_path / "halfrate.db"
    connection = database_of_version(path, 11)
    add_job(connection, "planned", "RUNNING", planned=True, engine="pocket-1")
    add_job(connection, "elsewhere", "PENDING", planned=True, engine="big-model")
    add_job(connection, "unplanned", "PENDING", planned=False, engine="pocket-1")
    connection.execute(
        "INSERT INTO shard (job_id, number, state, first, requests, token) VALUES"
        " ('planned', 0, 'DONE', 0, 2, 1), ('planned', 1, 'OPEN', 2, 3, 1), ('elsewhere', 0, 'OPEN', 0, 5, 0)"
    )
    connection.execute("INSERT INTO segment VALUES ('planned', 0, 1, 90, 2)")
    connection.execute("UPDATE job SET succeeded = 2 WHERE id = 'planned'")
    connection.close()
    return path


async def test_a_job_planned_before_shards_had_engines_goes_on(before_shards_of_engines, clock):
    """All of it is its own Engine's, as it was: what is left of it is claimed there, and it drains."""
    store = SqliteStore(before_shards_of_engines, clock)
    try:
        assert await store.get_shard("planned", 1) == Shard("planned", 1, 2, 3, "pocket-1")
        assert (await store.get_shard("elsewhere", 0)).engine == "big-model"
        job = await store.get_job("planned")
        assert (job.engines, await store.shares(job)) == (("pocket-1",), [Share("pocket-1", 5, 2)])
        unplanned = await store.get_job("unplanned")
        assert await store.ahead(unplanned, "pocket-1") == Ahead(jobs=1, requests=3)
        assert await store.snapshot("planned") == Snapshot("planned", 1)
        lease = await store.claim_shard("pocket-1", "worker", lease_seconds=30)
        assert (lease.job_id, lease.shard, lease.token) == ("planned", 1, 2)
        assert await store.claim_shard("pocket-1", "worker", lease_seconds=30) is None
        await store.settle(lease, SegmentRef("planned", 1, 2, 50, 0), Tally())
        await store.finish_shard(lease)
        assert (await store.get_job("planned")).state is JobState.ASSEMBLING
        assert await store.claim_shard("big-model", "worker", lease_seconds=30) is not None
    finally:
        store.close()
