"""The one table of steps."""

import pytest

from halfrate.domain.errors import IllegalTransition
from halfrate.domain.job import FINAL_STATES, NEXT, Counts, JobEvent, JobState, advance, states_before


def test_a_final_state_never_moves():
    assert not [state for state, _ in NEXT if state in FINAL_STATES]


def test_every_state_but_the_first_is_reached_and_every_other_is_left():
    assert set(NEXT.values()) == set(JobState) - {JobState.PENDING}
    assert {state for state, _ in NEXT} == set(JobState) - FINAL_STATES


def test_every_state_leads_to_an_end():
    leads_to_end = set(FINAL_STATES)
    for _ in JobState:
        leads_to_end |= {state for (state, _), following in NEXT.items() if following in leads_to_end}
    assert leads_to_end == set(JobState)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", JobEvent)
def test_a_step_is_in_the_table_or_refused(state, event):
    if (state, event) in NEXT:
        assert advance(state, event) == NEXT[state, event]
        assert state in states_before(event)
    else:
        with pytest.raises(IllegalTransition, match=f"{state} cannot {event}"):
            advance(state, event)


def test_counts_add_and_the_rest_is_pending():
    counts = Counts(requests=5, succeeded=2) + Counts(failed=1)
    assert counts == Counts(5, 2, 1)
    assert counts.pending == 2
