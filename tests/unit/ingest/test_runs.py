from array import array

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfrate.ingest import runs
from halfrate.ingest.runs import Rows, Run, merge, write_run

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
@given(st.lists(KEYS, max_size=6), st.integers(1, 60))
def test_merging_runs_is_a_stable_sort(tmp_path, monkeypatch, keys_of_runs, merge_bytes):
    """However small the blocks; equal keys come in the order they were written, over all runs."""
    monkeypatch.setattr(runs, "MERGE_BYTES", merge_bytes)
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


def test_merging_holds_a_part_of_the_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MERGE_BYTES", 10_000)
    written = []
    for number in range(4):
        path = tmp_path / str(number)
        write_run(path, [b"%09d" % (n * 4 + number) for n in range(5_000)], rows_of(5_000))
        written.append(Run(str(path), 5_000))
    assert max(len(keys) for keys, _ in merge(written)) <= 4 * 10_000 // 4 // 9 + 4
