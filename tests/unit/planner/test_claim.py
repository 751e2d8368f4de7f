from itertools import groupby, pairwise

from hypothesis import given
from hypothesis import strategies as st

from halfrate.planner.claim import (
    DEADLINES_NEAR_SECONDS,
    OVERTAKING_MAX,
    SHARED_BYTES_MIN,
    Candidate,
    Walk,
)

HOUR = DEADLINES_NEAR_SECONDS


def document(number):
    return b"%03d " % number + bytes([97 + number % 26]) * SHARED_BYTES_MIN


def candidate(job_id, head, *, priority=0, deadline=0.0):
    return Candidate(job_id, priority, deadline, head)


def chosen(walk, *candidates):
    return walk.choose(candidates).job_id


def test_one_that_begins_as_the_last_ended_goes_ahead():
    first, other = candidate("a", document(2)), candidate("b", document(1) + b"?")
    assert chosen(Walk(document(1) + b"!"), first, other) == "b"


def test_who_goes_first_goes_where_it_begins_so_too():
    first, other = candidate("a", document(1) + b"a"), candidate("b", document(1) + b"b")
    assert chosen(Walk(document(1) + b"c"), first, other) == "a"


def test_at_the_beginning_who_goes_first_goes():
    assert chosen(Walk(), candidate("a", document(1)), candidate("b", document(2))) == "a"


def test_a_short_beginning_is_not_worth_it():
    first, other = candidate("a", b"x"), candidate("b", document(1)[: SHARED_BYTES_MIN - 1])
    assert chosen(Walk(document(1)), first, other) == "a"


def test_what_all_of_them_begin_with_is_no_reason():
    common = b"system" * SHARED_BYTES_MIN
    first, other = candidate("a", common + b"first"), candidate("b", common + b"last and more")
    assert chosen(Walk(common + b"last"), first, other) == "a"


def test_of_several_the_longest_beginning_goes_and_of_equals_the_one_that_goes_before():
    tail = document(1) + document(2)
    some, more = candidate("b", document(1)), candidate("c", tail)
    assert chosen(Walk(tail), candidate("a", b""), some, more) == "c"
    assert chosen(Walk(tail), candidate("a", b""), more, candidate("d", tail)) == "c"


def test_another_priority_and_another_age_keep_their_place():
    first = candidate("a", b"", priority=1, deadline=0.0)
    lower = candidate("b", document(1), priority=0)
    later = candidate("c", document(1), priority=1, deadline=HOUR + 1)
    near = candidate("d", document(1), priority=1, deadline=HOUR)
    assert chosen(Walk(document(1)), first, lower, later) == "a"
    assert chosen(Walk(document(1)), first, lower, later, near) == "d"


def test_nobody_is_overtaken_without_end():
    walk = Walk(document(1))
    first, other = candidate("a", document(2)), candidate("b", document(1))
    went = []
    for _ in range(20):
        ahead = chosen(walk, first, other) == "b"
        walk = walk.on(ahead=ahead)
        went.append(ahead)
    assert [len(list(run)) for ahead, run in groupby(went) if ahead] == [OVERTAKING_MAX] * 5


@given(st.lists(st.lists(st.integers(0, 5), max_size=6).map(sorted), min_size=1, max_size=6))
def test_every_shard_is_run_and_no_job_waits_for_more_than_its_bound(jobs):
    """Jobs whose Shards are one document each, all there from the beginning."""
    left = {f"{number}": list(documents) for number, documents in enumerate(jobs)}
    walk, run, waited = Walk(), [], 0
    while candidates := [candidate(job, document(rest[0])) for job, rest in left.items() if rest]:
        job = chosen(walk, *candidates)
        ahead = job != candidates[0].job_id
        waited = waited + 1 if ahead else 0
        assert waited <= OVERTAKING_MAX
        run.append(left[job].pop(0))
        walk = Walk(document(run[-1]), walk.on(ahead=ahead).overtaking)
    assert sorted(run) == sorted(document for documents in jobs for document in documents)
    assert changes(run) <= sum(1 + changes(documents) for documents in jobs if documents)


def changes(documents):
    return sum(1 for one, other in pairwise(documents) if one != other)
