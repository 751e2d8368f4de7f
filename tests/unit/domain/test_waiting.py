"""Why a Job waits, as a table."""

from dataclasses import replace

import pytest

from halfrate.domain.job import Counts, JobState
from halfrate.domain.trouble import Trouble
from halfrate.domain.waiting import Ahead, Facts, Waiting, WaitingCode, waiting, waiting_for_all
from tests.fakes import EPOCH, make_job

NEW = make_job(counts=Counts())
COUNTED = make_job()
PLANNED = make_job(planned=True)
RUNNING = make_job(planned=True, state=JobState.RUNNING, started_at=EPOCH)
STOPPING = replace(RUNNING, state=JobState.CANCELLING)
ASSEMBLING = replace(RUNNING, state=JobState.ASSEMBLING)
DIED = Trouble("The process was killed.", again_at=EPOCH + 8, attempt=3)
BROKEN = Trouble("The file x.gguf is no model.")
LIMITED = Trouble("429 from example.", again_at=EPOCH + 300, rate_limited=True)

EXAMPLES = [
    (Facts(NEW, EPOCH), "validating", "Its input is being checked."),
    (Facts(NEW, EPOCH, indexed_percent=41.6), "validating", "Its input is being checked (42 % done)."),
    (Facts(COUNTED, EPOCH), "planning", "Its requests are being put in order."),
    (Facts(COUNTED, EPOCH, ready=False), "planning", "Its requests are being put in order."),
    (
        Facts(COUNTED, EPOCH, served=False, ready=False),
        "model_not_served",
        "The model pocket-1 is not served any more. Serve it again, or cancel the batch.",
    ),
    (Facts(PLANNED, EPOCH, ready=False), "model_loading", "The model pocket-1 is loading."),
    (
        Facts(PLANNED, EPOCH, ready=False, trouble=DIED),
        "engine_down",
        "Engine down: The process was killed. Restarting in 8 s (attempt 3).",
    ),
    (
        Facts(RUNNING, EPOCH + 8, ready=False, trouble=DIED),
        "engine_down",
        "Engine down: The process was killed. Restarting now (attempt 3).",
    ),
    (
        Facts(RUNNING, EPOCH, ready=False, trouble=replace(DIED, attempt=None)),
        "engine_down",
        "Engine down: The process was killed. Restarting in 8 s.",
    ),
    (
        Facts(RUNNING, EPOCH, ready=False, trouble=BROKEN),
        "engine_down",
        "Engine down: The file x.gguf is no model.",
    ),
    (
        Facts(RUNNING, EPOCH, trouble=LIMITED),
        "rate_limited",
        "Rate limited by upstream until 08:05 UTC: 429 from example.",
    ),
    (Facts(replace(RUNNING, updated_at=EPOCH + 300), EPOCH + 300, trouble=LIMITED), None, None),
    (
        Facts(RUNNING, EPOCH, trouble=replace(LIMITED, again_at=None)),
        "rate_limited",
        "Rate limited by upstream: 429 from example.",
    ),
    (Facts(PLANNED, EPOCH), "queued", "It is next: it starts in a moment."),
    (Facts(PLANNED, EPOCH, ahead=Ahead(1, 1)), "queued", "Behind 1 job with 1 request."),
    (Facts(PLANNED, EPOCH, ahead=Ahead(2, 9_999)), "queued", "Behind 2 jobs with 9999 requests."),
    (Facts(PLANNED, EPOCH, ahead=Ahead(3, 12_345)), "queued", "Behind 3 jobs with 12.3 k requests."),
    (Facts(PLANNED, EPOCH, ahead=Ahead(3, 1_200_000)), "queued", "Behind 3 jobs with 1.2 M requests."),
    (Facts(RUNNING, EPOCH + 29, ahead=Ahead(1, 5)), None, None),
    (Facts(RUNNING, EPOCH + 30, ahead=Ahead(1, 5)), "queued", "Behind 1 job with 5 requests."),
    (Facts(RUNNING, EPOCH + 95), "answering", "No result for 95 s: the model is still answering."),
    (Facts(RUNNING, EPOCH, held_up="The disk is full."), "disk", "The disk is full."),
    (Facts(ASSEMBLING, EPOCH, held_up="The disk is full."), "disk", "The disk is full."),
    (Facts(STOPPING, EPOCH), "stopping", "Its requests in flight are being let go."),
    (Facts(ASSEMBLING, EPOCH), "assembling", "Its output is being written."),
    (
        Facts(ASSEMBLING, EPOCH, assembled_percent=30),
        "assembling",
        "Its output is being written (30 % done).",
    ),
    (Facts(replace(RUNNING, state=JobState.SUCCEEDED), EPOCH, held_up="The disk is full."), None, None),
]


@pytest.mark.parametrize(("facts", "code", "sentence"), EXAMPLES)
def test_a_job_says_what_it_waits_for(facts, code, sentence):
    expected = None if code is None else Waiting(WaitingCode(code), sentence)
    assert waiting(facts) == expected


def test_every_code_has_an_example():
    assert {code for _, code, _ in EXAMPLES if code} == set(WaitingCode)


BIG = Facts(PLANNED, EPOCH, engine="big-model")
OF_SEVERAL = [
    # It moves at one of them.
    (Facts(RUNNING, EPOCH), replace(BIG, job=RUNNING, ready=False), None),
    # Nobody but the operator can have it end.
    (
        Facts(RUNNING, EPOCH),
        replace(BIG, job=RUNNING, served=False),
        "The model big-model is not served any more",
    ),
    (Facts(PLANNED, EPOCH, ready=False), BIG, "It is next"),
    (
        Facts(PLANNED, EPOCH, ready=False),
        replace(BIG, ready=False, trouble=BROKEN),
        "The model pocket-1 is loading",
    ),
    (
        Facts(PLANNED, EPOCH, ahead=Ahead(2, 9)),
        replace(BIG, ahead=Ahead(1, 5)),
        "Behind 1 job with 5 requests",
    ),
    (Facts(PLANNED, EPOCH, trouble=LIMITED), replace(BIG, ready=False), "The model big-model is loading"),
    (Facts(ASSEMBLING, EPOCH), replace(BIG, job=ASSEMBLING), "Its output is being written"),
]


@pytest.mark.parametrize(("one", "other", "sentence"), OF_SEVERAL)
def test_a_job_of_two_engines_waits_for_what_lets_it_move_first(one, other, sentence):
    for facts in ([one, other], [other, one]):
        reason = waiting_for_all(facts)
        assert (reason is None) == (sentence is None)
        assert reason is None or reason.sentence.startswith(sentence)
