from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from halfrate.ingest.sort import ExternalSort


def external(pairs, spill, memory_bytes):
    with ExternalSort(spill, memory_bytes=memory_bytes) as sort:
        for key, payload in pairs:
            sort.add(key, payload)
        return list(sort.sorted())


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=5))), st.integers(1, 2000))
def test_any_memory_gives_the_order_of_a_stable_sort(tmp_path_factory, pairs, memory_bytes):
    spill = tmp_path_factory.getbasetemp() / "spill"
    assert external(pairs, spill, memory_bytes) == sorted(pairs, key=itemgetter(0))


def test_equal_keys_keep_their_order_through_several_merges(tmp_path):
    pairs = [(bytes([n % 3]), n.to_bytes(4, "big")) for n in range(5000)]
    assert external(pairs, tmp_path, memory_bytes=500) == sorted(pairs, key=itemgetter(0))


def test_open_files_stay_few(tmp_path):
    with ExternalSort(tmp_path, memory_bytes=1) as sort:
        for n in range(3000):
            sort.add(n.to_bytes(4, "little"), b"")
        assert len(sort._runs) < 100
        assert len(list(sort.sorted())) == 3000


def test_no_file_is_left_behind_or_even_visible(tmp_path):
    with ExternalSort(tmp_path, memory_bytes=100) as sort:
        for n in range(100):
            sort.add(bytes([n]), b"payload")
        assert list(tmp_path.iterdir()) == []


def test_nothing_sorts_to_nothing(tmp_path):
    assert external([], tmp_path, memory_bytes=100) == []
