"""Files: resumable uploads in, bytes out."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.dispatch.output import Output
from halfrate.domain.errors import Forbidden, InvalidArgument, NotFound
from halfrate.domain.file import File, FileSource, Upload, output_file_id
from halfrate.identity import new_id
from halfrate.ingest.inputs import Inputs, Receiver
from halfrate.service.paging import page_of, place_of
from halfrate.service.streams import in_thread, joined
from halfrate.store.blob.api import CHUNK_BYTES, BlobStore, read_chunks
from halfrate.store.blob.names import input_blob, upload_blob
from halfrate.store.meta.api import MetaStore

OUTPUT_PREFIX = output_file_id("")

INCOMING_MAX = 64
"""Uploads kept open at a time. One that is closed is opened again, and read again, when it goes on."""


@dataclass(slots=True)
class _Incoming:
    receiver: Receiver
    lock: asyncio.Lock


class Files:
    """What the Files API can do."""

    def __init__(
        self,
        *,
        store: MetaStore,
        blobs: BlobStore,
        inputs: Inputs,
        output: Output,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._output = output
        self._clock = clock
        self._limits = limits
        self._incoming: dict[str, _Incoming] = {}

    async def begin_upload(
        self, *, file_id: str | None, display_name: str, mime_type: str, declared_bytes: int | None
    ) -> Upload:
        """Begin a resumable upload. ``file_id`` is the client's choice, or None.

        Raise `InvalidArgument` if the announced size is over the limit, `AlreadyExists` if the id is taken.
        """
        if declared_bytes is not None and declared_bytes > self._limits.file_bytes:
            raise self._too_large(declared_bytes)
        if file_id is not None and file_id.startswith(OUTPUT_PREFIX):
            raise InvalidArgument(f"File names that begin with {OUTPUT_PREFIX!r} are kept for batch results.")
        upload = Upload(
            id=secrets.token_urlsafe(32),
            file_id=file_id or new_id(12),
            display_name=display_name,
            mime_type=mime_type,
            declared_bytes=declared_bytes,
            created_at=self._clock.now(),
        )
        await self._store.create_upload(upload)
        return upload

    async def received_bytes(self, upload_id: str) -> int:
        """Return how much of an upload has arrived. Raise `NotFound` if there is no such upload."""
        async with self._receiving(upload_id) as receiver:
            return receiver.received_bytes

    async def append(self, upload_id: str, *, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Add bytes that belong at ``offset``, and return how much has arrived in all.

        Bytes that arrived before are skipped, so a chunk may be sent again. What arrives before the
        client breaks off is kept. Raise `InvalidArgument` if ``offset`` leaves a gap or the size goes
        over its bound, `NotFound` if there is no such upload.
        """
        upload = await self._upload(upload_id)
        async with self._receiving(upload_id) as receiver:
            known_bytes = receiver.received_bytes - offset
            if known_bytes < 0:
                raise InvalidArgument(
                    f"The chunk begins at offset {offset}, but only {receiver.received_bytes} bytes have "
                    "arrived. Send the query command, then continue from the size it reports."
                )
            async for data in _gathered(chunks):
                fresh = data[known_bytes:] if known_bytes > 0 else data
                known_bytes -= len(data) - len(fresh)
                self._check_bound(upload, receiver.received_bytes + len(fresh))
                if fresh:
                    await asyncio.to_thread(receiver.take, fresh)
            return receiver.received_bytes

    async def finish(self, upload_id: str) -> File:
        """Make an upload a File. Raise `InvalidArgument` if bytes are missing: the upload stays open."""
        upload = await self._upload(upload_id)
        async with self._receiving(upload_id) as receiver:
            received_bytes = receiver.received_bytes
            if upload.declared_bytes is not None and received_bytes < upload.declared_bytes:
                raise InvalidArgument(
                    f"The upload was announced with {upload.declared_bytes} bytes and {received_bytes} have "
                    "arrived. Continue from there, or start again."
                )
            blob = input_blob(new_id(24))
            sha256 = await asyncio.to_thread(receiver.finish, blob)
            now = self._clock.now()
            file = File(
                id=upload.file_id,
                display_name=upload.display_name,
                mime_type=upload.mime_type,
                size_bytes=received_bytes,
                sha256=sha256,
                blob=blob,
                source=FileSource.UPLOADED,
                created_at=now,
                expires_at=now + self._limits.file_hours * 3_600,
            )
            await self._store.create_file(file, upload_id=upload_id)
            self._forget(upload_id)
            return file

    async def cancel_upload(self, upload_id: str) -> None:
        """Give an upload up. Raise `NotFound` if there is no such upload."""
        async with self._receiving(upload_id):
            await self._store.delete_upload(upload_id)
            self._forget(upload_id)
            await asyncio.to_thread(self._blobs.delete, upload_blob(upload_id))

    async def get(self, file_id: str) -> File:
        """Return a File. Raise `Forbidden` if there is none: the protocol does not say which."""
        file = await self._store.get_file(file_id)
        if file is None:
            raise _forbidden(file_id)
        return file

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[File], str | None]:
        """Return a page of uploaded Files, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        files = await self._store.list_files(limit=page_size + 1, after=place_of(page_token))
        return page_of(files, page_size)

    async def delete(self, file_id: str) -> None:
        """Remove a File. A Job made from it goes on. Raise `Forbidden` if there is none."""
        file = await self.get(file_id)
        await self._store.delete_file(file_id)
        if not await self._store.blob_in_use(file.blob):
            await asyncio.to_thread(self._inputs.discard, file.blob)

    async def download(
        self, file_id: str, *, start: int = 0, stop: int | None = None
    ) -> tuple[int, AsyncIterator[bytes]]:
        """Return a File's size and its bytes from ``start`` up to ``stop``.

        The output of a Job that still runs can be read too: it holds the Results there are, and its
        size is not known (-1). Raise `Forbidden` if there is no such File.
        """
        file = await self._store.get_file(file_id)
        if file is not None:
            return file.size_bytes, self._stored(file, start, stop)
        job_id = file_id.removeprefix(OUTPUT_PREFIX)
        job = await self._store.get_job(job_id) if job_id != file_id else None
        if job is None or job.state.final:
            raise _forbidden(file_id)
        segments = await self._store.segments(job_id)
        return -1, in_thread(joined(self._output.so_far(job, segments)))

    def close(self) -> None:
        """Let go of the uploads under way; they can be taken up again."""
        for upload_id in list(self._incoming):
            self._forget(upload_id)

    async def _stored(self, file: File, start: int, stop: int | None) -> AsyncIterator[bytes]:
        with self._blobs.reader(file.blob) as reader:
            async for chunk in in_thread(read_chunks(reader, start, stop)):
                yield chunk

    async def _upload(self, upload_id: str) -> Upload:
        upload = await self._store.get_upload(upload_id)
        if upload is None:
            raise NotFound("There is no such upload, or it has ended. Start a new one.")
        return upload

    @asynccontextmanager
    async def _receiving(self, upload_id: str) -> AsyncIterator[Receiver]:
        """Have an upload's Receiver to oneself. Raise `NotFound` if there is no such upload."""
        while True:
            incoming = await self._find(upload_id)
            async with incoming.lock:
                # It may have been closed, or the upload have ended, while we waited for our turn.
                if self._incoming.get(upload_id) is incoming:
                    yield incoming.receiver
                    return

    async def _find(self, upload_id: str) -> _Incoming:
        await self._upload(upload_id)
        if upload_id not in self._incoming:
            receiver = await asyncio.to_thread(self._inputs.receive, upload_blob(upload_id))
            # Another call may have been faster while this one was in its thread.
            if upload_id in self._incoming:
                receiver.close()
            else:
                self._close_the_idle()
                self._incoming[upload_id] = _Incoming(receiver, asyncio.Lock())
        # The one used last goes to the end: those at the front have been idle for longest.
        incoming = self._incoming[upload_id] = self._incoming.pop(upload_id)
        return incoming

    def _close_the_idle(self) -> None:
        """Make room for one more upload, so that clients that never come back hold nothing for long."""
        idle = [name for name, incoming in self._incoming.items() if not incoming.lock.locked()]
        for upload_id in idle[: max(0, len(self._incoming) - INCOMING_MAX + 1)]:
            self._forget(upload_id)

    def _forget(self, upload_id: str) -> None:
        self._incoming.pop(upload_id).receiver.close()

    def _check_bound(self, upload: Upload, size_bytes: int) -> None:
        if upload.declared_bytes is not None and size_bytes > upload.declared_bytes:
            raise InvalidArgument(
                f"The upload was announced with {upload.declared_bytes} bytes and more have arrived."
            )
        if size_bytes > self._limits.file_bytes:
            raise self._too_large(size_bytes)

    def _too_large(self, size_bytes: int) -> InvalidArgument:
        return InvalidArgument(
            f"The file has {size_bytes} bytes; at most {self._limits.file_bytes} are taken. Split it into "
            "several files, and make a batch of each."
        )


def _forbidden(file_id: str) -> Forbidden:
    return Forbidden(f"You do not have permission to access the File {file_id} or it may not exist.")


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small pieces, so that a thread is woken once a mebibyte and not once a packet."""
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        async for piece in chunks:
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes >= CHUNK_BYTES:
                yield b"".join(pieces)
                pieces, size_bytes = [], 0
    except Exception:
        # What had arrived when the client broke off is kept, for the client to continue from.
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)
