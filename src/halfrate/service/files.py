"""Files: shown, listed, downloaded, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from halfrate.dispatch.output import Output
from halfrate.domain.errors import Forbidden
from halfrate.domain.file import File, output_file_id
from halfrate.domain.job import Job
from halfrate.ingest.inputs import Inputs
from halfrate.service.paging import page_of, place_of
from halfrate.store.blob.api import BlobStore, read_chunks
from halfrate.store.blob.streams import begun, in_thread, joined
from halfrate.store.meta.api import MetaStore

OUTPUT_PREFIX = output_file_id("")


class Files:
    """What the Files API can do with Files that are there. A call about an unknown one raises `Forbidden`:
    the protocol does not tell a File that is not there from one that is somebody else's.
    """

    def __init__(self, *, store: MetaStore, blobs: BlobStore, inputs: Inputs, output: Output) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._output = output

    async def get(self, file_id: str) -> File:
        """Return a File."""
        file = await self._store.get_file(file_id)
        if file is None:
            raise unknown_file(file_id)
        return file

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[File], str | None]:
        """Return a page of uploaded Files, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        files = await self._store.list_files(limit=page_size + 1, after=place_of(page_token))
        return page_of(files, page_size)

    async def delete(self, file_id: str) -> None:
        """Remove a File. A Job made from it goes on."""
        file = await self.get(file_id)
        await self._store.delete_file(file_id)
        if not await self._store.blob_in_use(file.blob):
            await asyncio.to_thread(self._inputs.discard, file.blob)

    async def download(
        self, file_id: str, *, start: int = 0, stop: int | None = None
    ) -> tuple[int, AsyncIterator[bytes]]:
        """Return a File's size and its bytes from ``start`` up to ``stop``.

        The output of a Job that still runs can be read too: it holds the Results there are, and its
        size is not known (-1).
        """
        file = await self._store.get_file(file_id)
        if file is not None:
            try:
                # Opened before anything is promised: from then on the bytes stay, whoever removes them.
                return file.size_bytes, await begun(self._stored(file, start, stop))
            except FileNotFoundError:
                raise unknown_file(file_id) from None
        job_id = file_id.removeprefix(OUTPUT_PREFIX)
        job = await self._store.get_job(job_id) if job_id != file_id else None
        if job is not None and job.output_expires_at is not None:
            raise _expired(job, job.output_expires_at)
        if job is None or job.state.final:
            raise unknown_file(file_id)
        segments = await self._store.segments(job_id)
        return -1, in_thread(joined(self._output.so_far(job, segments)))

    async def _stored(self, file: File, start: int, stop: int | None) -> AsyncIterator[bytes]:
        with self._blobs.reader(file.blob) as reader:
            async for chunk in in_thread(read_chunks(reader, start, stop)):
                yield chunk


def _expired(job: Job, expired_at: float) -> Forbidden:
    when = datetime.fromtimestamp(expired_at, UTC)
    return Forbidden(
        f"The results of batches/{job.id} were kept until {when:%Y-%m-%d %H:%M} UTC, or removed by a client. "
        "Submit the batch again to have them again."
    )


def unknown_file(file_id: str) -> Forbidden:
    """Return the refusal of a call about a File that is not there."""
    return Forbidden(f"You do not have permission to access the File {file_id} or it may not exist.")
