"""The contract of `halfrate.store.blob.api`, for every store."""

import os
import random
import stat
from pathlib import Path

import pytest

from halfrate.store.blob.api import CHUNK_BYTES, read_chunks
from halfrate.store.blob.local import LocalBlobStore
from tests.simulation.disk import LossyDisk


@pytest.fixture(params=["on the machine's disk", "on a simulated disk"])
def store(request, tmp_path, tmp_path_factory):
    if request.param == "on the machine's disk":
        return LocalBlobStore(tmp_path / "blobs")
    vault = tmp_path_factory.mktemp("vault") / "files"
    return LocalBlobStore(tmp_path / "data" / "blobs", LossyDisk(tmp_path / "data", vault, random.Random(1)))


def put(store, name, data):
    with store.writer(name) as writer:
        writer.write(data)
        return writer.commit()


def get(store, name):
    with store.reader(name) as reader:
        return b"".join(read_chunks(reader))


def test_a_committed_blob_can_be_read(store):
    assert put(store, "jobs/1/input", b"bytes") == 5
    assert get(store, "jobs/1/input") == b"bytes"


def test_a_writer_left_without_commit_leaves_nothing(store, tmp_path):
    with store.writer("jobs/1/input") as writer:
        writer.write(b"bytes")
    with pytest.raises(FileNotFoundError):
        store.reader("jobs/1/input")
    assert list(store.names("jobs")) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_writer_left_by_an_error_leaves_the_old_blob(store):
    put(store, "blob", b"old")
    with pytest.raises(ZeroDivisionError), store.writer("blob") as writer:
        writer.write(bytes(1 // 0))
    assert get(store, "blob") == b"old"


def test_a_blob_is_invisible_until_it_is_committed(store):
    put(store, "blob", b"old")
    with store.writer("blob") as writer:
        writer.write(b"new")
        assert get(store, "blob") == b"old"
        writer.commit()
        assert get(store, "blob") == b"new"


def test_commit_replaces_the_whole_blob(store):
    put(store, "blob", b"a long old blob")
    put(store, "blob", b"new")
    assert get(store, "blob") == b"new"


def test_a_reader_keeps_the_blob_it_opened(store):
    put(store, "blob", b"old")
    with store.reader("blob") as reader:
        put(store, "blob", b"newer")
        assert (reader.size_bytes, reader.read(0, 10)) == (3, b"old")


def test_a_reader_reads_anywhere_and_less_only_at_the_end(store):
    put(store, "folder/blob", b"0123456789")
    with store.reader("folder/blob") as reader:
        assert (reader.name, reader.size_bytes) == ("folder/blob", 10)
        assert reader.read(2, 3) == b"234"
        assert reader.read(8, 10) == b"89"
        assert reader.read(10, 1) == reader.read(50, 1) == reader.read(3, 0) == b""


def test_chunks_add_up_to_the_part_asked_for(store):
    data = os.urandom(2 * CHUNK_BYTES + 5)
    put(store, "blob", data)
    with store.reader("blob") as reader:
        chunks = list(read_chunks(reader, 3))
        assert b"".join(chunks) == data[3:]
        assert max(map(len, chunks)) <= CHUNK_BYTES
        assert b"".join(read_chunks(reader, 3, 10)) == data[3:10]
        assert list(read_chunks(reader, 10, 3)) == []


def test_appended_bytes_are_readable_at_once(store):
    with store.appender("segments/1") as appender:
        for n in range(1, 4):
            appender.append(b"abc")
            assert appender.size_bytes == 3 * n
            assert get(store, "segments/1") == b"abc" * n
        appender.sync()


def test_an_appender_goes_on_where_the_last_one_ended(store):
    for n in range(2):
        with store.appender("segment") as appender:
            assert appender.size_bytes == 3 * n
            appender.append(b"abc")
    assert get(store, "segment") == b"abcabc"


def test_a_missing_blob_is_not_found(store):
    with pytest.raises(FileNotFoundError):
        store.reader("nothing/here")
    with pytest.raises(FileNotFoundError):
        store.rename("nothing/here", "there")


def test_a_renamed_blob_has_only_its_new_name(store):
    put(store, "uploads/1", b"bytes")
    store.rename("uploads/1", "files/1")
    assert get(store, "files/1") == b"bytes"
    with pytest.raises(FileNotFoundError):
        store.reader("uploads/1")


def test_deleting_takes_a_blob_or_all_below_a_name(store):
    for name in ("jobs/1/a", "jobs/1/b/c", "jobs/10", "jobs/2"):
        put(store, name, b"")
    store.delete("jobs/1")
    assert list(store.names("jobs")) == ["jobs/10", "jobs/2"]
    store.delete("jobs/2")
    store.delete("jobs/2")
    assert list(store.names("jobs")) == ["jobs/10"]


def test_names_are_those_below_a_folder_in_order(store):
    for name in ("jobs/2", "jobs/1/b", "jobs/1/a", "jobsite/1"):
        put(store, name, b"")
    assert list(store.names("jobs")) == ["jobs/1/a", "jobs/1/b", "jobs/2"]
    assert list(store.names("nothing")) == []


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "..", "../out", "a/../../out", "a/..", "./a", "a//b", "a/", "a\0b"]
)
def test_a_name_that_leaves_the_root_is_refused(store, name):
    for use in (store.writer, store.appender, store.reader, store.delete):
        with pytest.raises(ValueError, match="is no blob name"):
            use(name)
    put(store, "blob", b"")
    with pytest.raises(ValueError, match="is no blob name"):
        store.rename("blob", name)


