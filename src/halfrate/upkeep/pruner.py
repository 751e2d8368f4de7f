"""Removes what nobody can reach any more, when its time has passed and no Job needs it."""

from __future__ import annotations

import asyncio
import logging

from halfrate.clock import Clock
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.job import Job
from halfrate.ingest.inputs import Inputs
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import cache_blob, job_folder, output_blob, upload_blob
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)

ROUND_MAX = 100
"""What a round removes of each kind, at most: Jobs that run are not to feel it."""

BUSY_SECONDS = 1.0
"""The pause after a round that left something to do."""


class Pruner:
    """Looks every ``every_seconds``.

    A crash between any two steps leaves a row that leads here again, or an input without a row, which the
    next process finds when it starts.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        clock: Clock,
        every_seconds: float,
        keep_upload_seconds: float,
        keep_input_seconds: float,
        keep_output_seconds: float,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._clock = clock
        self._every_seconds = every_seconds
        self._keep_upload_seconds = keep_upload_seconds
        self._keep_input_seconds = keep_input_seconds
        self._keep_output_seconds = keep_output_seconds
        self._inputs_found: list[str] = []
        self._caches_found: list[str] = []
        self._turn = asyncio.Lock()

    async def find_orphans(self) -> None:
        """Note which inputs, and indexes of inputs, there are; `run` removes those that no row leads to.

        Call it before anything is accepted: an input that is just being accepted has no row either.
        """
        self._inputs_found = await asyncio.to_thread(self._inputs.names)
        self._caches_found = await asyncio.to_thread(lambda: list(self._blobs.names("caches")))

    async def run(self) -> None:
        """Look until cancelled."""
        await self.prune_orphans()
        while True:
            more = await self.prune()
            await self._clock.sleep(BUSY_SECONDS if more else self._every_seconds)

    async def prune_orphans(self) -> None:
        """Remove the inputs that `find_orphans` found and nothing holds, and what has no row otherwise."""
        while self._inputs_found:
            await self._delete_input_if_unused(self._inputs_found.pop())
            await asyncio.sleep(0)  # there may be many, and nothing else here waits
        while self._caches_found:
            blob = self._caches_found.pop()
            if not await self._store.cache_stored(blob.removeprefix(cache_blob(""))):
                await self._delete(blob)
        await self._prune_orphaned_work()

    async def _prune_orphaned_work(self) -> None:
        """Remove blobs of Jobs and uploads without a row, such as a restored database knows nothing of.

        A row is durable before the first blob of its Job, and goes after the last.
        """
        orphaned = await asyncio.to_thread(self._jobs_with_blobs)
        last = ""
        while page := await self._store.stored_jobs(limit=ROUND_MAX, after=last):
            orphaned.difference_update(page)
            last = page[-1]
        for job_id in sorted(orphaned):
            logger.warning("Removing what is left of Job %s, which is not in the database.", job_id)
            await self._delete(job_folder(job_id))
            await self._delete(output_blob(job_id))

        for name in await asyncio.to_thread(lambda: list(self._blobs.names("uploads"))):
            if (
                await self._store.get_upload(name.split("/")[1]) is None
            ):  # its row is there before, and longer
                await self._delete(name)

    def _jobs_with_blobs(self) -> set[str]:
        return {name.split("/")[1] for folder in ("jobs", "outputs") for name in self._blobs.names(folder)}

    async def prune(self) -> bool:
        """Remove what can be removed now, up to `ROUND_MAX` of each kind. Return whether more is left.

        One round at a time: whoever asks for one while another is under way gets the next.
        """
        async with self._turn:
            return await self._round(self._clock.now())

    async def _round(self, now: float) -> bool:
        removed = (
            await self._forget_deleted(),
            await self._clear_old(now),
            await self._drop_expired_files(),
            await self._drop_caches(),
            await self._release_inputs(now),
            await self._give_up_uploads(now),
        )
        return ROUND_MAX in removed

    async def _forget_deleted(self) -> int:
        jobs = await self._store.jobs_to_forget(limit=ROUND_MAX)
        for job in jobs:
            # Bytes first: nobody can ask for them, and its row leads here again after a crash.
            await self._delete_work(job)
            await self._store.forget_job(job.id)
            reach(CrashPoint.PRUNE_JOB_AFTER)
            await self._delete_input_if_unused(job.input_blob)
        return len(jobs)

    async def _clear_old(self, now: float) -> int:
        """Remove what was made of Jobs that stay in the list. Bytes first, for the same reason."""
        jobs = await self._store.jobs_to_clear(failed_by=now - self._keep_output_seconds, limit=ROUND_MAX)
        for job in jobs:
            await self._delete_work(job)
            await self._store.clear_job(job.id)
            reach(CrashPoint.PRUNE_CLEAR_AFTER)
        return len(jobs)

    async def _drop_expired_files(self) -> int:
        files = await self._store.files_expired(limit=ROUND_MAX)
        for file in files:
            await self._store.drop_expired_file(file.id)
            reach(CrashPoint.PRUNE_FILE_AFTER)
            await self._delete_input_if_unused(file.blob)
        return len(files)

    async def _drop_caches(self) -> int:
        """Remove Caches that have expired. Bytes first: nobody can ask for them."""
        caches = await self._store.caches_gone(limit=ROUND_MAX)
        for cache in caches:
            await self._delete(cache.blob)
            reach(CrashPoint.PRUNE_CACHE_AFTER)
            await self._store.drop_cache(cache.id)
        return len(caches)

    async def _release_inputs(self, now: float) -> int:
        jobs = await self._store.jobs_done_with_input(
            created_by=now - self._keep_input_seconds, limit=ROUND_MAX
        )
        for job in jobs:
            await self._store.release_input(job.id)
            reach(CrashPoint.PRUNE_RELEASE_AFTER)
            await self._delete_input_if_unused(job.input_blob)
        return len(jobs)

    async def _give_up_uploads(self, now: float) -> int:
        uploads = await self._store.uploads_begun_before(now - self._keep_upload_seconds, limit=ROUND_MAX)
        for upload in uploads:
            await self._delete(upload_blob(upload.id))
            reach(CrashPoint.PRUNE_UPLOAD_AFTER)
            await self._store.delete_upload(upload.id)
            await self._delete_input_if_unused(upload.blob)
        return len(uploads)

    async def _delete_work(self, job: Job) -> None:
        await self._delete(job_folder(job.id))
        reach(CrashPoint.PRUNE_FOLDER_AFTER)
        await self._delete(output_blob(job.id))
        reach(CrashPoint.PRUNE_OUTPUT_AFTER)

    async def _delete_input_if_unused(self, blob: str) -> None:
        # The row that led here is gone by now, so that whoever creates a Job from these bytes was earlier,
        # and is seen here, or is refused.
        if not await self._store.blob_in_use(blob):
            reach(CrashPoint.PRUNE_INPUT_BEFORE)
            await asyncio.to_thread(self._inputs.discard, blob)

    async def _delete(self, blob: str) -> None:
        await asyncio.to_thread(self._blobs.delete, blob)
