"""Real worker processes: what they report, and what becomes of the tasks of those that die."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from halfrate.config import Limits
from halfrate.domain.errors import CorruptData
from halfrate.ingest import workers as workers_module
from halfrate.ingest.indexing import Indexing
from halfrate.ingest.tasks import Chunk, CutShards, IndexChunk
from halfrate.ingest.workers import ProcessWorkers
from halfrate.store.blob.local import LocalBlobStore
from tests.fakes import line

GONE_SECONDS = 20
MORTAL = Path(__file__).parents[2] / "support" / "mortal_worker.py"


def chunk(tmp_path, blob="in", **changes):
    values = {
        "blob": blob,
        "start": 0,
        "stop": 1 << 20,
        "last": True,
        "line_bytes_max": 1 << 20,
        "prompts_run": str(tmp_path / "prompts"),
        "keys_run": str(tmp_path / "keys"),
    }
    return IndexChunk(**(values | changes))


async def until(condition):
    async with asyncio.timeout(GONE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_reports_what_a_chunk_came_to(tmp_path):
    (tmp_path / "in").write_bytes(line("a") + b"\n" + line("b") + b"\nbad\n")
    async with ProcessWorkers(tmp_path) as workers:
        done = await workers.perform(chunk(tmp_path))
        assert isinstance(done, Chunk)
        assert (done.report.lines, done.report.requests, done.report.bad) == (3, 3, 1)
        assert len(workers.pids) == 1
    assert workers.pids == []


async def test_errors_come_back_as_what_they_were(tmp_path):
    (tmp_path / "in").write_bytes(line("a"))
    (tmp_path / "index").write_bytes(b"none")
    async with ProcessWorkers(tmp_path, processes=1) as workers:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            await workers.perform(chunk(tmp_path, blob="nowhere"))
        with pytest.raises(CorruptData, match="index"):
            await workers.perform(CutShards(blob="index", sections=[1], requests_max=1, bytes_max=1))
        with pytest.raises(NotADirectoryError):
            await workers.perform(chunk(tmp_path, prompts_run=str(tmp_path / "in" / "run")))
        assert isinstance(await workers.perform(chunk(tmp_path)), Chunk)
        assert len(workers.pids) == 1, "an error is no reason for a worker to end"


async def test_the_task_of_a_worker_that_is_killed_is_done_again(tmp_path):
    os.mkfifo(tmp_path / "in")  # the worker waits in there
    async with ProcessWorkers(tmp_path, processes=1) as workers:
        task = asyncio.create_task(workers.perform(chunk(tmp_path)))
        await until(lambda: workers.pids)
        (killed,) = workers.pids
        (tmp_path / "real").write_bytes(line("a"))
        (tmp_path / "real").replace(tmp_path / "in")
        os.kill(killed, signal.SIGKILL)
        done = await task
        assert isinstance(done, Chunk)
        assert done.report.requests == 1
        assert workers.pids != [killed]


async def test_an_input_that_kills_every_worker_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "in")
    async with ProcessWorkers(tmp_path, processes=1) as workers:
        task = asyncio.create_task(workers.perform(chunk(tmp_path)))
        killed: set[int] = set()
        while len(killed) < 3:
            await until(partial(lambda known: set(workers.pids) - known, killed))
            (pid,) = set(workers.pids) - killed
            killed = killed | {pid}
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(CorruptData, match="Blob in cannot be read: 3 ingest workers died"):
            await task
        (tmp_path / "other").write_bytes(line("a"))
        assert isinstance(await workers.perform(chunk(tmp_path, blob="other")), Chunk)


async def test_who_does_not_wait_any_more_holds_up_nobody(tmp_path):
    (tmp_path / "in").write_bytes(line("a"))
    async with ProcessWorkers(tmp_path, processes=1) as workers:
        given_up = [asyncio.create_task(workers.perform(chunk(tmp_path))) for _ in range(3)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        assert isinstance(await workers.perform(chunk(tmp_path)), Chunk)


async def test_no_worker_outlives_the_process_it_works_for(tmp_path):
    (tmp_path / "in").write_bytes(line("a"))
    async with ProcessWorkers(tmp_path, processes=1) as workers:
        await workers.perform(chunk(tmp_path))
        (pid,) = workers.pids
        for child in workers._children:
            child.stdin.close()  # as the kernel does when its parent is killed
        await until(lambda: not workers.pids)
    assert not alive(pid)


@pytest.mark.parametrize(
    "point", ["run.write.after", "keys.compare.after", "index.commit.before", "index.commit.after"]
)
async def test_a_worker_may_die_at_any_point_of_its_tasks(tmp_path, monkeypatch, point):
    """The worker that takes its place does the task again, from the beginning, and it comes out the same."""
    lines = b"\n".join(line(f"say {number % 7}", f"k{number % 9}") for number in range(20))
    expected = await index_of(lines, tmp_path / "expected")
    died = tmp_path / "died"
    monkeypatch.setenv("DIE_AT", point)
    monkeypatch.setenv("DIED", str(died))
    monkeypatch.setattr(workers_module, "WORKER", (str(MORTAL),))
    assert await index_of(lines, tmp_path / "found") == expected
    assert died.exists()


async def index_of(data, root):
    """Have processes make the index of an input, and return its summary and its bytes."""
    blobs = LocalBlobStore(root)
    with blobs.writer("inputs/x") as writer:
        writer.write(data)
        writer.commit()
    async with ProcessWorkers(root, processes=1) as workers:
        indexing = Indexing("inputs/x", workers, folder=root / "spill", limits=Limits())
        indexing.arrived(data)
        summary = await indexing.finish("inputs/x")
    return summary, (root / "indexes" / "inputs" / "x").read_bytes()
