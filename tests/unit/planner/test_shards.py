from hypothesis import given
from hypothesis import strategies as st

from halfrate.planner.shards import cut


def different(*lengths):
    return [(length, False) for length in lengths]


def test_a_shard_ends_where_the_next_request_would_be_too_many():
    assert list(cut(different(1, 1, 1, 1, 1), requests_max=2, bytes_max=100)) == [2, 2, 1]


def test_a_shard_ends_where_the_next_line_would_be_too_long():
    assert list(cut(different(6, 4, 1), requests_max=100, bytes_max=10)) == [2, 1]


def test_a_line_beyond_the_bound_is_a_shard_by_itself():
    assert list(cut(different(1, 50, 1), requests_max=3, bytes_max=10)) == [1, 1, 1]


def test_twins_stay_together():
    lines = [(1, False), (1, False), (1, True), (1, False)]
    assert list(cut(lines, requests_max=2, bytes_max=100)) == [3, 1]
    assert list(cut(lines, requests_max=100, bytes_max=2)) == [3, 1]


def test_twins_without_end_do_not_make_a_shard_without_end():
    lines = [(1, n > 0) for n in range(10)]
    assert list(cut(lines, requests_max=2, bytes_max=100)) == [4, 4, 2]
    assert list(cut(lines, requests_max=100, bytes_max=2)) == [4, 4, 2]


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans())), st.integers(1, 8), st.integers(1, 20))
def test_shards_lose_nothing_and_stay_in_bounds(lines, requests_max, bytes_max):
    first = 0
    for requests in cut(lines, requests_max=requests_max, bytes_max=bytes_max):
        shard = lines[first : first + requests]
        assert 1 <= requests <= 2 * requests_max
        assert requests == 1 or sum(length for length, _ in shard) <= 2 * bytes_max
        if not any(twin for _, twin in shard):
            assert requests <= requests_max
        first += requests
    assert first == len(lines)
