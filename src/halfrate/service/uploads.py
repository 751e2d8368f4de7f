"""Resumable uploads: bytes in, in any pieces, a File at the end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.domain.errors import FailedPrecondition, InvalidArgument, NotFound
from halfrate.domain.file import File, FileSource, Upload, output_file_id
from halfrate.identity import new_id
from halfrate.ingest.inputs import Inputs, Receiver
from halfrate.store.blob.api import CHUNK_BYTES, BlobStore
from halfrate.store.blob.names import input_blob, upload_blob
from halfrate.store.meta.api import MetaStore

RESERVED_PREFIX = output_file_id("")

INCOMING_MAX = 64
"""Uploads kept open at a time. One that is closed is opened again, and read again, when it goes on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of an upload has arrived, and the File it became if it has finished."""

    received_bytes: int
    file: File | None = None


@dataclass(frozen=True, slots=True)
class _Incoming:
    receiver: Receiver
    lock: asyncio.Lock


class Uploads:
    """Takes uploads in. Each call may be made again, by a client that did not hear what came of it.

    Every call about an upload raises `NotFound` if there is none.
    """

    def __init__(
        self, *, store: MetaStore, blobs: BlobStore, inputs: Inputs, clock: Clock, limits: Limits
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._inputs = inputs
        self._clock = clock
        self._limits = limits
        self._incoming: dict[str, _Incoming] = {}

    async def begin(
        self, *, file_id: str | None, display_name: str, mime_type: str, declared_bytes: int | None
    ) -> Upload:
        """Begin an upload. ``file_id`` is the client's choice, or None.

        Raise `InvalidArgument` if the announced size is over the limit, `AlreadyExists` if the id is taken.
        """
        if declared_bytes is not None and declared_bytes > self._limits.file_bytes:
            raise self._too_large(declared_bytes)
        if file_id is not None and file_id.startswith(RESERVED_PREFIX):
            raise InvalidArgument(
                f"File names that begin with {RESERVED_PREFIX!r} are kept for batch results."
            )
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

    async def progress(self, upload_id: str) -> Progress:
        """Say how far an upload is."""
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                file = await self._file_of(upload)
                return Progress(file.size_bytes, file)
            return Progress(receiver.received_bytes)

    async def append(self, upload_id: str, *, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Add bytes that belong at ``offset``, and return how much has arrived in all.

        Bytes that arrived before are skipped, so a chunk may be sent again. What arrives before the
        client breaks off is kept. Raise `InvalidArgument` if ``offset`` leaves a gap or the size goes
        over its bound.
        """
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                return (await self._file_of(upload)).size_bytes
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
                    await receiver.take(fresh)
            return receiver.received_bytes

    async def finish(self, upload_id: str) -> File:
        """Make an upload a File. Raise `InvalidArgument` if bytes are missing: the upload stays open."""
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                return await self._file_of(upload)
            received_bytes = receiver.received_bytes
            if upload.declared_bytes is not None and received_bytes < upload.declared_bytes:
                raise InvalidArgument(
                    f"The upload was announced with {upload.declared_bytes} bytes and {received_bytes} have "
                    "arrived. Continue from there, or start again."
                )
            blob = input_blob(new_id(24))
            sha256 = await receiver.finish(blob)
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
            self._incoming.pop(upload_id)
            return file

    async def cancel(self, upload_id: str) -> None:
        """Give an upload up. Raise `FailedPrecondition` if it has finished."""
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                raise FailedPrecondition(
                    f"The upload has finished. Delete the file files/{upload.file_id} instead."
                )
            await self._store.delete_upload(upload_id)
            await self._close(upload_id)
            await asyncio.to_thread(self._blobs.delete, upload_blob(upload_id))

    async def close(self) -> None:
        """Let go of the uploads under way; they can be taken up again."""
        for upload_id in list(self._incoming):
            await self._close(upload_id)

    @asynccontextmanager
    async def _receiving(self, upload_id: str) -> AsyncIterator[tuple[Upload, Receiver | None]]:
        """Have an upload to oneself, with its Receiver, or without one if it has finished."""
        while True:
            upload = await self._store.get_upload(upload_id)
            if upload is None:
                raise NotFound("There is no such upload, or it was given up. Start a new one.")
            if upload.finished:
                yield upload, None
                return
            incoming = await self._open(upload_id)
            async with incoming.lock:
                # It may have been closed, or the upload have ended, while we waited for our turn.
                if self._incoming.get(upload_id) is incoming:
                    yield upload, incoming.receiver
                    return

    async def _open(self, upload_id: str) -> _Incoming:
        if upload_id not in self._incoming:
            receiver = await self._inputs.receive(upload_blob(upload_id))
            # Another call may have been faster while this one was in its thread.
            if upload_id in self._incoming:
                await receiver.close()
            else:
                await self._close_the_idle()
                self._incoming[upload_id] = _Incoming(receiver, asyncio.Lock())
        # The one used last goes to the end: those at the front have been idle for longest.
        incoming = self._incoming[upload_id] = self._incoming.pop(upload_id)
        return incoming

    async def _close_the_idle(self) -> None:
        """Make room for one more upload, so that clients that never come back hold nothing for long."""
        idle = [name for name, incoming in self._incoming.items() if not incoming.lock.locked()]
        for upload_id in idle[: max(0, len(self._incoming) - INCOMING_MAX + 1)]:
            await self._close(upload_id)

    async def _close(self, upload_id: str) -> None:
        await self._incoming.pop(upload_id).receiver.close()

    async def _file_of(self, upload: Upload) -> File:
        file = await self._store.get_file(upload.file_id)
        if file is None:
            raise NotFound(f"The upload finished as files/{upload.file_id}, which is gone. Start a new one.")
        return file

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
