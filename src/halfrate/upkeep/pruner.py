"""Removes what nobody can reach any more: expired Files, deleted Jobs, uploads that were given up."""

from __future__ import annotations

import asyncio

from halfrate.clock import Clock
from halfrate.ingest.inputs import Inputs
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import job_folder, output_blob, upload_blob
from halfrate.store.meta.api import MetaStore


class Pruner:
    """Looks every ``every_seconds``. Rows that can be seen go before bytes, which nothing then points at."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        clock: Clock,
        every_seconds: float,
        keep_upload_seconds: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._clock = clock
        self._every_seconds = every_seconds
        self._keep_upload_seconds = keep_upload_seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.prune()
            await self._clock.sleep(self._every_seconds)

    async def prune(self) -> None:
        """Remove what can be removed now."""
        for job in await self._store.jobs_to_forget():
            # Nobody can see it any more, so its row goes last: what a crash leaves is found by it.
            await self._delete(job_folder(job.id))
            await self._delete(output_blob(job.id))
            await self._delete_input_if_unused(job.input_blob)
            await self._store.forget_job(job.id)
        for file in await self._store.files_expired():
            await self._store.delete_file(file.id)
            await self._delete_input_if_unused(file.blob)
        for upload in await self._store.uploads_begun_before(self._clock.now() - self._keep_upload_seconds):
            await self._store.delete_upload(upload.id)
            await self._delete(upload_blob(upload.id))

    async def prune_orphans(self) -> None:
        """Remove inputs, and indexes of inputs, that a crash left without the row that would have named them.

        Call it before anything is accepted: an input that is just being accepted looks the same.
        """
        for name in await asyncio.to_thread(self._inputs.names):
            await self._delete_input_if_unused(name)

    async def _delete_input_if_unused(self, blob: str) -> None:
        if not await self._store.blob_in_use(blob):
            await asyncio.to_thread(self._inputs.discard, blob)

    async def _delete(self, blob: str) -> None:
        await asyncio.to_thread(self._blobs.delete, blob)
