"""Filters of lists: what they ask, and where a wrong one is wrong."""

from __future__ import annotations

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import JobState
from halfrate.domain.listing import Comparison, Every, InState, JobField, Not, Relation, Some
from halfrate.wire.gemini.filters import parse_filter

RUNNING = InState((JobState.RUNNING, JobState.CANCELLING, JobState.ASSEMBLING))
FAILED = InState((JobState.FAILED,))
ENDED = InState((JobState.CANCELLED, JobState.EXPIRED, JobState.FAILED, JobState.SUCCEEDED))
NAMED = Comparison(JobField.DISPLAY_NAME, Relation.HAS, 'a "b" c')
MODEL = Comparison(JobField.MODEL, Relation.EQUAL, "models/m-1")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", None),
        ("  ", None),
        ('state = "BATCH_STATE_RUNNING"', RUNNING),
        ("state=JOB_STATE_RUNNING", RUNNING),
        ("metadata.state = RUNNING", RUNNING),
        ("state != RUNNING", Not(RUNNING)),
        ("done=false", Not(ENDED)),
        ("done != FALSE", Not(Not(ENDED))),
        ("done = true", ENDED),
        (r'display_name : "a \"b\" c"', NAMED),
        ("displayName:'a \"b\" c'", NAMED),
        ('model = "m-1"', MODEL),
        ("model = models/m-1", MODEL),
        ("priority>=-3", Comparison(JobField.PRIORITY, Relation.AT_LEAST, -3)),
        (
            'createTime > "1970-01-01T00:00:01.000002Z"',
            Comparison(JobField.CREATED, Relation.MORE, 1_000_002),
        ),
        ("update_time<1970-01-01T01:00:01+01:00", Comparison(JobField.UPDATED, Relation.LESS, 1_000_000)),
        ("NOT state = FAILED", Not(FAILED)),
        ("-state = FAILED", Not(FAILED)),
        ("done = true AND state = FAILED", Every((ENDED, FAILED))),
        ("done = true state = FAILED", Every((ENDED, FAILED))),
        (
            "done = true AND state = FAILED OR state = RUNNING",
            Every((ENDED, Some((FAILED, RUNNING)))),
        ),
        (
            "(done = true AND state = FAILED) OR NOT (model = m-1)",
            Some((Every((ENDED, FAILED)), Not(MODEL))),
        ),
        ("display_name = OR", Comparison(JobField.DISPLAY_NAME, Relation.EQUAL, "OR")),
    ],
)
def test_what_a_filter_asks(text, condition):
    assert parse_filter(text) == condition


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = red", "at column 1: there is no field 'colour' to ask about, only state, done, model,"),
        ("state = FAILED AND", "at column 19: the name of a field is missing"),
        ("state = ASLEEP", "at column 9: 'ASLEEP' is no state; there are BATCH_STATE_PENDING,"),
        ("state > FAILED", "at column 7: state cannot be asked about with '>'"),
        ("display_name < x", "at column 14: display_name cannot be asked about with '<'"),
        ("state FAILED", "at column 7: one of = != < <= > >= : is missing"),
        ("state =", "at column 8: a value is missing, or the end of one"),
        ('display_name = "x', "at column 16: a value is missing, or the end of one"),
        ("(state = FAILED", "at column 16: a ')' is missing"),
        ("state = FAILED)", "at column 15: a ')' has no '(' before it"),
        ("create_time > yesterday", "at column 15: 'yesterday' is no instant with its zone"),
        ("create_time > 2026-01-01T00:00:00", "is no instant with its zone"),
        ("priority = many", "at column 12: 'many' is no whole number"),
        ("done = maybe", "at column 8: 'maybe' is neither true nor false"),
        ("(" * 21, "at column 22: parentheses lie deeper than 20 levels"),
        ("-" * 2_001, "at most 2000 are read"),
        ("NOT NOT state = FAILED", "at column 5: there is no field 'NOT'"),
    ],
)
def test_a_wrong_filter_says_where(text, says):
    with pytest.raises(InvalidArgument) as refused:
        parse_filter(text)
    assert says in str(refused.value)
