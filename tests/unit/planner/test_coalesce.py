import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.result import Asker, Assignment
from halfrate.planner.coalesce import ECHO_BYTES_MAX, coalesce
from tests.unit.planner.strategies import REQUESTS_OR_FAILURES


def ask(text="Hello", **sampling):
    return Request((Message(Role.USER, text),), Sampling(**sampling))


def merged(*requests, default_temperature=1.0, **bounds):
    """The ordinals of each Assignment that is left."""
    assignments = [Assignment(request, (Asker(n),)) for n, request in enumerate(requests)]
    return [
        [asker.ordinal for asker in assignment.askers]
        for assignment in coalesce(assignments, default_temperature=default_temperature, **bounds)
    ]


@pytest.mark.parametrize("sampling", [{"temperature": 0.0}, {"seed": 7}, {"seed": 7, "temperature": 1.0}])
def test_twins_with_fixed_sampling_are_asked_once(sampling):
    assert merged(ask(**sampling), ask(**sampling), ask("other", **sampling)) == [[0, 1], [2]]


def test_equal_texts_are_embedded_once():
    a, b, short = Embedding("a"), Embedding("b"), Embedding("b", dimensions=3)
    assert merged(a, a, b, short, short) == [[0, 1], [2], [3, 4]]


def test_chance_is_not_shared():
    assert merged(ask(temperature=0.5), ask(temperature=0.5)) == [[0], [1]]


def test_the_models_own_temperature_counts_where_none_is_given():
    assert merged(ask(), ask(), default_temperature=1.0) == [[0], [1]]
    assert merged(ask(), ask(), default_temperature=0.0) == [[0, 1]]


def test_other_decoding_parameters_make_other_requests():
    assert merged(ask(seed=7), ask(seed=8), ask(seed=8, max_output_tokens=5)) == [[0], [1], [2]]


def test_failures_are_never_merged():
    failed = Failed(Cause.INVALID, "no")
    assert merged(failed, failed) == [[0], [1]]


def test_askers_are_bounded_in_number():
    assert merged(*[ask(seed=7)] * 5, askers_max=2) == [[0, 1], [2, 3], [4]]


def test_askers_are_bounded_in_what_they_want_echoed():
    twins = [Assignment(ask(seed=7), (Asker(n, metadata=b"x" * (ECHO_BYTES_MAX // 2)),)) for n in range(3)]
    assert [len(a.askers) for a in coalesce(twins, default_temperature=1.0)] == [2, 1]


@given(st.lists(REQUESTS_OR_FAILURES), st.sampled_from([0.0, 1.0]), st.integers(1, 3))
def test_every_asker_keeps_its_request_and_its_place(requests, default_temperature, askers_max):
    assignments = [Assignment(request, (Asker(n),)) for n, request in enumerate(requests)]
    left = list(coalesce(assignments, default_temperature=default_temperature, askers_max=askers_max))
    assert [(a.ordinal, x.request) for x in left for a in x.askers] == list(enumerate(requests))
    assert all(1 <= len(assignment.askers) <= askers_max for assignment in left)
