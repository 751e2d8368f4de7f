"""Money, exactly."""

from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.usage import Usage
from halfrate.metering.price import Price, Rates

PRICE = Price.of(input=300_000, output=2_500_000, cached_input=30_000)


def test_a_million_tokens_of_each_kind_cost_what_the_price_says():
    million = 1_000_000
    usage = Usage(input_tokens=2 * million, output_tokens=million, cached_tokens=million)
    assert PRICE.interactive.cost_picos(usage) == (300_000 + 2_500_000 + 30_000) * million


usages = st.builds(
    lambda fresh, cached, output: Usage(fresh + cached, output, cached),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)


@given(st.lists(usages))
def test_costs_of_parts_add_up_to_the_cost_of_the_whole(parts):
    whole = sum(parts, Usage())
    assert sum(PRICE.batch.cost_picos(part) for part in parts) == PRICE.batch.cost_picos(whole)


@given(usages)
def test_a_batch_costs_half(usage):
    assert PRICE.batch.cost_picos(usage) * 2 == PRICE.interactive.cost_picos(usage)


def test_a_price_that_cannot_be_halved_is_rounded_up_once():
    assert Rates(input=1, output=3, cached_input=0).at_percent(50) == Rates(1, 2, 0)
