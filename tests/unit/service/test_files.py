"""Uploads that break off, repeat themselves, or lie; downloads in part."""

import asyncio
import base64
import errno
import hashlib
from pathlib import Path

import pytest

from halfrate.config import Limits
from halfrate.domain.errors import AlreadyExists, FailedPrecondition, Forbidden, InvalidArgument, NotFound
from halfrate.service.uploads import Progress
from halfrate.store.blob.disk import OsDisk
from tests.fakes import FakeClock, ended, line, open_files, pieces, results, submit, text_of, until, upload


async def begin(app, declared_bytes=None, file_id=None):
    return await app.uploads.begin(
        file_id=file_id, display_name="d", mime_type="jsonl", declared_bytes=declared_bytes
    )


async def read(app, file_id, *span):
    content = await app.files.content(file_id)
    chunks = content.read_part(*span) if span else content.read()
    size_bytes = content.size_bytes
    return size_bytes, b"".join([chunk async for chunk in chunks])


async def test_what_was_uploaded_can_be_downloaded_whole_and_in_part(start):
    data = bytes(range(256)) * 20_000
    async with start() as app:
        file = await upload(app, data)
        assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert await read(app, file.id) == (len(data), data)
        assert await read(app, file.id, 5, 1_500_000) == (len(data), data[5:1_500_000])


async def test_a_chunk_sent_twice_counts_once(start):
    async with start() as app:
        begun = await begin(app, 10)
        await app.uploads.append(begun.id, offset=0, chunks=pieces(b"01234"))
        assert await app.uploads.append(begun.id, offset=0, chunks=pieces(b"01234")) == 5
        assert await app.uploads.append(begun.id, offset=3, chunks=pieces(b"3456789", size=1)) == 10
        file = await app.uploads.finish(begun.id)
        assert (await read(app, file.id))[1] == b"0123456789"


async def test_a_gap_is_refused_and_says_where_to_go_on(start):
    async with start() as app:
        begun = await begin(app, 10)
        with pytest.raises(InvalidArgument, match=r"offset 5.*only 0 bytes"):
            await app.uploads.append(begun.id, offset=5, chunks=pieces(b"56789"))


async def test_an_upload_cut_half_way_stays_open_and_is_taken_up_after_a_restart(start):
    data = line("x", "a") + b"\n" + line("y", "b")

    async def breaks_off():
        yield data[:20]
        raise ConnectionError("gone")

    async with start() as app:
        begun = await begin(app, len(data))
        with pytest.raises(ConnectionError):
            await app.uploads.append(begun.id, offset=0, chunks=breaks_off())
        assert (await app.uploads.progress(begun.id)).received_bytes == 20
        with pytest.raises(InvalidArgument, match=rf"{len(data)} bytes and 20 have arrived"):
            await app.uploads.finish(begun.id)
    async with start() as app:
        assert (await app.uploads.progress(begun.id)).received_bytes == 20
        await app.uploads.append(begun.id, offset=20, chunks=pieces(data[20:]))
        file = await app.uploads.finish(begun.id)
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        job = await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0)
        assert job.counts.requests == 2


async def test_more_than_announced_or_allowed_is_refused(start):
    async with start(limits=Limits(file_bytes=100)) as app:
        with pytest.raises(InvalidArgument, match="at most 100"):
            await begin(app, 101)
        small = await begin(app, 5)
        with pytest.raises(InvalidArgument, match="announced with 5 bytes"):
            await app.uploads.append(small.id, offset=0, chunks=pieces(b"123456"))
        unannounced = await begin(app)
        with pytest.raises(InvalidArgument, match="at most 100"):
            await app.uploads.append(unannounced.id, offset=0, chunks=pieces(b"x" * 101))


async def test_a_chosen_name_is_kept_and_taken_once(start):
    async with start() as app:
        begun = await begin(app, 0, file_id="my-file")
        assert (await app.uploads.finish(begun.id)).id == "my-file"
        with pytest.raises(AlreadyExists):
            await begin(app, 0, file_id="my-file")
        with pytest.raises(InvalidArgument, match="batch results"):
            await begin(app, 0, file_id="batch-abc")


async def test_uploads_that_are_never_finished_hold_no_files_open(start, monkeypatch):
    monkeypatch.setattr("halfrate.service.uploads.INCOMING_MAX", 3)
    async with start() as app:
        begun = [await begin(app, 10) for _ in range(10)]
        for upload_ in begun:
            await app.uploads.append(upload_.id, offset=0, chunks=pieces(b"01234"))
        held = [Path(link).name for link in open_files() if "/uploads/" in link]
        assert len(held) <= 3
        for upload_ in begun:
            await app.uploads.append(upload_.id, offset=5, chunks=pieces(b"56789"))
            assert (await read(app, (await app.uploads.finish(upload_.id)).id))[1] == b"0123456789"


async def test_a_finish_asked_for_again_has_the_same_answer(start):
    """The client may not have heard that it had finished, before or after the server was started again."""
    async with start() as app:
        begun = await begin(app, 5)
        await app.uploads.append(begun.id, offset=0, chunks=pieces(b"01234"))
        first, second, size_bytes = await asyncio.gather(
            app.uploads.finish(begun.id),
            app.uploads.finish(begun.id),
            app.uploads.append(begun.id, offset=0, chunks=pieces(b"01234")),
        )
        assert (second, size_bytes) == (first, 5)
    async with start() as app:
        assert await app.uploads.progress(begun.id) == Progress(5, first)
        assert await app.uploads.finish(begun.id) == first
        with pytest.raises(FailedPrecondition):
            await app.uploads.cancel(begun.id)
        await app.files.delete(first.id)
        with pytest.raises(NotFound):
            await app.uploads.finish(begun.id)