# What only a store of local files promises.


@pytest.fixture
def calls(monkeypatch):
    """The order of fsyncs, of files and directories, and of renames."""
    log = []
    real_fsync, real_fdatasync = os.fsync, os.fdatasync

    def kind(descriptor):
        return "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"

    def fsync(descriptor):
        log.append(f"sync {kind(descriptor)}")
        real_fsync(descriptor)

    def fdatasync(descriptor):
        log.append(f"sync {kind(descriptor)}")
        real_fdatasync(descriptor)

    real_rename = Path.rename

    def rename(self, target):
        log.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(Path, "rename", rename)
    return log


def test_bytes_are_durable_before_their_name_is(tmp_path, calls):
    """After a power cut the name points at the old blob or the whole new one, never at half of it."""
    store = LocalBlobStore(tmp_path)
    with store.writer("blob") as writer:
        writer.write(b"bytes")
        calls.clear()
        writer.commit()
    assert calls == ["sync file", "rename", "sync directory"]


def test_a_new_folder_is_durable_in_its_parent(tmp_path, calls):
    store = LocalBlobStore(tmp_path)
    calls.clear()
    with store.writer("a/b/blob"):
        assert calls == ["sync directory", "sync directory"]


def test_a_folder_that_another_process_made_is_made_durable_too(tmp_path, calls):
    """It may have died before it synced the parent, and a power cut would take all that is put in there."""
    LocalBlobStore(tmp_path)
    (tmp_path / "a").mkdir()
    store = LocalBlobStore(tmp_path)
    calls.clear()
    put(store, "a/blob", b"")
    assert calls == ["sync directory", "sync file", "rename", "sync directory"]
    calls.clear()
    put(store, "a/blob", b"")
    assert calls == ["sync file", "rename", "sync directory"]


def test_a_folder_that_was_deleted_is_made_again(tmp_path, calls):
    store = LocalBlobStore(tmp_path)
    put(store, "a/b/blob", b"")
    store.delete("a")
    calls.clear()
    with store.writer("a/b/blob"):
        assert calls == ["sync directory", "sync directory"]


def test_the_folders_that_are_remembered_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("halfrate.store.blob.local._Folders.KNOWN_MAX", 2)
    store = LocalBlobStore(tmp_path)
    for number in range(5):
        put(store, f"{number}/blob", b"bytes")
    assert len(store._folders._known) <= 2
    assert [get(store, f"{number}/blob") for number in range(5)] == [b"bytes"] * 5


def test_what_is_deleted_is_gone_for_good(tmp_path, calls):
    """Its row goes after it: brought back by a power cut, nothing would lead to it any more."""
    store = LocalBlobStore(tmp_path)
    put(store, "jobs/1/a", b"")
    calls.clear()
    store.delete("jobs/1")
    assert calls == ["sync directory"]
    store.delete("jobs/1")
    assert calls == ["sync directory"] * 2, "who removed it may have died before it synced"


def test_an_appender_makes_its_new_name_durable_and_syncs_on_demand(tmp_path, calls):
    store = LocalBlobStore(tmp_path)
    calls.clear()
    with store.appender("segment") as appender:
        assert calls == ["sync directory"]
        appender.append(b"bytes")
        assert calls == ["sync directory"]
        appender.sync()
    assert calls == ["sync directory", "sync file"]


def test_an_appender_makes_a_name_durable_that_was_there(tmp_path, calls):
    """Who created it may have died before it did."""
    (tmp_path / "segment").write_bytes(b"")
    store = LocalBlobStore(tmp_path)
    calls.clear()
    with store.appender("segment"):
        assert calls == ["sync directory"]


def test_a_rename_is_durable_under_its_new_name(tmp_path, calls):
    store = LocalBlobStore(tmp_path)
    put(store, "a/blob", b"")
    put(store, "b/blob", b"")
    calls.clear()
    store.rename("a/blob", "b/blob")
    assert calls == ["rename", "sync directory"]


def test_what_dead_writers_left_is_swept_and_never_listed(tmp_path):
    store = LocalBlobStore(tmp_path)
    writer = store.writer("jobs/1")
    writer.write(b"bytes")
    assert list(store.names("jobs")) == []
    store.sweep()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    writer.__exit__()
