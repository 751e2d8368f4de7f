from hypothesis import given
from hypothesis import strategies as st

from halfrate.planner.shards import cut, cut_sections


def shards(lines, *, border=2, **bounds):
    """Cut lines that come in blocks, which must make no difference."""
    blocks = [lines[:border], [], lines[border:]]
    columns = [([length for length, _ in block], [twin for _, twin in block]) for block in blocks]
    return list(cut(columns, **bounds))


def different(*lengths):
    return [(length, False) for length in lengths]


def test_a_shard_ends_where_the_next_request_would_be_too_many():
    assert shards(different(1, 1, 1, 1, 1), requests_max=2, bytes_max=100) == [2, 2, 1]


def test_a_shard_ends_where_the_next_line_would_be_too_long():
    assert shards(different(6, 4, 1), requests_max=100, bytes_max=10) == [2, 1]


def test_a_line_beyond_the_bound_is_a_shard_by_itself():
    assert shards(different(1, 50, 1), requests_max=3, bytes_max=10) == [1, 1, 1]


def test_twins_stay_together():
    lines = [(1, False), (1, False), (1, True), (1, False)]
    assert shards(lines, requests_max=2, bytes_max=100) == [3, 1]
    assert shards(lines, requests_max=100, bytes_max=2) == [3, 1]


def test_twins_without_end_do_not_make_a_shard_without_end():
    lines = [(1, n > 0) for n in range(10)]
    assert shards(lines, requests_max=2, bytes_max=100) == [4, 4, 2]
    assert shards(lines, requests_max=100, bytes_max=2) == [4, 4, 2]


LINES = st.lists(st.tuples(st.integers(0, 12), st.booleans()))


@given(LINES, st.integers(1, 8), st.integers(1, 20), st.integers(0, 10))
def test_shards_lose_nothing_and_stay_in_bounds(lines, requests_max, bytes_max, border):
    first = 0
    for requests in shards(lines, border=border, requests_max=requests_max, bytes_max=bytes_max):
        shard = lines[first : first + requests]
        assert 1 <= requests <= 2 * requests_max
        assert requests == 1 or sum(length for length, _ in shard) <= 2 * bytes_max
        if not any(twin for _, twin in shard):
            assert requests <= requests_max
        first += requests
    assert first == len(lines)


@given(LINES, st.integers(1, 8), st.integers(1, 20), st.integers(0, 10))
def test_lines_are_cut_as_if_each_were_looked_at_by_itself(lines, requests_max, bytes_max, border):
    expected, size_bytes = [0], 0
    for length, twin in lines:
        excess = 2 if twin else 1
        full = expected[-1] >= excess * requests_max or size_bytes + length > excess * bytes_max
        if expected[-1] and full:
            expected.append(0)
            size_bytes = 0
        expected[-1] += 1
        size_bytes += length
    found = shards(lines, border=border, requests_max=requests_max, bytes_max=bytes_max)
    assert found == (expected if lines else [])


@given(LINES, st.integers(1, 8), st.integers(1, 20), st.integers(0, 10), st.data())
def test_each_section_is_cut_as_if_it_were_alone(lines, requests_max, bytes_max, border, data):
    stops = sorted(data.draw(st.sets(st.integers(0, len(lines)))) | {len(lines)})
    starts = [0, *stops[:-1]]
    blocks = [
        ([length for length, _ in block], [twin for _, twin in block])
        for block in (lines[:border], lines[border:])
    ]
    sections = [stop - start for start, stop in zip(starts, stops, strict=True)]
    sizes = list(cut_sections(blocks, sections, requests_max=requests_max, bytes_max=bytes_max))
    assert sizes == [
        shards(lines[start:stop], requests_max=requests_max, bytes_max=bytes_max)
        for start, stop in zip(starts, stops, strict=True)
    ]
