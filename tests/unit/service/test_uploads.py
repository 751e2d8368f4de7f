"""Uploads that are asked about, ended, damaged or crowded while they are under way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from halfrate.domain.errors import FailedPrecondition, InvalidArgument, NotFound
from halfrate.service.uploads import Digests
from tests.fakes import pieces


class Sender:
    """A client whose bytes come when the test says so."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.waited_for = asyncio.Event()

    def send(self, data: bytes) -> None:
        self._pieces.put_nowait(data)

    def end(self) -> None:
        self._pieces.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces.empty():
                self.waited_for.set()
            piece = await self._pieces.get()
            if piece is None:
                return
            yield piece


async def begin(app, **announced):
    values = {"file_id": None, "display_name": "d", "mime_type": "jsonl", "declared_bytes": None}
    return await app.uploads.begin(**(values | announced))


async def sending(app, upload, data: bytes) -> tuple[asyncio.Task, Sender]:
    """An append that has begun, and whose client has more to come."""
    sender = Sender()
    sender.send(data)
    task = asyncio.create_task(app.uploads.append(upload.id, offset=0, chunks=sender.chunks()))
    await sender.waited_for.wait()
    return task, sender


async def content(app, file) -> bytes:
    _, chunks = await app.files.download(file.id)
    return b"".join([chunk async for chunk in chunks])


async def test_a_query_ends_what_is_being_sent_and_tells_what_has_come(start):
    async with start() as app:
        upload = await begin(app)
        task, _ = await sending(app, upload, b"01234")
        assert (await app.uploads.progress(upload.id)).received_bytes == 5
        with pytest.raises(FailedPrecondition, match="Another call"):
            await task
        assert await app.uploads.append(upload.id, offset=5, chunks=pieces(b"56")) == 7


async def test_a_cancel_ends_what_is_being_sent_and_leaves_nothing(start):
    async with start() as app:
        upload = await begin(app)
        task, _ = await sending(app, upload, b"01234")
        await app.uploads.cancel(upload.id)
        with pytest.raises(FailedPrecondition):
            await task
        assert list(app.blobs.names("uploads")) == []
        with pytest.raises(NotFound):
            await app.uploads.append(upload.id, offset=0, chunks=pieces(b"0"))


async def test_a_finish_waits_for_what_is_being_sent(start):
    async with start() as app:
        upload = await begin(app)
        task, sender = await sending(app, upload, b"01234")
        finishing = asyncio.create_task(app.uploads.finish(upload.id))
        sender.send(b"56789")
        sender.end()
        assert await task == 10
        assert await content(app, await finishing) == b"0123456789"


async def test_two_appends_take_their_turns(start):
    async with start() as app:
        upload = await begin(app)
        first, sender = await sending(app, upload, b"01234")
        second = asyncio.create_task(app.uploads.append(upload.id, offset=10, chunks=pieces(b"abc")))
        again = asyncio.create_task(app.uploads.append(upload.id, offset=0, chunks=pieces(b"0123456789")))
        sender.send(b"56789")
        sender.end()
        assert await asyncio.gather(first, second, again) == [10, 13, 13]
        assert await content(app, await app.uploads.finish(upload.id)) == b"0123456789abc"


async def test_a_caller_that_is_cancelled_leaves_nothing_half_done(start, monkeypatch):
    """As at the end of a server's grace: bytes on their way to the disk get there before anyone closes it."""
    async with start() as app:
        upload = await begin(app)
        task, sender = await sending(app, upload, b"01234")
        sender.end()
        taken = asyncio.Event()
        incoming = app.uploads._incoming[upload.id]
        take = incoming.receiver.take

        async def slowly(data: bytes) -> None:
            taken.set()
            await asyncio.sleep(0)
            await take(data)

        monkeypatch.setattr(incoming.receiver, "take", slowly)
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert incoming.receiver.received_bytes == 5


@pytest.mark.parametrize("announced", ["sha256", "md5"])
@pytest.mark.parametrize("when", ["begin", "finish"])
async def test_damaged_bytes_never_become_a_file(start, announced, when):
    async with start() as app:
        right = Digests(**{announced: hashlib.new(announced, b"0123456789").hexdigest()})
        got = hashlib.new(announced, b"0123x56789").hexdigest()
        early, late = (right, Digests()) if when == "begin" else (Digests(), right)
        damaged = await begin(app, digests=early)
        await app.uploads.append(damaged.id, offset=0, chunks=pieces(b"0123x56789"))
        with pytest.raises(InvalidArgument) as refusal:
            await app.uploads.finish(damaged.id, digests=late)
        assert f"is {got}, and {getattr(right, announced)} was announced" in str(refusal.value)
        assert [*app.blobs.names("uploads"), *app.blobs.names("inputs"), *app.blobs.names("indexes")] == []
        with pytest.raises(NotFound):
            await app.uploads.progress(damaged.id)
        whole = await begin(app, digests=early)
        await app.uploads.append(whole.id, offset=0, chunks=pieces(b"0123456789"))
        assert (await app.uploads.finish(whole.id, digests=late)).size_bytes == 10


async def test_what_was_announced_is_remembered_over_a_restart(start):
    async with start() as app:
        upload = await begin(app, digests=Digests(sha256="0" * 64))
        await app.uploads.append(upload.id, offset=0, chunks=pieces(b"01234"))
    async with start() as app:
        with pytest.raises(InvalidArgument, match="SHA-256"):
            await app.uploads.finish(upload.id)


async def test_an_upload_whose_bytes_were_lost_is_not_taken_for_an_empty_one(start):
    async with start() as app:
        upload = await begin(app)
        await app.uploads.append(upload.id, offset=0, chunks=pieces(b"01234"))
    async with start() as app:
        app.blobs.delete(f"uploads/{upload.id}")
        with pytest.raises(NotFound, match="bytes of this upload are gone"):
            await app.uploads.finish(upload.id)


async def test_a_process_that_dies_before_the_file_is_there_leaves_all_that_arrived(start):
    """The bytes have their last name by then, and are nobody's but the upload's."""
    async with start() as app:
        upload = await begin(app)
        await app.uploads.append(upload.id, offset=0, chunks=pieces(b"0123456789"))
    async with start() as app:
        app.blobs.rename(f"uploads/{upload.id}", upload.blob)
    async with start() as app:
        await app.pruner.prune_orphans()
        assert (await app.uploads.progress(upload.id)).received_bytes == 10
        file = await app.uploads.finish(upload.id)
        assert await content(app, file) == b"0123456789"


async def test_more_uploads_than_are_kept_open_wait_for_their_turn(start, monkeypatch):
    monkeypatch.setattr("halfrate.service.uploads.INCOMING_MAX", 2)
    async with start() as app:
        uploads = [await begin(app) for _ in range(5)]
        busy = [await sending(app, upload, b"01234") for upload in uploads[:2]]
        others = [
            asyncio.create_task(app.uploads.append(upload.id, offset=0, chunks=pieces(b"01234")))
            for upload in uploads[2:]
        ]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(app.uploads._incoming) == 2
        for _, sender in busy:
            sender.end()
        assert await asyncio.gather(*(task for task, _ in busy), *others) == [5] * 5
        assert len(app.uploads._incoming) <= 2
