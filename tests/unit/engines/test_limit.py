"""The number of calls at once, on servers whose best number is known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfrate.engines.upstream.limit import Limit
from tests.curves import CURVES, Curve, SimulatedServer, best_in

MOST = 256
FRACTION_MIN = 0.97


def answers_with(limit: Limit, curve: Curve, seconds: float, *, spread: float = 0.0, seed: int = 0) -> int:
    """How many answers come in this time, with as many calls in flight as the limit has it, always."""
    server = SimulatedServer(curve, spread=spread, seed=seed)
    answers = calls = 0
    while True:
        while server.calls < limit.value:
            server.begin(calls)
            calls += 1
        server.next()
        if server.now >= seconds:
            return answers
        answers += 1
        limit.answered(server.now, in_flight=server.calls, hungry=False)


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_in_the_long_run_it_is_as_good_as_the_best_fixed_number(name, spread):
    """Without having been told anything of the server, and though that may change."""
    curve, seconds = CURVES[name], 400.0
    best = best_in(curve, seconds, spread=spread)
    assert answers_with(Limit(most=MOST), curve, seconds, spread=spread, seed=1) >= FRACTION_MIN * best


def test_it_does_not_go_on_growing_where_more_brings_nothing():
    limit = Limit(most=MOST)
    answers_with(limit, CURVES["plateau at 8"], 120.0)
    assert 8 <= limit.value <= 16


def test_a_server_that_became_faster_gets_more():
    limit = Limit(most=MOST)
    answers_with(limit, CURVES["more capacity midway"], 110.0)
    assert limit.value <= 16
    limit = Limit(most=MOST)
    answers_with(limit, CURVES["more capacity midway"], 200.0)
    assert limit.value >= 60


@settings(max_examples=30)
@given(
    st.integers(1, 40),
    st.integers(0, 60),
    st.lists(
        st.sampled_from(["answered", "hungry", "disturbed", "refused", "failed", "bound"]), max_size=300
    ),
    st.integers(0, 2**32),
)
def test_it_keeps_its_bounds_whatever_happens(least, more, events, seed):
    limit, now = Limit(least=least, most=least + more), 0.0
    for number, event in enumerate(events):
        now += (seed >> number % 32 & 1) * 0.01
        in_flight = (seed >> number % 16) % (limit.value + 1)
        if event in {"answered", "hungry"}:
            limit.answered(now, in_flight=in_flight, hungry=event == "hungry")
        elif event == "bound":
            limit.bound(in_flight)
        else:
            getattr(limit, event)(in_flight=in_flight)
        assert least <= limit.value <= least + more


def grown(most: int = 64) -> Limit:
    limit = Limit(most=most)
    answers_with(limit, Curve(1_000, 0.1), 30.0)
    assert limit.value == most
    return limit


def test_refusals_leave_what_the_server_has():
    """Of 64 calls it takes 20: each that is one too many is told so, and 20 are left."""
    limit = grown()
    for in_flight in range(63, 19, -1):
        limit.refused(in_flight=in_flight)
    assert limit.value == 20


def test_calls_that_fail_together_are_one_piece_of_news():
    limit = grown()
    for in_flight in range(63, 40, -1):
        limit.failed(in_flight=in_flight)
    assert limit.value == 44, "64, less three tenths"


def test_failures_again_and_again_are_several():
    limit = grown()
    for _ in range(3):
        limit.failed(in_flight=5)
        for tick in range(6):
            limit.answered(100.0 + tick, in_flight=5, hungry=True)
    assert limit.value == int(int(int(64 * 0.7) * 0.7) * 0.7)


def test_what_comes_while_there_is_too_little_to_do_says_nothing():
    """Three calls in flight are answered at the rate of three, however many are allowed."""
    limit = Limit(most=64)
    for tick in range(1_000):
        limit.answered(tick * 0.1, in_flight=2, hungry=True)
    assert limit.value == 4


def test_it_does_not_go_beyond_what_the_server_says():
    limit = grown()
    limit.bound(10)
    assert limit.value == 10
    answers_with(limit, Curve(1_000, 0.1), 30.0)
    assert limit.value <= 10
    limit.bound(64)
    answers_with(limit, Curve(1_000, 0.1), 60.0)
    assert limit.value == 64
