"""What headers say is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.wire.allowances import NOTHING_SAID, Allowance, Allowances, allowances_of

DATE = {"date": "Tue, 24 Nov 2026 12:00:00 GMT"}


def test_openai_speaks_of_requests_and_tokens():
    assert allowances_of(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    ) == Allowances(Allowance(59, 60, 1.0, refills=True), Allowance(149_984, 150_000, 360.0, refills=True))


def test_anthropic_gives_instants():
    headers = DATE | {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-11-24T12:00:30Z",
        "anthropic-ratelimit-tokens-remaining": "9",
    }
    assert allowances_of(headers) == Allowances(Allowance(0, 50, 30.0, refills=True), None)


@pytest.mark.parametrize(
    ("reset", "seconds"), [("30", 30.0), ("1795521630", 30.0), ("1795521630000", 30.0), ("1795521000", 0.0)]
)
def test_the_draft_and_its_relatives_come_back_at_once(reset, seconds):
    for name in ("ratelimit", "x-ratelimit"):
        headers = DATE | {f"{name}-limit": "10, 10;w=60", f"{name}-remaining": "3", f"{name}-reset": reset}
        assert allowances_of(headers) == Allowances(Allowance(3, 10, seconds, refills=False))


@pytest.mark.parametrize(
    ("span", "seconds"),
    [("12ms", 0.012), ("2m59.56s", 179.56), ("1h30m", 5_400.0), ("1d", 86_400.0), ("7.66", 7.66)],
)
def test_spans_are_read(span, seconds):
    said = allowances_of({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": span})
    assert said.requests is not None
    assert said.requests.reset_seconds == pytest.approx(seconds)


def test_where_nothing_is_said_nothing_is_made_up():
    assert allowances_of({"content-type": "application/json"}) is NOTHING_SAID
    assert allowances_of({"ratelimit-remaining": "5"}) == Allowances()
    assert allowances_of({"ratelimit-remaining": "five", "ratelimit-reset": "1"}) == Allowances()
    assert allowances_of({"ratelimit-remaining": "5", "ratelimit-reset": "soon"}) == Allowances()
    assert allowances_of({"ratelimit-remaining": "5", "ratelimit-reset": "1795521630"}) == Allowances()


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_value_is_read_or_left(remaining, limit, reset):
    for name in ("ratelimit-{}", "x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}"):
        said = allowances_of(
            {name.format("remaining"): remaining, name.format("limit"): limit, name.format("reset"): reset}
        ).requests
        assert said is None or (said.limit >= said.remaining and said.reset_seconds >= 0)
