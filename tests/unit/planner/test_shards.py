from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.request import Message, Request, Role
from halfrate.domain.result import Asker, Assignment
from halfrate.planner.prefix import prompt_bytes
from halfrate.planner.shards import cut

ASSIGNMENTS = st.builds(
    lambda size, askers: Assignment(
        Request((Message(Role.USER, "x" * size),)), tuple(Asker(n) for n in range(askers))
    ),
    st.integers(0, 12),
    st.integers(1, 5),
)


def assignment(size_bytes, askers=1):
    return Assignment(
        Request((Message(Role.USER, "x" * size_bytes),)), tuple(Asker(n) for n in range(askers))
    )


def test_a_shard_ends_where_the_next_asker_would_be_too_many():
    shards = cut([assignment(1, 2), assignment(1, 1), assignment(1, 1)], askers_max=3, bytes_max=100)
    assert [len(shard) for shard in shards] == [2, 1]


def test_a_shard_ends_where_the_next_prompt_would_be_too_long():
    shards = cut([assignment(6), assignment(4), assignment(1)], askers_max=100, bytes_max=10)
    assert [len(shard) for shard in shards] == [2, 1]


def test_an_assignment_beyond_the_bounds_is_a_shard_by_itself():
    shards = cut([assignment(1), assignment(50, 50), assignment(1)], askers_max=3, bytes_max=10)
    assert [len(shard) for shard in shards] == [1, 1, 1]


@given(st.lists(ASSIGNMENTS), st.integers(1, 8), st.integers(1, 20))
def test_shards_keep_the_order_lose_nothing_and_stay_in_bounds(assignments, askers_max, bytes_max):
    shards = list(cut(assignments, askers_max=askers_max, bytes_max=bytes_max))
    assert [a for shard in shards for a in shard] == assignments
    for shard in shards:
        askers = sum(len(a.askers) for a in shard)
        size_bytes = sum(prompt_bytes(a.request) for a in shard)
        assert shard
        assert len(shard) == 1 or (askers <= askers_max and size_bytes <= bytes_max)
