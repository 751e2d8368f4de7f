"""Looks over everything that is stored, and says what is not as it was written."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from halfrate.domain.errors import CorruptData
from halfrate.domain.file import File, FileSource
from halfrate.domain.job import Job, JobState
from halfrate.domain.shard import SegmentRef
from halfrate.ingest.index import IndexReader
from halfrate.metering.price import Price
from halfrate.results.roll import Audit
from halfrate.store.blob.api import BlobReader, BlobStore, read_chunks
from halfrate.store.blob.names import index_blob, segment_blob_of
from halfrate.store.meta.api import MetaStore, StoredJob

PAGE = 500
"""Rows read at a time, each page in a transaction of its own: a server beside it is not held up."""

_STOPPED = (JobState.CANCELLED, JobState.EXPIRED)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something stored that is not as it should be: where, what is wrong with it, and what to do.

    One that is not ``harmful`` takes room, or can be put down to a change of the settings.
    """

    harmful: bool
    where: str
    what: str


@dataclass(slots=True)
class Tour:
    """How far an inspection is."""

    jobs: int = 0
    files: int = 0
    read_bytes: int = 0


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
        self._quick = quick
        self._on_progress = on_progress
        self._inputs: set[str] = set()
        self._asked_last = ("", False)
        self.tour = Tour()

    async def flaws(self) -> AsyncIterator[Flaw]:
        """Yield what is wrong: in the database, in each Job, in each File; then what belongs to nothing."""
        contradictions = await self._store.check_integrity()
        for sentence in contradictions:
            yield Flaw(True, "The database", f"{sentence} Restore the data directory from a backup.")
        async for job_id in self._job_ids():
            async for flaw in self._flaws_of_job(job_id):
                yield flaw
        async for file in self._files():
            async for flaw in self._flaws_of_file(file):
                yield flaw
        async for flaw in self._orphans():
            yield flaw

    # Rows, a page at a time

    async def _job_ids(self) -> AsyncIterator[str]:
        after = ""
        while page := await self._store.stored_jobs(limit=PAGE, after=after):
            for job_id in page:
                yield job_id
                self.tour.jobs += 1
                self._on_progress(self.tour)
            after = page[-1]

    async def _files(self) -> AsyncIterator[File]:
        after = ""
        while page := await self._store.stored_files(limit=PAGE, after=after):
            for file in page:
                yield file
                self.tour.files += 1
                self._on_progress(self.tour)
            after = page[-1].id

    # Jobs

    async def _flaws_of_job(self, job_id: str) -> AsyncIterator[Flaw]:
        stored = await self._store.stored_job(job_id)
        if stored is None:
            return
        self._inputs.add(stored.job.input_blob)
        flaws = [*self._flaws_of_segments(stored), *self._flaws_of_input(stored.job)]
        # What was removed while it was looked at is no flaw.
        if flaws and await self._stands(stored.job):
            for flaw in flaws:
                yield flaw

    async def _stands(self, looked_at: Job) -> bool:
        stored = await self._store.stored_job(looked_at.id)
        return stored is not None and stored.job.state.final == looked_at.state.final

    def _flaws_of_segments(self, stored: StoredJob) -> Iterator[Flaw]:
        job = stored.job
        audit = Audit(job.counts.requests)
        whole = not self._quick and not stored.cleared
        for segment in stored.segments:
            try:
                with self._blobs.reader(segment_blob_of(segment)) as reader:
                    self._look_at(reader, segment, audit)
            except (FileNotFoundError, CorruptData) as error:
                whole = False
                yield _segment_flaw(job, segment, error)
        if whole:
            yield from self._miscounts(job, audit)

    def _look_at(self, reader: BlobReader, segment: SegmentRef, audit: Audit) -> None:
        if reader.size_bytes < segment.settled_bytes:
            raise CorruptData(
                f"Blob {reader.name} is cut off at byte {reader.size_bytes}, and {segment.settled_bytes} "
                "bytes were settled. Restore it from a backup, or run the Job again."
            )
        if not self._quick:
            audit.take(reader, segment)
            self._went_on(segment.settled_bytes)

    def _miscounts(self, job: Job, audit: Audit) -> Iterator[Flaw]:
        where = f"Job {job.id}"
        missing = job.counts.requests - audit.counts.succeeded - audit.counts.failed
        failed = audit.counts.failed + (missing if job.state in _STOPPED else 0)
        for name, booked, held in (
            ("answers", job.counts.succeeded, audit.counts.succeeded),
            ("errors", job.counts.failed, failed),
            ("input tokens", job.usage.input_tokens, audit.usage.input_tokens),
            ("output tokens", job.usage.output_tokens, audit.usage.output_tokens),
            ("cached tokens", job.usage.cached_tokens, audit.usage.cached_tokens),
        ):
            if booked != held:
                what = f"It has {booked} {name} booked, and its Segments hold {held}."
                yield Flaw(True, where, f"{what} {_REPORT}")
        price = self._price_of(job.engine)
        if price is not None and (job.cost_picos, job.interactive_cost_picos) != (
            price.batch.cost_picos(audit.usage),
            price.interactive.cost_picos(audit.usage),
        ):
            what = f"It has {job.cost_picos} pico-USD booked, and today's price makes it"
            yield Flaw(
                False,
                where,
                f"{what} {price.batch.cost_picos(audit.usage)}. Were prices changed since? {_REPORT}",
            )

    def _flaws_of_input(self, job: Job) -> Iterator[Flaw]:
        if job.state.final:
            return
        remedy = "Restore it from a backup, or cancel the Job and submit its file again."
        try:
            with self._blobs.reader(job.input_blob):
                pass
        except FileNotFoundError:
            yield Flaw(True, f"Job {job.id}", f"Blob {job.input_blob}, its input, is missing. {remedy}")
            return
        if job.input_file is None:  # that of a File is looked at with the File
            yield from self._flaws_of_index(f"Job {job.id}", job.input_blob)

    def _flaws_of_index(self, where: str, blob: str) -> Iterator[Flaw]:
        try:
            with self._blobs.reader(index_blob(blob)) as reader:
                if not self._quick:
                    IndexReader(reader).check()
                    self._went_on(reader.size_bytes)
        except FileNotFoundError:
            yield Flaw(False, where, f"Blob {index_blob(blob)} is missing. It is made again when needed.")
        except CorruptData as error:
            yield Flaw(True, where, str(error))

    # Files

    async def _flaws_of_file(self, file: File) -> AsyncIterator[Flaw]:
        flaws = [*self._flaws_of_bytes(file)]
        if file.source is FileSource.UPLOADED:
            flaws += self._flaws_of_index(f"File files/{file.id}", file.blob)
        if flaws and await self._store.get_file(file.id) == file:
            for flaw in flaws:
                yield flaw

    def _flaws_of_bytes(self, file: File) -> Iterator[Flaw]:
        where, remedy = f"File files/{file.id}", _FILE_REMEDIES[file.source]
        try:
            with self._blobs.reader(file.blob) as reader:
                if reader.size_bytes != file.size_bytes:
                    what = f"has {reader.size_bytes} bytes, and {file.size_bytes} were stored."
                    yield Flaw(True, where, f"Blob {file.blob} {what} {remedy}")
                elif not self._quick and self._sha256(reader) != file.sha256:
                    what = "does not match its SHA-256: something changed it since it was stored."
                    yield Flaw(True, where, f"Blob {file.blob} {what} {remedy}")
        except FileNotFoundError:
            yield Flaw(True, where, f"Blob {file.blob} is missing. {remedy}")

    def _sha256(self, reader: BlobReader) -> str:
        digest = hashlib.sha256()
        for chunk in read_chunks(reader):
            digest.update(chunk)
            self._went_on(len(chunk))
        return digest.hexdigest()

    # What belongs to nothing

    async def _orphans(self) -> AsyncIterator[Flaw]:
        for folder, named in (
            ("inputs", self._input_is_named),
            ("indexes", self._index_is_named),
            ("outputs", self._job_is_named),
            ("jobs", self._job_is_named),
            ("uploads", self._upload_is_named),
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
                    "Nothing is lost if they are removed while no halfrate runs.",
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

    def _size_bytes(self, name: str) -> int:
        try:
            with self._blobs.reader(name) as reader:
                return reader.size_bytes
        except FileNotFoundError:
            return 0

    def _went_on(self, read_bytes: int) -> None:
        self.tour.read_bytes += read_bytes
        self._on_progress(self.tour)


_REPORT = "Please report it."

_FILE_REMEDIES = {
    FileSource.UPLOADED: "Delete the file and upload it again, or restore the blob from a backup.",
    FileSource.GENERATED: "Restore the blob from a backup, or submit the batch again.",
}


def _segment_flaw(job: Job, segment: SegmentRef, error: OSError | CorruptData) -> Flaw:
    if isinstance(error, CorruptData):
        what = str(error)
    else:
        what = (
            f"Blob {segment_blob_of(segment)}, which held {segment.results} Results, is missing. Restore it "
            "from a backup, or run the Job again."
        )
    if job.state.final and job.state is not JobState.FAILED:
        what += " The Job has ended, and its output is a file of its own."
    return Flaw(True, f"Job {job.id}", what)
