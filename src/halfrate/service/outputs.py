"""What Jobs answered, as it can be read: published, or as a Snapshot while they run."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from halfrate.dispatch.output import Output
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import File
from halfrate.domain.job import Job
from halfrate.domain.snapshot import Snapshot, stretches
from halfrate.service.content import Content, MadeContent, Renderings, StoredContent
from halfrate.service.snapshots import snapshot_of, token_of
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.streams import in_thread, joined
from halfrate.store.meta.api import MetaStore

HANDED_OUT_MAX = 1_024


class Outputs:
    """The Results of Jobs. ``file`` is a Job's output File, None while there is none."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        output: Output,
        model_version: Callable[[str], str],
        spill: Path,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._output = output
        self._model_version = model_version
        self._renderings = Renderings(spill)
        self._handed_out: OrderedDict[str, Snapshot] = OrderedDict()

    async def content(self, job: Job, file: File | None, *, seen: str | None, from_start: bool) -> Content:
        """Return the output as whoever asks has begun to read it.

        ``seen`` is the etag of what it has read some of. Without one, who reads on, not ``from_start``,
        reads what was handed out last.
        """
        if seen is not None:
            if file is not None and file.sha256 == seen:
                return self._published(job, file)
            token, _, spelling = seen.rpartition(".")
            asked = snapshot_of(job, token)
            if asked is not None and not asked.ended and spelling == self._spelling(job):
                return self._taken(job, asked)
            return await self._as_it_is(job, file, ranged=False)
        if not from_start:
            last = self._handed_out.get(job.id)
            if last is not None:
                return self._taken(job, last)
            return await self._as_it_is(job, file, ranged=file is not None)
        return await self._as_it_is(job, file)

    async def since(self, job: Job, file: File | None, token: str) -> tuple[str, AsyncIterator[bytes]]:
        """Return the lines that a Snapshot did not have, in input order, and the token of one that does.

        Once the Job has ended they include the errors of Requests that were never answered, so that who
        asks again and again gets every line once. Raise `InvalidArgument` if the token is not one of this
        Job's.
        """
        before = snapshot_of(job, token)
        if before is None:
            raise InvalidArgument(
                f"since is not the name of a snapshot of batches/{job.id}. Take it from the header "
                "X-Halfrate-Snapshot of an earlier answer, or leave it out to begin anew."
            )
        if before.ended:
            return token, in_thread(iter(()))
        if file is None:
            now = await self._store.snapshot(job.id)
            return token_of(job, now), in_thread(joined(await self._between(job, before, now)))
        lines = await self._rest(job, file, before)
        return token_of(job, Snapshot(job.id, ended=True)), in_thread(joined(lines))

    async def _rest(self, job: Job, file: File, before: Snapshot) -> Iterator[bytes]:
        """Return the lines of a published output that a Snapshot did not have."""
        segments = await self._store.segments(job.id)
        if sum(segment.results for segment in segments) == job.counts.requests:
            return await self._between(job, before, await self._store.snapshot(job.id))
        return self._output.missing_from(job, stretches(segments, before), file.blob)

    async def _between(self, job: Job, before: Snapshot, now: Snapshot) -> Iterator[bytes]:
        segments = await self._store.segments(job.id, from_shard=before.settled_below)
        return self._output.part(job, stretches(segments, now, since=before))

    async def _as_it_is(self, job: Job, file: File | None, *, ranged: bool = True) -> Content:
        if file is not None:
            self._handed_out.pop(job.id, None)
            return self._published(job, file, ranged=ranged)
        now = await self._store.snapshot(job.id)
        self._hand_out(now)
        return self._taken(job, now, ranged=ranged)

    def _published(self, job: Job, file: File, *, ranged: bool = True) -> Content:
        token = token_of(job, Snapshot(job.id, ended=True))
        return StoredContent(self._blobs, file, snapshot=token, ranged=ranged)

    def _taken(self, job: Job, snapshot: Snapshot, *, ranged: bool = True) -> Content:
        async def make() -> Iterator[bytes]:
            segments = await self._store.segments(job.id)
            return joined(self._output.part(job, stretches(segments, snapshot)))

        token = token_of(job, snapshot)
        etag = f"{token}.{self._spelling(job)}"
        return MadeContent(make, self._renderings, etag=etag, snapshot=token, ranged=ranged)

    def _spelling(self, job: Job) -> str:
        """Return what else the bytes of a Snapshot depend on: each line says which model is served."""
        versions = " ".join(map(self._model_version, job.engines))
        return hashlib.blake2b(versions.encode(), digest_size=4).hexdigest()

    def _hand_out(self, snapshot: Snapshot) -> None:
        """Remember what was handed out last of each Job."""
        self._handed_out[snapshot.job_id] = snapshot
        self._handed_out.move_to_end(snapshot.job_id)
        if len(self._handed_out) > HANDED_OUT_MAX:
            self._handed_out.popitem(last=False)
