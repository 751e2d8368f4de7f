from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import UNASKED, Message, Request, Role, Sampling
from halfrate.planner.prefix import SORT_KEY_VERSION, prompt_bytes, sort_key, text_keys
from tests.unit.planner.strategies import EMBEDDINGS, REQUESTS, TEXTS


def ask(text, system="", sampling=Sampling()):
    return Request((Message(Role.SYSTEM, system), Message(Role.USER, text)), sampling)


def test_the_system_instruction_comes_before_the_question():
    requests = [ask("b", "one"), ask("a", "two"), ask("a", "one")]
    assert sorted(requests, key=sort_key) == [ask("a", "one"), ask("b", "one"), ask("a", "two")]


def test_decoding_parameters_never_part_prompts_that_begin_alike():
    hot, cold = Sampling(temperature=1.0), Sampling(temperature=0.0)
    requests = [ask("b", sampling=cold), ask("a", sampling=hot), ask("a", sampling=cold)]
    assert [request.messages[1].text for request in sorted(requests, key=sort_key)] == ["a", "a", "b"]


def test_what_failed_goes_first():
    assert sort_key(Failed(Cause.INVALID, "no")) < sort_key(ask(""))


def test_control_characters_in_a_text_do_not_pass_for_another_turn():
    one = Request((Message(Role.USER, "a\x02b"),))
    two = Request((Message(Role.USER, "a"), Message(Role.USER, "b")))
    assert sort_key(one) != sort_key(two)


def test_texts_to_embed_are_ordered_by_their_length():
    """What is run together is padded to one length."""
    texts = ["zz", "a", "b", "aaaa", "ä"]
    ordered = sorted(map(Embedding, texts), key=sort_key)
    assert [embedding.text for embedding in ordered] == ["a", "b", "zz", "ä", "aaaa"]


@given(REQUESTS | EMBEDDINGS, REQUESTS | EMBEDDINGS)
def test_keys_are_equal_exactly_when_requests_are(one, other):
    assert (sort_key(one) == sort_key(other)) == (one == other)


@given(TEXTS, st.lists(REQUESTS), st.sampled_from(Role))
def test_requests_that_share_a_beginning_are_neighbours(beginning, requests, role):
    """The defining property of a depth-first walk: each subtree is visited in one go."""

    def within(request):
        if request.functions is not None or request.cache is not None:
            return False
        return request.messages[0].role == role and request.messages[0].text.startswith(beginning)

    flags = [within(request) for request in sorted(requests, key=sort_key)]
    assert sum(a != b for a, b in zip([False, *flags], [*flags, False], strict=True)) <= 2


@given(REQUESTS)
def test_a_prompt_is_measured_in_bytes_of_text(request):
    assert prompt_bytes(request) == sum(len(message.text.encode()) for message in request.messages)


@given(
    st.lists(st.tuples(st.text(max_size=4), st.sampled_from([UNASKED, Sampling(temperature=0), Sampling()])))
)
def test_lines_of_one_text_have_the_keys_of_their_requests(asked):
    keys = text_keys([text for text, _ in asked], [sampling for _, sampling in asked])
    assert keys == [sort_key(Request((Message(Role.USER, text),), sampling)) for text, sampling in asked]


def test_a_key_that_changes_takes_another_version():
    """Orders are kept with this version, and Shards are ranges of them: raise it if this fails."""
    requests = [
        Request((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Grüße?")), Sampling(seed=1)),
        Request((Message(Role.USER, "Hello"),), cache="c"),
        Embedding("Hello"),
        Failed(Cause.INVALID, ""),
    ]
    digest = blake2b(b"".join(map(sort_key, requests)), digest_size=8).hexdigest()
    assert (SORT_KEY_VERSION, digest) == (1, "b49592e74b55b1aa")
