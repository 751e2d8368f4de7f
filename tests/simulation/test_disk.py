"""The disk of the simulation: what it must keep, what it may lose, and that it does both."""

import random

import pytest

from tests.simulation.disk import LossyDisk
from tests.simulation.fate import Crashed, Fate

CHANCES = range(40)


def disk_at(path, seed=0) -> LossyDisk:
    return LossyDisk(path / "home", path / "vault", random.Random(seed))


def put(disk, path, data, *, synced):
    with disk.open(path, "ab") as file:
        left = memoryview(data)
        while left:
            left = left[disk.write(file, left) :]
        if synced:
            disk.sync(file)


def after_power_cuts(tmp_path, work):
    """What is in the home of many disks after ``work`` and a power cut."""
    found = set()
    for seed in CHANCES:
        disk = disk_at(tmp_path / str(seed), seed)
        home = tmp_path / str(seed) / "home"
        work(disk, home)
        disk.lose_power()
        files = sorted(path for path in home.rglob("*") if path.is_file())
        found.add(tuple((path.relative_to(home).as_posix(), path.read_bytes()) for path in files))
    return found


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for seed in CHANCES:
        (tmp_path / str(seed)).mkdir()


def test_what_is_synced_stays(tmp_path):
    def work(disk, home):
        put(disk, home / "a", b"bytes", synced=True)
        disk.sync_directory(home)

    assert after_power_cuts(tmp_path, work) == {(("a", b"bytes"),)}


def test_bytes_that_are_not_synced_go_from_the_end(tmp_path):
    def work(disk, home):
        put(disk, home / "a", b"one", synced=True)
        disk.sync_directory(home)
        put(disk, home / "a", b"two", synced=False)

    found = after_power_cuts(tmp_path, work)
    assert {(("a", b"one"),), (("a", b"onetwo"),)} < found
    assert all(data.startswith(b"one") for ((_, data),) in found)


def test_the_unsynced_end_of_a_segment_may_be_garbage(tmp_path):
    def work(disk, home):
        for folder in ("blobs", "blobs/jobs"):
            disk.make_directory(home / folder)
            disk.sync_directory((home / folder).parent)
        put(disk, home / "blobs/jobs/a", b"one", synced=True)
        disk.sync_directory(home / "blobs/jobs")
        put(disk, home / "blobs/jobs/a", b"two", synced=False)

    found = {data for ((_, data),) in after_power_cuts(tmp_path, work)}
    assert all(data.startswith(b"one") for data in found)
    assert any(not b"onetwo".startswith(data) for data in found)


def test_a_name_that_is_not_synced_may_go_and_a_rename_may_not_have_been(tmp_path):
    def work(disk, home):
        put(disk, home / "old", b"", synced=True)
        disk.sync_directory(home)
        disk.rename(home / "old", home / "new")
        put(disk, home / "other", b"", synced=True)

    found = {tuple(name for name, _ in files) for files in after_power_cuts(tmp_path, work)}
    assert found == {("old",), ("new",), ("new", "other")}


def test_a_move_may_leave_both_names_but_never_none_if_the_new_one_is_synced(tmp_path):
    def work(disk, home):
        for folder in ("from", "to"):
            disk.make_directory(home / folder)
        put(disk, home / "from/a", b"", synced=True)
        for folder in (home, home / "from"):
            disk.sync_directory(folder)
        disk.rename(home / "from/a", home / "to/a")
        disk.sync_directory(home / "to")

    found = {tuple(name for name, _ in files) for files in after_power_cuts(tmp_path, work)}
    assert found == {("to/a",), ("from/a", "to/a")}


def test_what_was_deleted_may_be_back_and_a_folder_takes_all_it_holds(tmp_path):
    def work(disk, home):
        put(disk, home / "c", b"", synced=True)
        disk.sync_directory(home)
        disk.unlink(home / "c")
        disk.make_directory(home / "a")
        put(disk, home / "a/b", b"", synced=True)
        disk.sync_directory(home / "a")

    found = {tuple(name for name, _ in files) for files in after_power_cuts(tmp_path, work)}
    assert found == {("c",), (), ("a/b",)}


def test_a_full_disk_takes_nothing_and_a_dead_process_does_nothing(tmp_path):
    disk, home = disk_at(tmp_path), tmp_path / "home"
    put(disk, home / "a", b"one", synced=True)
    disk.full = True
    with pytest.raises(OSError, match="No space"):
        put(disk, home / "b", b"", synced=False)
    with pytest.raises(OSError, match="No space"):
        put(disk, home / "a", b"two", synced=False)
    disk.full = False
    disk.fate = Fate(0)
    with pytest.raises(Crashed):
        disk.fate.reach("here")
    with pytest.raises(Crashed):
        disk.unlink(home / "a")
    assert (home / "a").exists()
