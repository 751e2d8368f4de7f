from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.sharing import Sharing
from halfrate.planner.prefix import common_bytes, prompt_length, sort_key
from halfrate.planner.sharing import sharing


def key_of(text, **sampling):
    return sort_key(Request((Message(Role.USER, text),), Sampling(**sampling)))


@given(st.lists(st.text("ab", max_size=5), max_size=30))
def test_an_order_shares_what_the_trie_of_its_prompts_shares(texts):
    """All there are of characters, less the trie's nodes: what is there already when prompts are put in."""
    keys = sorted(key_of(text) for text in texts)
    prompts = [key[: prompt_length(key)] for key in keys]
    nodes = {prompt[:length] for prompt in prompts for length in range(1, len(prompt) + 1)}
    found = sharing(keys, b"")
    assert found.prompt_bytes == sum(map(len, prompts))
    assert found.shared_bytes == found.prompt_bytes - len(nodes)


def test_how_to_decode_is_no_part_of_a_prompt():
    keys = sorted([key_of("Hello", seed=1), key_of("Hello", seed=2)])
    assert prompt_length(keys[0]) == len("Hello") + 2  # a mark before it and one after it
    assert sharing(keys, b"") == Sharing(14, 7, groups=1)


def test_what_is_no_prompt_shares_nothing():
    failed = sort_key(Failed(Cause.INVALID, ""))
    vector = sort_key(Embedding("Hello"))
    assert sharing([failed, failed, vector, vector], b"") == Sharing()


def test_a_group_is_of_prompts_that_are_alike_by_half():
    texts = ["aaaaaaaa1", "aaaaaaaa2", "aaaaaaaa3", "bbbbbbbb1", "bbbbbbbb2", "bcc"]
    assert sharing([key_of(text) for text in texts], b"").groups == 3


def test_parts_of_an_order_share_together_what_it_shares():
    keys = sorted(key_of(f"{n % 7} and {n}") for n in range(100))
    assert sharing(keys[:40], b"") + sharing(keys[40:], keys[39]) == sharing(keys, b"")


def test_of_a_sample_every_so_manieth_is_looked_at():
    keys = sorted(key_of(f"{n:03} and {n % 7}") for n in range(100))
    assert sharing(keys, b"", every=10).times(10).prompt_bytes == sharing(keys, b"").prompt_bytes


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_common_bytes_end_where_the_first_differs(beginning, one, other):
    common = common_bytes(beginning + one, beginning + other)
    assert common >= len(beginning)
    one, other = beginning + one, beginning + other
    assert one[:common] == other[:common]
    assert one[common : common + 1] != other[common : common + 1] or common == min(len(one), len(other))
