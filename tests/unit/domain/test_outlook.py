"""Whether a Job is done in time."""

from dataclasses import replace

import pytest

from halfrate.domain.job import JobState
from halfrate.domain.outcome import Cause
from halfrate.domain.outlook import Eta, Promise, promise_of
from halfrate.domain.waiting import Waiting, WaitingCode
from tests.fakes import EPOCH, make_job

BY = EPOCH + 86_400
JOB = make_job(promised_at=BY)
LOADING = Waiting(WaitingCode.MODEL_LOADING, "The model is loading.")
DONE = replace(JOB, state=JobState.SUCCEEDED, ended_at=BY)


def eta(earliest: float, likely: float, latest: float) -> Eta:
    return Eta(EPOCH, BY + earliest, BY + likely, BY + latest)


@pytest.mark.parametrize(
    ("job", "now", "eta", "waiting", "expected"),
    [
        (JOB, EPOCH, eta(-9, -5, 0), None, Promise(BY, True)),
        (JOB, EPOCH, eta(-9, 0, 60), None, Promise(BY, None, "It may take until 2027-01-16 08:01 UTC.")),
        (
            JOB,
            EPOCH,
            eta(-9, 60, 99),
            None,
            Promise(BY, False, "It is likely to take until 2027-01-16 08:01 UTC."),
        ),
        (JOB, EPOCH, None, LOADING, Promise(BY, None, "The model is loading.")),
        (JOB, EPOCH, None, None, Promise(BY, None, "Its pace is not known yet.")),
        (JOB, BY + 59, eta(-9, -5, -1), None, Promise(BY, False, "It is 1 min late already.")),
        (DONE, BY + 9, None, None, Promise(BY, True)),
        (replace(DONE, ended_at=BY + 7_260), BY, None, None, Promise(BY, False, "It ended 2 h 1 min late.")),
        (replace(DONE, ended_at=BY + 9), BY, None, None, Promise(BY, False, "It ended 9 s late.")),
        (replace(DONE, state=JobState.EXPIRED, stopped_by=Cause.EXPIRED), BY, None, None, None),
        (replace(DONE, state=JobState.FAILED, error="x"), BY, None, None, None),
        (replace(JOB, stopped_by=Cause.CANCELLED), BY + 9, None, None, None),
    ],
)
def test_a_job_says_whether_it_keeps_its_promise(job, now, eta, waiting, expected):
    assert promise_of(job, now=now, eta=eta, waiting=waiting) == expected
