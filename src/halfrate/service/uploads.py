"""Resumable uploads: bytes in, in any pieces, a File at the end."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.errors import FailedPrecondition, InvalidArgument, NotFound
from halfrate.domain.file import File, FileSource, Upload, output_file_id
from halfrate.identity import new_id
from halfrate.ingest.inputs import Inputs, Receiver
from halfrate.store.blob.api import CHUNK_BYTES, BlobStore, read_chunks
from halfrate.store.blob.names import input_blob, upload_blob
from halfrate.store.meta.api import MetaStore

RESERVED_PREFIX = output_file_id("")

INCOMING_MAX = 64
"""Uploads kept open at a time. One that is closed is opened again, and read again, when it goes on. When
bytes arrive for so many at once, the others wait for their turn.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of an upload has arrived, and the File it became if it has finished."""

    received_bytes: int
    file: File | None = None


@dataclass(frozen=True, slots=True)
class Digests:
    """What a client says its bytes hash to, in hexadecimal; None where it does not say."""

    sha256: str | None = None
    md5: str | None = None


class _Incoming:
    """An upload whose bytes may come at any moment. Who has the lock has it to itself."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.lock = asyncio.Lock()
        self._given_up = False
        self._wait: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """Have the append under way end, with what has arrived."""
        self._given_up = True
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def until_given_up(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield ``chunks``. Raise `FailedPrecondition` when another call gives this one up."""
        self._given_up = False
        while not self._given_up:
            try:
                async with asyncio.timeout(None) as self._wait:
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                break
            finally:
                self._wait = None
            yield chunk
        raise FailedPrecondition(
            "Another call about this upload came while this one was sending. What had arrived is kept."
        )


class Uploads:
    """Takes uploads in. Each call may be made again, by a client that did not hear what came of it.

    Calls about one upload take their turns. `progress` and `cancel` end an `append` under way: whoever asks
    has given up on what it was sending. Every call about an upload raises `NotFound` if there is none.
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
        self._opening = 0
        self._turns = asyncio.Semaphore(INCOMING_MAX)

    async def begin(
        self,
        *,
        file_id: str | None,
        display_name: str,
        mime_type: str,
        declared_bytes: int | None,
        digests: Digests = Digests(),
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
            blob=input_blob(new_id(24)),
            sha256=digests.sha256,
            md5=digests.md5,
        )
        await self._store.create_upload(upload)
        reach(CrashPoint.UPLOAD_BEGIN_AFTER)
        await asyncio.to_thread(self._blobs.appender(upload_blob(upload.id)).__exit__)
        return upload

    def received_bytes(self, upload_id: str) -> int | None:
        """Return how much of an upload has arrived, at once; None if that is not known without a look."""
        incoming = self._incoming.get(upload_id)
        return None if incoming is None else incoming.receiver.received_bytes

    async def progress(self, upload_id: str) -> Progress:
        """Say how far an upload is, ending an `append` under way."""
        self._give_up(upload_id)
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                file = await self._file_of(upload)
                return Progress(file.size_bytes, file)
            return Progress(receiver.received_bytes)

    async def append(self, upload_id: str, *, offset: int, chunks: AsyncIterator[bytes]) -> int:
        """Add bytes that belong at ``offset``, and return how much has arrived in all.

        Bytes that arrived before are skipped, so a chunk may be sent again. What arrives before the
        client breaks off is kept. Raise `InvalidArgument` if ``offset`` leaves a gap or the size goes
        over its bound, `FailedPrecondition` if another call ends this one.
        """
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                return (await self._file_of(upload)).size_bytes
            chunks = self._incoming[upload_id].until_given_up(chunks)
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
                    reach(CrashPoint.UPLOAD_APPEND_BEFORE)
                    await to_its_end(self._take(upload_id, receiver, fresh))
                    reach(CrashPoint.UPLOAD_APPEND_AFTER)
            return receiver.received_bytes

    async def finish(self, upload_id: str, *, digests: Digests = Digests()) -> File:
        """Make an upload a File. Raise `InvalidArgument` if bytes are missing: the upload stays open.

        Raise it, too, if the bytes do not hash to ``digests`` and to what was said in the beginning: the
        upload is then gone, as bytes damaged on their way cannot be mended by more of them. It stays open
        when the disk cannot take what a File needs: finish it again.
        """
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                return await self._file_of(upload)
            received_bytes = receiver.received_bytes
            if upload.declared_bytes is not None and received_bytes < upload.declared_bytes:
                raise InvalidArgument(
                    f"The upload was announced with {upload.declared_bytes} bytes and {received_bytes} have "
                    "arrived. Continue from there, or start again."
                )
            return await to_its_end(self._finish(upload, receiver, digests))

    async def cancel(self, upload_id: str) -> None:
        """Give an upload up, ending an `append` under way. Raise `FailedPrecondition` if it has finished."""
        self._give_up(upload_id)
        async with self._receiving(upload_id) as (upload, receiver):
            if receiver is None:
                raise FailedPrecondition(
                    f"The upload has finished. Delete the file files/{upload.file_id} instead."
                )
            await to_its_end(self._forget(upload_id))

    async def _forget(self, upload_id: str) -> None:
        # The row last: it leads to the bytes, should the process die between.
        await self._close(upload_id)
        await asyncio.to_thread(self._blobs.delete, upload_blob(upload_id))
        await self._store.delete_upload(upload_id)

    def _give_up(self, upload_id: str) -> None:
        if upload_id in self._incoming:
            self._incoming[upload_id].give_up()

    async def _take(self, upload_id: str, receiver: Receiver, data: bytes) -> None:
        try:
            await receiver.take(data)
        except OSError:
            # Half of it may be on the disk, and not in the index: the next call reads what is there.
            await self._close(upload_id)
            raise

    async def _finish(self, upload: Upload, receiver: Receiver, digests: Digests) -> File:
        try:
            await self._check_digests(upload, receiver, digests)
        except InvalidArgument:
            await self._forget(upload.id)
            raise
        try:
            file = await self._make_file(upload, receiver)
        except Exception:
            await self._close(upload.id)
            await self._take_back(upload)
            raise
        self._incoming.pop(upload.id)
        return file

    async def _check_digests(self, upload: Upload, receiver: Receiver, digests: Digests) -> None:
        for expected in (upload.sha256, digests.sha256):
            _compare("SHA-256", expected, receiver.sha256)
        for expected in (upload.md5, digests.md5):
            if expected is not None:
                _compare("MD5", expected, await asyncio.to_thread(self._md5, upload_blob(upload.id)))

    async def _make_file(self, upload: Upload, receiver: Receiver) -> File:
        size_bytes = receiver.received_bytes
        reach(CrashPoint.UPLOAD_FINISH_BEFORE)
        sha256 = await receiver.finish(upload.blob)
        reach(CrashPoint.UPLOAD_RECEIVE_AFTER)
        now = self._clock.now()
        file = File(
            id=upload.file_id,
            display_name=upload.display_name,
            mime_type=upload.mime_type,
            size_bytes=size_bytes,
            sha256=sha256,
            blob=upload.blob,
            source=FileSource.UPLOADED,
            created_at=now,
            expires_at=now + self._limits.file_hours * 3_600,
        )
        await self._store.create_file(file, upload_id=upload.id)
        return file

    async def _take_back(self, upload: Upload) -> None:
        """Have the bytes of a File that did not come about be an upload under way again."""
        with suppress(FileNotFoundError):  # they never got so far
            await asyncio.to_thread(self._blobs.rename, upload.blob, upload_blob(upload.id))
        await asyncio.to_thread(self._inputs.discard, upload.blob)

    def _md5(self, blob: str) -> str:
        # Only few clients ask for it: for them the bytes are read again, whichever process received them.
        digest = hashlib.md5(usedforsecurity=False)
        with self._blobs.reader(blob) as reader:
            for chunk in read_chunks(reader):
                digest.update(chunk)
        return digest.hexdigest()

    async def close(self) -> None:
        """Let go of the uploads under way; they can be taken up again."""
        for upload_id in list(self._incoming):
            await self._close(upload_id)

    @asynccontextmanager
    async def _receiving(self, upload_id: str) -> AsyncIterator[tuple[Upload, Receiver | None]]:
        """Have an upload to oneself, with its Receiver, or without one if it has finished."""
        async with self._turns:
            while True:
                upload = await self._store.get_upload(upload_id)
                if upload is None:
                    raise NotFound("There is no such upload, or it was given up. Start a new one.")
                if upload.finished:
                    yield upload, None
                    return
                incoming = await self._open(upload)
                async with incoming.lock:
                    # It may have been closed, or the upload have ended, while we waited for our turn.
                    if self._incoming.get(upload_id) is incoming:
                        yield upload, incoming.receiver
                        return

    async def _open(self, upload: Upload) -> _Incoming:
        upload_id = upload.id
        if upload_id not in self._incoming:
            self._opening += 1
            try:
                await self._close_the_idle()
                receiver = await self._receive(upload)
            finally:
                self._opening -= 1
            # Another call may have been faster meanwhile.
            if upload_id in self._incoming:
                await receiver.close()
            else:
                self._incoming[upload_id] = _Incoming(receiver)
        # The one used last goes to the end: those at the front have been idle for longest.
        incoming = self._incoming[upload_id] = self._incoming.pop(upload_id)
        return incoming

    async def _receive(self, upload: Upload) -> Receiver:
        blob = upload_blob(upload.id)
        if not await asyncio.to_thread(self._exists, blob):
            await self._take_back(upload)  # the process may have died between their new name and the File
        # An upload has its blob from the beginning on: one begun anew here would pass for all that arrived.
        if not await asyncio.to_thread(self._exists, blob):
            raise NotFound("The bytes of this upload are gone. Start a new one.")
        return await self._inputs.receive(blob)

    def _exists(self, blob: str) -> bool:
        try:
            self._blobs.reader(blob).__exit__()
        except FileNotFoundError:
            return False
        return True

    async def _close_the_idle(self) -> None:
        """Make room for one more upload, so that clients that never come back hold nothing for long."""
        idle = [name for name, incoming in self._incoming.items() if not incoming.lock.locked()]
        for upload_id in idle[: max(0, len(self._incoming) + self._opening - INCOMING_MAX)]:
            await self._close(upload_id)

    async def _close(self, upload_id: str) -> None:
        # Closing writes what is buffered beside the input. On a full disk it fails, and nothing is lost:
        # whoever takes the upload up again reads the input.
        incoming = self._incoming.pop(upload_id, None)
        if incoming is not None:
            with suppress(OSError):
                await incoming.receiver.close()

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


def _compare(algorithm: str, expected: str | None, got: str) -> None:
    if expected is not None and expected != got:
        raise InvalidArgument(
            f"The {algorithm} of the bytes that arrived is {got}, and {expected} was announced: they were "
            "damaged on their way, or the file has changed. Nothing of them is kept. Start a new upload."
        )


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``. A caller that is cancelled leaves when it is done: nobody meets it half done."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
