"""Outputs that are being written when the process is to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from halfrate.dispatch.assembling import Assembler
from halfrate.dispatch.troubles import Troubles
from halfrate.domain.job import Counts, JobState
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import output_blob
from halfrate.store.meta.api import Tally
from tests.engines import eventually
from tests.fakes import FakeClock, make_job


class Endless:
    """An output that has always one more line."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.left = threading.Event()

    def whole(self, job: object, segments: object) -> Iterator[bytes]:
        try:
            while True:
                self.begun.set()
                yield b"{}\n"
        finally:
            self.left.set()


class OneJob:
    """A store with one Job that is to be assembled."""

    job = make_job(state=JobState.RUNNING, counts=Counts(1_000_000))

    async def jobs_to_assemble(self) -> list[object]:
        return [self.job]

    async def get_job(self, job_id: str) -> object:
        return self.job

    async def segments(self, job_id: str) -> list[object]:
        return []


class DeletedJob(OneJob):
    """A store whose Job nobody can see any more."""

    def __init__(self) -> None:
        self.ended: list[object] = []

    async def jobs_to_assemble(self) -> list[object]:
        return [] if self.ended else [self.job]

    async def get_job(self, job_id: str) -> object:
        return None

    async def publish_job(self, job_id: str, event: object, output: object, *, missing: Tally) -> None:
        self.ended = [job_id, output, missing.counts.failed]


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path)


def assembler(store: OneJob, blobs: LocalBlobStore, output: Endless) -> Assembler:
    clock = FakeClock()
    return Assembler(
        store=store,  # type: ignore[arg-type]
        blobs=blobs,
        output=output,  # type: ignore[arg-type]
        count=None,  # type: ignore[arg-type]
        clock=clock,
        troubles=Troubles(clock),
        keep_output_seconds=1,
    )


async def test_a_process_that_is_to_end_does_not_wait_for_all_the_lines(blobs: LocalBlobStore) -> None:
    output = Endless()
    running = asyncio.create_task(assembler(OneJob(), blobs, output).run())
    await eventually(output.begun.is_set)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await eventually(output.left.is_set)
    with pytest.raises(FileNotFoundError):
        blobs.reader(output_blob(OneJob.job.id))


async def test_a_job_that_was_deleted_ends_without_its_output(blobs: LocalBlobStore) -> None:
    store, output = DeletedJob(), Endless()
    running = asyncio.create_task(assembler(store, blobs, output).run())
    await eventually(lambda: bool(store.ended))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert store.ended == [store.job.id, None, 1_000_000]
    assert not output.begun.is_set()
