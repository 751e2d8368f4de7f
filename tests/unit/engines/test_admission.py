"""Who may enter the pipeline, and when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from halfrate.engines.embedded.admission import HOLDS_MAX, INTERACTIVE_RUN, Admission, Applicant
from halfrate.engines.embedded.prefix import BLOCK_TOKENS, chain


def applicant(id: int, prompt: list[int], *, output: int = 1, interactive: bool = False) -> Applicant:
    return Applicant(id, len(prompt), output, chain(prompt), interactive)


def words(start: int, blocks: int) -> list[int]:
    """A prompt of whole blocks that shares nothing with one of another start."""
    return [start * 100_000 + n for n in range(blocks * BLOCK_TOKENS)]


def entered(admission: Admission) -> list[int]:
    return [entry.id for entry in admission.admit()]


def test_those_with_nothing_in_common_enter_in_order() -> None:
    admission = Admission(sequences_max=8, blocks_total=100)
    for id in (3, 1, 2):
        admission.offer(applicant(id, words(id, 4)))
    assert entered(admission) == [3, 1, 2]
    assert (admission.running, admission.waiting) == (3, 0)


def test_siblings_wait_for_their_leaders_first_token() -> None:
    """The shared blocks are computed once, and every sibling is told how much it gets from the cache."""
    admission = Admission(sequences_max=8, blocks_total=100)
    for id in range(4):
        admission.offer(applicant(id, words(1, 4) + words(10 + id, 1)))
    assert entered(admission) == [0]
    assert entered(admission) == []
    admission.prefilled(0)
    entries = admission.admit()
    assert [entry.id for entry in entries] == [1, 2, 3]
    assert {entry.cached_tokens for entry in entries} == {4 * BLOCK_TOKENS}


def test_others_pass_those_who_wait_for_a_leader() -> None:
    admission = Admission(sequences_max=8, blocks_total=100)
    for id, start in enumerate([1, 1, 2]):
        admission.offer(applicant(id, words(start, 4)))
    assert entered(admission) == [0, 2]


def test_who_passes_those_who_wait_leaves_them_their_room() -> None:
    """Else the cache is filled with what is needed later, and what is needed next is overwritten."""
    for blocks_total, passing in ((32, []), (33, [3])):
        admission = Admission(sequences_max=8, blocks_total=blocks_total)
        for id in range(3):  # 10 blocks in common, and 4 for each of its own
            admission.offer(applicant(id, words(1, 10) + words(10 + id, 2)))
        admission.offer(applicant(3, words(2, 9)))  # 11 blocks
        assert entered(admission) == [0, *passing]
        admission.prefilled(0)
        assert entered(admission)[:2] == [1, 2]


def test_what_is_computed_and_in_use_is_cached() -> None:
    """However many blocks have come and gone since: nothing that is in use is overwritten."""
    admission = Admission(sequences_max=8, blocks_total=16)
    admission.offer(applicant(0, words(1, 8)))
    assert entered(admission) == [0]
    admission.offer(applicant(1, words(1, 8)))
    admission.prefilled(0)
    for id in range(2, 9):
        admission.withdraw(1)
        admission.offer(applicant(id, words(id, 2)))
        assert entered(admission) == [id]
        admission.left(id)
    admission.offer(applicant(1, words(1, 8)))
    (entry,) = admission.admit()
    assert entry.cached_tokens == 8 * BLOCK_TOKENS - 1


def test_what_was_computed_twice_is_not_surely_there_while_it_is_in_use() -> None:
    """The pipeline finds the later of the two only, and that may be overwritten when its owner is out."""
    admission = Admission(sequences_max=8, blocks_total=16)
    for id in range(2):
        admission.offer(applicant(id, words(1, 1) + words(10 + id, 2)))
    assert entered(admission) == [0, 1]
    admission.prefilled(0)
    admission.prefilled(1)
    admission.left(1)
    for id in range(2, 9):
        admission.offer(applicant(id, words(20 + id, 4)))
        assert entered(admission) == [id]
        admission.left(id)
    admission.offer(applicant(9, words(1, 1) + words(19, 2)))
    assert [entry.cached_tokens for entry in admission.admit()] == [0]


def test_a_short_common_beginning_is_not_worth_waiting_for() -> None:
    admission = Admission(sequences_max=8, blocks_total=100)
    for id in range(3):
        admission.offer(applicant(id, words(1, 1) + words(10 + id, 4)))
    assert entered(admission) == [0, 1, 2]


def test_the_next_sibling_leads_when_the_leader_leaves_early() -> None:
    """A leader that is cancelled before its first token has computed nothing for anyone."""
    admission = Admission(sequences_max=8, blocks_total=100)
    for id in range(3):
        admission.offer(applicant(id, words(1, 4)))
    assert entered(admission) == [0]
    admission.left(0)
    assert [(entry.id, entry.cached_tokens) for entry in admission.admit()] == [(1, 0)]


def test_nobody_is_held_for_more_than_a_few_leaders() -> None:
    """Each leader goes one step further; without a bound the last sibling would watch them all."""
    admission = Admission(sequences_max=1000, blocks_total=10_000)
    longest = words(1, 60)
    admission.offer(applicant(0, longest[: 2 * BLOCK_TOKENS]))
    assert entered(admission) == [0]
    admission.offer(applicant(999, longest))
    for leader in range(1, 20):
        admission.offer(applicant(leader, longest[: (2 + 2 * leader) * BLOCK_TOKENS], interactive=True))
        admission.prefilled(leader - 1)
        if 999 in entered(admission):
            break
    assert leader <= HOLDS_MAX + 1


def test_interactive_ones_go_first_but_not_for_ever() -> None:
    admission = Admission(sequences_max=1, blocks_total=100)
    admission.offer(applicant(0, words(0, 1)))
    order = []
    for id in range(1, 40):
        admission.offer(applicant(id, words(id, 1), interactive=True))
    while len(order) < 40:
        (id,) = entered(admission)
        order.append(id)
        admission.left(id)
    assert order.index(0) == INTERACTIVE_RUN


def test_no_more_enter_than_may_be_decoded_together() -> None:
    admission = Admission(sequences_max=2, blocks_total=100)
    for id in range(5):
        admission.offer(applicant(id, words(id, 1)))
    assert entered(admission) == [0, 1]
    admission.left(0)
    assert entered(admission) == [2]


def test_one_too_large_for_the_room_left_holds_back_those_behind_it() -> None:
    """Else small ones would slip past it for ever."""
    admission = Admission(sequences_max=8, blocks_total=20)
    admission.offer(applicant(0, words(0, 9)))
    admission.offer(applicant(1, words(1, 12)))
    admission.offer(applicant(2, words(2, 1)))
    assert entered(admission) == [0]
    admission.left(0)
    assert entered(admission) == [1, 2]


def test_shared_blocks_are_counted_once() -> None:
    """Sharing is what makes room: a cache of 20 blocks takes 9 siblings with 10 blocks in common."""
    admission = Admission(sequences_max=100, blocks_total=20)
    for id in range(12):
        admission.offer(applicant(id, words(1, 10), output=0))
    assert entered(admission) == [0]
    admission.prefilled(0)
    assert len(entered(admission)) == 9
    assert admission.blocks_in_use == 20
    admission.left(0)
    assert admission.blocks_in_use == 19


def test_a_block_computed_twice_takes_room_twice() -> None:
    """Two who enter together share nothing, however alike they are."""
    admission = Admission(sequences_max=8, blocks_total=100)
    for id in range(3):
        admission.offer(applicant(id, words(1, 1) + words(10 + id, 4)))
    assert entered(admission) == [0, 1, 2]
    assert admission.blocks_in_use == 3 * 7


def test_one_who_waits_can_be_withdrawn() -> None:
    admission = Admission(sequences_max=1, blocks_total=100)
    for id in range(3):
        admission.offer(applicant(id, words(id, 1)))
    assert entered(admission) == [0]
    assert admission.withdraw(1)
    assert not admission.withdraw(1)
    admission.left(0)
    assert entered(admission) == [2]


def test_without_prefix_caching_nobody_waits_for_a_leader() -> None:
    admission = Admission(sequences_max=8, blocks_total=100, prefix_caching=False)
    for id in range(3):
        admission.offer(applicant(id, words(1, 4)))
    entries = admission.admit()
    assert [entry.id for entry in entries] == [0, 1, 2]
    assert {entry.cached_tokens for entry in entries} == {0}


prompts = st.tuples(
    st.integers(0, 2), st.integers(0, 5), st.integers(0, 2), st.integers(1, 80), st.booleans()
)


@given(st.lists(prompts, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_everyone_enters_once_within_bounds_and_nothing_is_left_over(
    plans: list[tuple[int, int, int, int, bool]], chance: object
) -> None:
    """Whatever comes in whatever order, no one starves, no bound is passed, and the books balance."""
    admission = Admission(sequences_max=4, blocks_total=30)
    for id, (start, shared, own, output, interactive) in enumerate(plans):
        prompt = words(start, shared) + words(10 + id, own) + [id]
        admission.offer(applicant(id, prompt, output=output, interactive=interactive))
    inside: list[int] = []
    seen: list[int] = []
    while admission.waiting or inside:
        new = entered(admission)
        inside += new
        seen += new
        assert len(inside) == admission.running <= 4
        assert admission.blocks_in_use <= 30
        assert inside, "nobody inside, nobody may enter: starved"
        chosen = chance.choice(inside)  # type: ignore[attr-defined]
        if chance.random() < 0.7:  # type: ignore[attr-defined]
            admission.prefilled(chosen)
        admission.left(chosen)
        inside.remove(chosen)
    assert sorted(seen) == list(range(len(plans)))
    assert admission.blocks_in_use == 0


def test_blocks_that_were_exchanged_may_have_overwritten_others() -> None:
    """Nothing is said to be cached that may not be."""
    admission = Admission(sequences_max=1, blocks_total=12)
    prompt = words(1, 4)
    for id, cached in ((1, 0), (2, 3 * BLOCK_TOKENS), (3, 0)):
        if id == 3:
            admission.exchanged(12)
        admission.offer(applicant(id, prompt))
        (entry,) = admission.admit()
        assert entry.cached_tokens >= cached if cached else entry.cached_tokens == 0
        admission.prefilled(id)
        admission.left(id)
