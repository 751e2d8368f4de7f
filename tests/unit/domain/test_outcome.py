"""What follows from an Attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Answered, Cause, Failed, Finish, Keep, TryAgain, judge
from halfrate.domain.request import Sampling
from halfrate.domain.usage import Usage

ANSWER = Answered.of("yes", Finish.STOP, Usage(1, 1, 0))


def verdict(outcome, *, attempt=1, refusals=0, chance=0.0):
    return judge(
        outcome,
        attempt=attempt,
        refusals=refusals,
        attempts_max=3,
        backoff_seconds=2.0,
        backoff_seconds_max=50.0,
        chance=chance,
    )


def test_an_answer_is_kept():
    assert verdict(ANSWER) == Keep(ANSWER)


@pytest.mark.parametrize("cause", Cause)
def test_what_can_help_is_tried_again_until_attempts_run_out(cause):
    failed = Failed(cause, "why")
    expected = TryAgain(2.0) if cause.retriable else Keep(failed)
    assert verdict(failed) == expected
    if cause is not Cause.OVERLOADED:
        assert verdict(failed, attempt=3) == Keep(failed)


@given(st.integers(1, 9), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_an_engine_without_room_is_asked_again_however_often_it_refused(attempt, refusals, chance):
    """It has not tried; so nobody's Attempts are used up while an upstream says "not now"."""
    again = verdict(Failed(Cause.OVERLOADED, "busy"), attempt=attempt, refusals=refusals, chance=chance)
    assert isinstance(again, TryAgain)
    whole = min(2.0 * 2 ** min(refusals, 10), 50.0)
    assert whole / 2 <= again.delay_seconds <= whole  # a chance just below 1 rounds to the half


@given(st.integers(1, 2), st.floats(0, 1, exclude_max=True))
def test_the_pause_doubles_and_chance_takes_off_up_to_a_half(attempt, chance):
    again = verdict(Failed(Cause.TIMED_OUT, "late"), attempt=attempt, chance=chance)
    assert isinstance(again, TryAgain)
    whole = 2.0 * 2 ** (attempt - 1)
    assert whole / 2 <= again.delay_seconds <= whole


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause.retriable])
@pytest.mark.parametrize(("asked", "waits"), [(None, 2.0), (0.5, 2.0), (7.5, 7.5), (3_600.0, 3_600.0)])
def test_the_pause_is_never_shorter_than_was_asked_for(cause, asked, waits):
    assert verdict(Failed(cause, "why", asked)) == TryAgain(waits)
    if asked is not None and asked > 2:
        assert verdict(Failed(cause, "why", asked), chance=0.9) == TryAgain(waits), "nor is it cut by chance"


usages = st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))


@given(usages, usages, usages)
def test_usage_adds_up_in_any_order(a, b, c):
    assert (a + b) + c == c + (b + a)
    assert a + Usage() == a
    assert (a + b).total_tokens == a.total_tokens + b.total_tokens


@pytest.mark.parametrize(
    ("sampling", "default_temperature", "fixed"),
    [
        (Sampling(temperature=0), 1.0, True),
        (Sampling(), 0.0, True),
        (Sampling(), 1.0, False),
        (Sampling(temperature=0.5), 0.0, False),
        (Sampling(temperature=0.5, seed=0), 0.0, True),
    ],
)
def test_sampling_is_fixed_when_it_is_greedy_or_seeded(sampling, default_temperature, fixed):
    assert sampling.fixed(default_temperature=default_temperature) is fixed
