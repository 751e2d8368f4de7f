"""Inputs while their index is being made, and made again."""

import asyncio
from pathlib import Path

import pytest

from halfrate.config import Limits
from halfrate.ingest.chunks import Reading
from halfrate.ingest.index import IndexReader
from halfrate.ingest.indexing import SMALL_BYTES
from halfrate.ingest.inputs import Inputs
from halfrate.ingest.tasks import IndexChunk, WriteIndex
from halfrate.ingest.workers import ThreadWorkers
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import index_blob
from tests.unit.ingest.conftest import parse_lines

LINE = b'{"text": "%s"}\n' % (b"x" * 1_000_000)


class HeldWorkers(ThreadWorkers):
    """Reads the first chunk of an input, and the others when it is let."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.let = asyncio.Event()
        self.first_read = asyncio.Event()

    async def perform(self, task):
        if isinstance(task, IndexChunk) and task.start > 0:
            await self.let.wait()
        report = await super().perform(task)
        self.first_read.set()
        return report


@pytest.mark.parametrize("how", ["as it arrived", "made again"])
async def test_an_input_says_how_much_of_it_is_read(tmp_path, how):
    blobs = LocalBlobStore(tmp_path / "blobs")
    workers = HeldWorkers(blobs, Reading(parse_lines))
    inputs = Inputs(blobs, workers, parse=parse_lines, spill=tmp_path, limits=Limits())
    receiver = await inputs.receive("uploads/x")
    for _ in range(20):
        await receiver.take(LINE)
        assert inputs.percent("inputs/x") is None
    await receiver.finish("inputs/x")
    if how == "made again":
        workers.let.set()
        await inputs.read_summary("inputs/x")
        blobs.delete("indexes/inputs/x")
        workers.let.clear()
        workers.first_read.clear()
    building = asyncio.create_task(inputs.read_summary("inputs/x"))
    async with asyncio.timeout(20):
        await workers.first_read.wait()
        while not inputs.percent("inputs/x"):
            await asyncio.sleep(0.005)
    percent = inputs.percent("inputs/x")
    assert percent is not None
    assert 0 < percent < 99
    workers.let.set()
    assert (await building).requests == 20
    assert inputs.percent("inputs/x") is None
    await inputs.close()


async def test_an_index_is_there_all_the_time_while_it_is_made_again(tmp_path: Path) -> None:
    """Two Jobs of one input may find the damage at once, and a third one may read what is whole."""
    blobs = LocalBlobStore(tmp_path / "blobs")
    workers = ThreadWorkers(blobs, Reading(parse_lines))
    inputs = Inputs(blobs, workers, parse=parse_lines, spill=tmp_path / "spill", limits=Limits())
    with blobs.writer("inputs/x") as writer:
        writer.write(b'{"key": "a"}\n{"key": "b"}\n')
        writer.commit()
    await inputs.read_summary("inputs/x")
    with blobs.writer(index_blob("inputs/x")) as writer:
        writer.write(b"nonsense")
        writer.commit()

    mending = [asyncio.create_task(inputs.mend("inputs/x")) for _ in range(2)]
    while not all(task.done() for task in mending):
        blobs.reader(index_blob("inputs/x")).__exit__(None, None, None)
        await asyncio.sleep(0)
    await asyncio.gather(*mending)
    with blobs.reader(index_blob("inputs/x")) as reader:
        IndexReader(reader).check()
    await inputs.close()


class CountedWorkers(ThreadWorkers):
    """Counts what it is asked."""

    performed = 0

    async def perform(self, task):
        self.performed += 1
        return await super().perform(task)


@pytest.mark.parametrize(("size_bytes", "is_small"), [(SMALL_BYTES, True), (SMALL_BYTES + 1, False)])
async def test_a_small_input_is_not_handed_to_a_process(tmp_path, size_bytes, is_small):
    """An inline batch of a few lines would wait for a process to start."""
    blobs = LocalBlobStore(tmp_path / "blobs")
    large, small = (CountedWorkers(blobs, Reading(parse_lines)) for _ in range(2))
    inputs = Inputs(blobs, large, parse=parse_lines, spill=tmp_path / "spill", limits=Limits(), small=small)
    with blobs.writer("inputs/x") as writer:
        writer.write(b'{"text": "x"}'.ljust(size_bytes))
        writer.commit()
    assert (await inputs.read_summary("inputs/x")).requests == 1
    assert (large.performed > 0, small.performed > 0) == (not is_small, is_small)


async def test_an_input_that_is_discarded_while_it_is_indexed_leaves_no_index(tmp_path):
    blobs = LocalBlobStore(tmp_path / "blobs")

    class Discarding(ThreadWorkers):
        async def perform(self, task):
            if isinstance(task, WriteIndex):
                inputs.discard("inputs/x")
            return await super().perform(task)

    workers = Discarding(blobs, Reading(parse_lines))
    inputs = Inputs(blobs, workers, parse=parse_lines, spill=tmp_path / "spill", limits=Limits())
    with blobs.writer("inputs/x") as writer:
        writer.write(b'{"text": "x"}\n')
        writer.commit()
    await inputs.read_summary("inputs/x")
    assert inputs.names() == []