async def test_a_cancelled_upload_is_gone_with_its_bytes(start):
    async with start() as app:
        begun = await begin(app, 5)
        await app.uploads.append(begun.id, offset=0, chunks=pieces(b"123"))
        await app.uploads.cancel(begun.id)
        with pytest.raises(NotFound):
            await app.uploads.progress(begun.id)
        assert list(app.blobs.names("uploads")) == []


async def test_an_unknown_upload_and_an_unknown_file_are_refused(start):
    async with start() as app:
        with pytest.raises(NotFound):
            await app.uploads.append("guess", offset=0, chunks=pieces(b"x"))
        for call in (app.files.get, app.files.delete, app.files.download):
            with pytest.raises(Forbidden):
                await call("guess")


async def test_files_are_listed_in_pages_and_bad_tokens_are_refused(start):
    async with start() as app:
        names = [(await upload(app, f"{n}".encode())).id for n in range(5)]
        first, token = await app.files.list(page_size=2, page_token=None)
        second, token = await app.files.list(page_size=2, page_token=token)
        third, token = await app.files.list(page_size=2, page_token=token)
        assert [file.id for file in first + second + third] == names[::-1]
        assert token is None
        for bad in ("x", "%%%", base64.urlsafe_b64encode(b"\xc1" * 9).decode()):
            with pytest.raises(InvalidArgument):
                await app.files.list(page_size=2, page_token=bad)


async def test_a_deleted_file_takes_its_bytes_and_index_with_it(start):
    async with start() as app:
        file = await upload(app, line("x"))
        await app.files.delete(file.id)
        with pytest.raises(Forbidden):
            await app.files.get(file.id)

        async def gone() -> bool:
            return list(app.blobs.names("inputs")) + list(app.blobs.names("indexes")) == []

        await until(gone)  # the index may just be being made


async def test_expired_files_and_given_up_uploads_are_pruned(start):
    clock = FakeClock()
    async with start(clock=clock, limits=Limits(file_hours=1, upload_hours=1)) as app:
        file = await upload(app, line("x"))
        begun = await begin(app, 5)
        await app.uploads.append(begun.id, offset=0, chunks=pieces(b"123"))
        clock.advance(seconds=3601)
        with pytest.raises(Forbidden):
            await app.files.get(file.id)

    async with start(clock=clock, limits=Limits(file_hours=1, upload_hours=1)) as app:

        async def pruned():
            return not [*app.blobs.names("inputs"), *app.blobs.names("indexes"), *app.blobs.names("uploads")]

        await until(pruned)


async def test_bytes_whose_row_was_never_written_are_removed_at_the_next_start(start):
    async with start() as app:
        with app.blobs.writer("inputs/orphan") as writer:
            writer.write(b"x")
            writer.commit()
    async with start() as app:

        async def removed() -> bool:
            return list(app.blobs.names("inputs")) == []

        await until(removed)


async def test_what_is_left_of_jobs_without_a_row_is_removed_at_the_next_start(start):
    """As after the database was restored from an older backup than the blobs."""
    async with start() as app:
        job = await ended(app, await submit(app, line("x")))
        kept = [*app.blobs.names("outputs"), *app.blobs.names("jobs")]
        for name in ("jobs/lost/segments/000000-1", "outputs/lost", "uploads/lost"):
            with app.blobs.writer(name) as writer:
                writer.write(b"x")
                writer.commit()
    async with start() as app:

        async def removed() -> bool:
            held = [*app.blobs.names("outputs"), *app.blobs.names("jobs"), *app.blobs.names("uploads")]
            return held == kept

        await until(removed)
        assert [text_of(result) for result in await results(app, job)] == ["x"]


async def test_an_append_that_a_full_disk_cut_off_can_be_gone_on_with(start, monkeypatch):
    """Half of a chunk is in the blob and counts as received: index and digest have to know it too."""
    data = line("one", "a") + b"\n" + line("two", "b")
    real_write = OsDisk.write

    def write_half(self, file, view):
        monkeypatch.setattr(OsDisk, "write", full)
        return real_write(self, file, view[: len(view) // 2])

    def full(self, file, view):
        raise OSError(errno.ENOSPC, "No space left on device")

    async with start() as app:
        begun = await begin(app, len(data))
        await app.uploads.progress(begun.id)
        monkeypatch.setattr(OsDisk, "write", write_half)
        with pytest.raises(OSError, match="No space"):
            await app.uploads.append(begun.id, offset=0, chunks=pieces(data))
        monkeypatch.setattr(OsDisk, "write", real_write)
        arrived = (await app.uploads.progress(begun.id)).received_bytes
        assert arrived == len(data) // 2
        await app.uploads.append(begun.id, offset=arrived, chunks=pieces(data[arrived:]))
        file = await app.uploads.finish(begun.id)
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        job = await ended(
            app,
            await app.jobs.create_from_file(model="pocket-1", file_id=file.id, display_name="", priority=0),
        )
        assert [text_of(result) for result in await results(app, job)] == ["one", "two"]


async def test_an_upload_whose_row_could_not_be_written_begins_again(start, monkeypatch):
    data = line("one", "a")
    async with start() as app:
        begun = await begin(app, len(data))
        await app.uploads.append(begun.id, offset=0, chunks=pieces(data))
        with monkeypatch.context() as fault:

            async def full(*arguments, **options):
                raise OSError(errno.ENOSPC, "No space left on device")

            fault.setattr(app.store, "create_file", full)
            with pytest.raises(OSError, match="No space"):
                await app.uploads.finish(begun.id)
        arrived = (await app.uploads.progress(begun.id)).received_bytes
        await app.uploads.append(begun.id, offset=arrived, chunks=pieces(data[arrived:]))
        file = await app.uploads.finish(begun.id)
        assert await read(app, file.id) == (len(data), data)
