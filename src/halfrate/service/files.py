"""Files: shown, listed, downloaded, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.errors import FailedPrecondition, Forbidden, InvalidArgument
from halfrate.domain.file import File, FileSource, output_file_id, unknown_file_sentence
from halfrate.domain.job import Job, JobState
from halfrate.ingest.inputs import Inputs
from halfrate.service.content import Content, StoredContent
from halfrate.service.outputs import Outputs
from halfrate.service.paging import page_of, place_of
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.streams import begun
from halfrate.store.meta.api import MetaStore

OUTPUT_PREFIX = output_file_id("")


class Files:
    """What the Files API can do with Files that are there. A call about an unknown one raises `Forbidden`:
    the protocol does not tell a File that is not there from one that is somebody else's.
    """

    def __init__(self, *, store: MetaStore, blobs: BlobStore, inputs: Inputs, outputs: Outputs) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._outputs = outputs

    async def get(self, file_id: str) -> File:
        """Return a File; the output of a Job that runs is one that grows."""
        job = await self._job_of(file_id)
        file = await self._store.get_file(file_id)
        if file is not None:
            return file
        if job is None or job.state.final or job.state is JobState.PENDING:
            raise unknown_file(file_id)
        return growing_output(job)

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[File], str | None]:
        """Return a page of uploaded Files, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        files = await self._store.list_files(limit=page_size + 1, after=place_of(page_token))
        return page_of(files, page_size)

    async def delete(self, file_id: str) -> None:
        """Remove a File. A Job made from it goes on.

        Raise `FailedPrecondition` if a Job still writes it.
        """
        file = await self.get(file_id)
        if file.growing:
            raise FailedPrecondition(
                f"files/{file_id} is the output of a batch that still runs. Delete the batch."
            )
        await self._store.delete_file(file_id)
        reach(CrashPoint.FILE_DELETE_AFTER)
        if not await self._store.blob_in_use(file.blob):
            await asyncio.to_thread(self._inputs.discard, file.blob)

    async def content(self, file_id: str, *, seen: str | None = None, from_start: bool = True) -> Content:
        """Return what a File holds; the output of a Job that still runs holds the Results there are.

        ``seen`` is the etag of bytes that the reader has some of already, None if it does not say; who does
        not read ``from_start`` has seen some in any case.
        """
        job = await self._job_of(file_id)
        file = await self._store.get_file(file_id)
        if job is not None:
            _check_readable(job, file, file_id)
            return await self._outputs.content(job, file, seen=seen, from_start=from_start)
        if file is None:
            raise unknown_file(file_id)
        return StoredContent(self._blobs, file, ranged=seen in (None, file.sha256))

    async def download(self, file_id: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return a File's size, -1 if it is not known, and its bytes."""
        content = await self.content(file_id)
        size_bytes = -1 if content.size_bytes is None else content.size_bytes
        return size_bytes, await opened(file_id, content.read())

    async def since(self, file_id: str, token: str) -> tuple[str, AsyncIterator[bytes]]:
        """Return the lines of a Job's output that a Snapshot did not have, and the token of one that does.

        Raise `InvalidArgument` if the token is not one of this output's.
        """
        job = await self._job_of(file_id)
        file = await self._store.get_file(file_id)
        if job is None:
            raise unknown_file(file_id) if file is None else not_followed(file_id)
        _check_readable(job, file, file_id)
        return await self._outputs.since(job, file, token)

    async def _job_of(self, file_id: str) -> Job | None:
        """Return the Job whose output a File is. Look before the File: one that is final has published."""
        job_id = file_id.removeprefix(OUTPUT_PREFIX)
        return None if job_id == file_id else await self._store.get_job(job_id)


def growing_output(job: Job) -> File:
    """Return the output of a Job that runs, as a File."""
    return File(
        id=output_file_id(job.id),
        display_name=job.display_name,
        mime_type="jsonl",
        size_bytes=0,
        sha256="",
        blob="",
        source=FileSource.GENERATED,
        created_at=job.started_at or job.created_at,
        expires_at=job.created_at,
        growing=True,
    )


def _check_readable(job: Job, file: File | None, file_id: str) -> None:
    if file is None and job.output_expires_at is not None:
        raise _expired(job, job.output_expires_at)
    if file is None and job.state.final:
        raise unknown_file(file_id)


async def opened(file_id: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return a File's bytes, opened: from then on they stay, whoever removes them.

    Raise `Forbidden` if they are gone already.
    """
    try:
        return await begun(chunks)
    except FileNotFoundError:
        raise unknown_file(file_id) from None


def not_followed(file_id: str) -> InvalidArgument:
    """Return the refusal to follow a File that never changes."""
    return InvalidArgument(f"files/{file_id} is not the output of a batch: leave since out.")


def _expired(job: Job, expired_at: float) -> Forbidden:
    when = datetime.fromtimestamp(expired_at, UTC)
    return Forbidden(
        f"The results of batches/{job.id} were kept until {when:%Y-%m-%d %H:%M} UTC, or removed by a client. "
        "Submit the batch again to have them again."
    )


def unknown_file(file_id: str) -> Forbidden:
    """Return the refusal of a call about a File that is not there."""
    return Forbidden(unknown_file_sentence(file_id))
