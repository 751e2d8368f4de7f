import heapq
import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.result import Asker, Assignment
from halfrate.planner.longest import BLOCK_BYTES, longest_first
from halfrate.planner.prefix import common_bytes, prompt_length, sort_key


def ask(text, tokens=None):
    """Ask with a prompt in which each letter is as long as a block."""
    prompt = "".join(letter * BLOCK_BYTES for letter in text)
    return Request((Message(Role.USER, prompt),), Sampling(max_output_tokens=tokens))


def ordered(*requests):
    requests = sorted(requests, key=sort_key)
    given_order = [Assignment(request, (Asker(n),)) for n, request in enumerate(requests)]
    return [each.request for each in longest_first(given_order)]


def texts(*requests):
    return "".join(request.messages[0].text[::BLOCK_BYTES] for request in ordered(*requests))


def test_long_answers_go_first_and_those_without_a_bound_before_them():
    assert texts(ask("a", 1), ask("b", 1), ask("c", 9), ask("d"), ask("e", 5)) == "adceb"


def test_the_first_stays_where_the_shard_before_may_have_ended():
    assert texts(ask("a1", 1), ask("a2", 2), ask("b1", 9)) == "a1a2b1"


def test_a_group_goes_by_its_longest_answer_and_is_not_torn_apart():
    assert texts(ask("a", 1), ask("x1", 1), ask("x2", 7), ask("y1", 9), ask("y2", 1)) == "ay1y2x2x1"


def test_what_shares_less_than_a_block_shares_nothing():
    requests = [Request((Message(Role.USER, f"Say {n}"),), Sampling(max_output_tokens=n)) for n in range(4)]
    assert ordered(*requests) == [requests[n] for n in (0, 3, 2, 1)]


def test_equally_long_answers_stay_in_their_order():
    requests = [ask(text, 5) for text in ("b", "a", "c")]
    assert texts(*requests) == "abc"


def test_what_has_no_answer_is_no_longer_than_others():
    failed = Failed(Cause.INVALID, "")
    assert ordered(failed, ask("a", 1), ask("b", 2)) == [failed, ask("b", 2), ask("a", 1)]


@given(st.lists(st.tuples(st.text("ab", max_size=5), st.sampled_from([None, 1, 2, 3])), max_size=30))
def test_neighbours_have_as_much_in_common_as_before(asked):
    requests = [ask(*each) for each in asked]
    order = ordered(*requests)
    assert sorted(map(sort_key, order)) == sorted(map(sort_key, requests))
    assert in_common(order) == in_common(sorted(requests, key=sort_key))


def in_common(requests):
    prompts = [key[: prompt_length(key)] for key in map(sort_key, requests)]
    return sum(common_bytes(one, other) // BLOCK_BYTES for one, other in pairwise(prompts))


def test_a_trie_as_deep_as_it_has_leaves_is_no_burden():
    assert len(ordered(*(ask("a" * n, n % 7 + 1) for n in range(2_000)))) == 2_000


def test_the_end_waits_for_nobody():
    """Sixteen lanes, a thousand answers of 4 or 400 tokens: the last long one is begun in time."""
    chance = random.Random(1)
    bounds = [400 if chance.random() < 0.02 else 4 for _ in range(1_000)]
    requests = [
        Request((Message(Role.USER, f"Question {n:03}"),), Sampling(max_output_tokens=bound))
        for n, bound in enumerate(bounds)
    ]
    ideal = sum(request.sampling.max_output_tokens for request in requests) / 16
    before, after = (finished(order) for order in (sorted(requests, key=sort_key), ordered(*requests)))
    assert before > 1.3 * ideal
    assert after < 1.12 * ideal


def finished(order):
    """Return when the last answer is there, if each goes to the lane that is free first."""
    lanes = [0] * 16
    for request in order:
        heapq.heappushpop(lanes, lanes[0] + request.sampling.max_output_tokens)
    return max(lanes)
