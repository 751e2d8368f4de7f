"""Looks over everything that is stored, and says what is not as it was written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from halfrate.domain.cache import Cache
from halfrate.domain.file import File
from halfrate.domain.job import Job
from halfrate.metering.price import Price
from halfrate.store.blob.api import BlobStore
from halfrate.store.meta.api import MetaStore
from halfrate.upkeep.file_flaws import flaws_of_cache, flaws_of_file
from halfrate.upkeep.flaws import Flaw, Tour
from halfrate.upkeep.job_flaws import flaws_of_input, flaws_of_segments

PAGE = 500
"""Rows read at a time, each page in a transaction of its own: a server beside it is not held up."""


class Inspector:
    """Changes nothing, and may be used while a server works on the same store.

    Blocks on the disk. Memory holds one page of rows, a bit for each Request of one Job, and the name of
    each Job's input.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        price_of: Callable[[str], Price | None],
        quick: bool = False,
        on_progress: Callable[[Tour], None] = lambda tour: None,
    ) -> None:
        """Have a tour of ``store`` and ``blobs`` ready; a ``quick`` one reads no bulk bytes."""
        self._store = store
        self._blobs = blobs
        self._price_of = price_of
        self._inputs: set[str] = set()
        self._asked_last = ("", False)
        self.tour = Tour(quick, on_progress)

    async def flaws(self) -> AsyncIterator[Flaw]:
        """Yield what is wrong in the database, each Job, File and Cache; then what belongs to nothing."""
        for sentence in await self._store.check_integrity():
            yield Flaw(True, "The database", f"{sentence} Restore the data directory from a backup.")
        async for job_id in self._job_ids():
            for flaw in await self._flaws_of_job(job_id):
                yield flaw
        async for file in self._files():
            for flaw in await self._flaws_of_file(file):
                yield flaw
        async for cache in self._caches():
            for flaw in await self._flaws_of_cache(cache):
                yield flaw
        async for flaw in self._orphans():
            yield flaw

    async def _job_ids(self) -> AsyncIterator[str]:
        after = ""
        while page := await self._store.stored_jobs(limit=PAGE, after=after):
            for job_id in page:
                yield job_id
                self.tour.count(jobs=1)
            after = page[-1]

    async def _files(self) -> AsyncIterator[File]:
        after = ""
        while page := await self._store.stored_files(limit=PAGE, after=after):
            for file in page:
                yield file
                self.tour.count(files=1)
            after = page[-1].id

    async def _caches(self) -> AsyncIterator[Cache]:
        after = ""
        while page := await self._store.stored_caches(limit=PAGE, after=after):
            for cache in page:
                yield cache
            after = page[-1].id

    async def _flaws_of_job(self, job_id: str) -> list[Flaw]:
        stored = await self._store.stored_job(job_id)
        if stored is None:
            return []
        self._inputs.add(stored.job.input_blob)
        flaws = [
            *flaws_of_segments(stored, self._blobs, self._price_of, self.tour),
            *flaws_of_input(stored.job, self._blobs, self.tour),
        ]
        # What was removed while it was looked at is no flaw.
        return flaws if flaws and await self._stands(stored.job) else []

    async def _stands(self, looked_at: Job) -> bool:
        stored = await self._store.stored_job(looked_at.id)
        return stored is not None and stored.job.state.final == looked_at.state.final

    async def _flaws_of_file(self, file: File) -> list[Flaw]:
        flaws = [*flaws_of_file(file, self._blobs, self.tour)]
        return flaws if flaws and await self._store.get_file(file.id) == file else []

    async def _flaws_of_cache(self, cache: Cache) -> list[Flaw]:
        flaws = [*flaws_of_cache(cache, self._blobs, self.tour)]
        return flaws if flaws and await self._store.cache_stored(cache.id) else []

    async def _orphans(self) -> AsyncIterator[Flaw]:
        for folder, named in (
            ("inputs", self._input_is_named),
            ("indexes", self._index_is_named),
            ("outputs", self._job_is_named),
            ("jobs", self._job_is_named),
            ("uploads", self._upload_is_named),
            ("caches", self._cache_is_named),
        ):
            first, count, size_bytes = "", 0, 0
            for name in self._blobs.names(folder):
                if not await named(name):
                    first, count = first or name, count + 1
                    size_bytes += self._size_bytes(name)
            if count:
                yield Flaw(
                    False,
                    f"The folder blobs/{folder}",
                    f"{count} blobs in it belong to nothing, {first} for one, and take {size_bytes} bytes. "
                    "Nothing is lost: the next start of halfrate removes them.",
                )

    async def _input_is_named(self, name: str) -> bool:
        return name in self._inputs or await self._store.blob_in_use(name)

    async def _index_is_named(self, name: str) -> bool:
        return await self._input_is_named(name.removeprefix("indexes/"))

    async def _job_is_named(self, name: str) -> bool:
        job_id = name.split("/")[1]
        if job_id != self._asked_last[0]:  # the blobs of one Job come one after the other
            self._asked_last = job_id, await self._store.stored_job(job_id) is not None
        return self._asked_last[1]

    async def _upload_is_named(self, name: str) -> bool:
        return await self._store.get_upload(name.split("/")[1]) is not None

    async def _cache_is_named(self, name: str) -> bool:
        return await self._store.cache_stored(name.split("/")[1])

    def _size_bytes(self, name: str) -> int:
        try:
            with self._blobs.reader(name) as reader:
                return reader.size_bytes
        except FileNotFoundError:
            return 0
