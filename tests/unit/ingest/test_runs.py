from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfrate.ingest import runs
from halfrate.ingest.runs import EVERYTHING, Range, Rows, RowsWriter, Run, halves, merge, read_rows, write_run

KEYS = st.lists(st.text("abc", max_size=4).map(str.encode), max_size=40)


def rows_of(count, first=0):
    numbers = range(first, first + count)
    return Rows(
        array("Q", numbers),
        array("I", range(count)),
        array("I", range(1, count + 1)),
        array("I", numbers),
        array("B", [n % 256 for n in numbers]),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS, max_size=6), st.integers(1, 600))
def test_merging_runs_is_a_stable_sort(tmp_path, monkeypatch, keys_of_runs, merge_bytes):
    """However small the blocks; equal keys come in the order they were written, over all runs."""
    monkeypatch.setattr(runs, "MERGE_BYTES", merge_bytes)
    monkeypatch.setattr(runs, "_BLOCK_ROWS_MAX", 3)
    monkeypatch.setattr(runs, "_TOLD_APART_BYTES", 1)
    written, expected, first = [], [], 0
    for number, keys in enumerate(keys_of_runs):
        path = tmp_path / str(number)
        write_run(path, keys, rows_of(len(keys), first))
        written.append(Run(str(path), len(keys), ordinal_base=first, number_base=first))
        expected += [(key, first + position) for position, key in enumerate(keys)]
        first += len(keys)
    merged = []
    for keys, rows in merge(written):
        assert keys
        assert list(rows.ordinals) == list(rows.offsets) == list(rows.lengths)
        assert [number - 1 for number in rows.numbers] == list(rows.ordinals)
        assert list(rows.flags) == [n % 256 for n in rows.ordinals]
        merged += zip(keys, rows.ordinals, strict=True)
    assert merged == sorted(expected)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS, max_size=6), st.integers(1, 600))
def test_halves_hold_together_what_there_is(tmp_path, monkeypatch, keys_of_runs, merge_bytes):
    """In order, no row twice, and no key in both."""
    monkeypatch.setattr(runs, "MERGE_BYTES", merge_bytes)
    monkeypatch.setattr(runs, "_BLOCK_ROWS_MAX", 3)
    monkeypatch.setattr(runs, "_TOLD_APART_BYTES", 1)
    written, first = [], 0
    for number, keys in enumerate(keys_of_runs):
        path = tmp_path / str(number)
        write_run(path, keys, rows_of(len(keys), first))
        written.append(Run(str(path), len(keys), ordinal_base=first))
        first += len(keys)
    lower, upper = ([*_pairs(written, half)] for half in halves(written))
    assert lower + upper == [*_pairs(written, EVERYTHING)]
    assert {key for key, _ in lower}.isdisjoint(key for key, _ in upper)


def _pairs(written, within):
    for keys, rows in merge(written, within):
        assert keys
        yield from zip(keys, rows.ordinals, strict=True)


def test_halves_are_of_about_one_size_and_only_their_blocks_are_read(tmp_path):
    keys = [b"the same beginning %05d" % n for n in range(20_000)]
    written = [write(tmp_path, n, keys[n::2], first=n) for n in range(2)]
    for half in halves(written):
        assert sum(len(keys) for keys, _ in merge(written, half)) == pytest.approx(10_000, abs=2 * 128)
    last = halves([write(tmp_path, 2, keys)])[1]
    _damage_first_block(tmp_path / "2")
    assert sum(len(keys) for keys, _ in merge([Run(str(tmp_path / "2"), len(keys))], last)) > 9_000


def _damage_first_block(path):
    with path.open("r+b") as file:
        file.write(b"\xff" * 16)


def test_a_range_may_begin_before_a_block_of_whose_first_key_little_is_known(tmp_path, monkeypatch):
    """Of "ab" the "a" is kept: that is below "aa", and what follows "aa" lies in the block before."""
    monkeypatch.setattr(runs, "_BLOCK_ROWS_MAX", 3)
    monkeypatch.setattr(runs, "_TOLD_APART_BYTES", 1)
    keys = [b"", b"aa", b"aab", b"ab", b"abc"]
    written = [write(tmp_path, 0, keys)]
    assert [key for key, _ in _pairs(written, Range(low=b"aa"))] == keys[1:]
    assert [key for key, _ in _pairs(written, Range(high=b"aa"))] == keys[:1]


def test_rows_are_read_as_they_were_written(tmp_path):
    with RowsWriter(tmp_path / "rows") as writer:
        writer.add(rows_of(3))
        writer.add(rows_of(2, first=7))
    assert writer.rows == 5
    assert [list(rows.offsets) for rows in read_rows(tmp_path / "rows")] == [[0, 1, 2], [7, 8]]


def write(tmp_path, number, keys, first=0):
    path = tmp_path / str(number)
    write_run(path, keys, rows_of(len(keys)))
    return Run(str(path), len(keys), ordinal_base=first)


def test_merging_holds_a_part_of_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MERGE_BYTES", 100_000)
    written = [write(tmp_path, n, [b"%09d" % (m * 4 + n) for m in range(5_000)]) for n in range(4)]
    assert max(len(keys) for keys, _ in merge(written)) <= 100_000 // 120 + 4 * 128


def test_a_key_without_end_is_not_held(tmp_path, monkeypatch):
    """Ten thousand rows of one key, among others, in three runs: in order, and never all at once."""
    monkeypatch.setattr(runs, "MERGE_BYTES", 100_000)
    keys = [b"a"] * 10 + [b"k" * 50] * 10_000 + [b"k" * 51] * 10
    written = [write(tmp_path, n, keys, first=n * len(keys)) for n in range(3)]
    merged = list(merge(written))
    assert max(len(keys) for keys, _ in merged) <= 2 * 100_000 // 120 + 4 * 128
    pairs = [pair for keys, rows in merged for pair in zip(keys, rows.ordinals, strict=True)]
    assert pairs == sorted(pairs)
    assert len(pairs) == 3 * len(keys)


def test_keys_that_begin_alike_for_long_are_parted_all_the_same(tmp_path, monkeypatch):
    """What is kept of a block's first key is short, however long keys are alike."""
    monkeypatch.setattr(runs, "MERGE_BYTES", 400_000)
    beginnings = [b"x" * 1_000, b"x" * 999 + b"y"]
    keys = [beginning + b"%06d" % n for beginning in beginnings for n in range(2_000)]
    written = [write(tmp_path, n, keys[n::3], first=10_000 * n) for n in range(3)]
    batches = [keys for keys, _ in merge(written)]
    assert [key for keys in batches for key in keys] == sorted(keys)
    assert max(len(keys) for keys in batches) < 1_200
