"""Create calls are read whole or refused with every fault; Jobs are shown as Operations."""

from __future__ import annotations

import dataclasses
import json

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import output_file_id
from halfrate.domain.job import FINAL_STATES, Counts, Job, JobState, Notify
from halfrate.domain.outcome import Answered, Finish
from halfrate.domain.outlook import Eta, Outlook, Promise
from halfrate.domain.sharing import Sharing
from halfrate.domain.usage import Usage
from halfrate.domain.waiting import Waiting, WaitingCode
from halfrate.wire.gemini.batches import (
    NewBatch,
    operation,
    operation_around_results,
    parse_create,
    wire_state,
)
from halfrate.wire.gemini.lines import result_line

JOB = Job(
    id="abc123",
    model="gemini-3.5-flash",
    engine="demo",
    display_name="nightly",
    priority=0,
    state=JobState.PENDING,
    input_file="in1",
    input_blob="blob",
    keep_going=False,
    created_at=1_767_225_600.25,
    updated_at=1_767_225_600.25,
    deadline=1_767_312_000.0,
    promised_at=1_767_312_000.0,
    counts=Counts(requests=3),
)
OUTLOOK = Outlook(
    Waiting(WaitingCode.QUEUED, "Behind 3 jobs."),
    Eta(1_767_225_600, 1_767_225_630, 1_767_225_660.4, 1_767_225_720),
    Promise(1_767_312_000, False, "It is late."),
)


def shown(job: Job, **more: object) -> dict:
    return json.loads(bytes(operation(job, **more)))


def create(batch: object, model: str = "m") -> NewBatch:
    return parse_create(json.dumps({"batch": batch}).encode(), model=model)


def refused(body: bytes) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        parse_create(body, model="m")
    return caught.value


# Creating --------------------------------------------------------------------------------------------


def test_a_file_is_named_by_its_id():
    assert create({"input_config": {"file_name": "files/in-1"}, "displayName": "d", "priority": "-2"}) == (
        NewBatch(display_name="d", priority=-2, file_id="in-1", lines=())
    )
    assert create({"inputConfig": {"fileName": "http://h/v1beta/files/in1"}}).file_id == "in1"


def test_inline_requests_become_lines_as_they_were_sent():
    item = {"request": {"contents": [{"parts": [{"text": "a\nb"}]}]}, "metadata": {"a_b": "c"}}
    batch = {"inputConfig": {"requests": {"requests": [item, {"request": {"contents": []}}]}}}
    body = json.dumps({"batch": batch}, indent=2).encode()
    lines = parse_create(body, model="m").lines
    assert all(b"\n" not in line for line in lines)
    assert [json.loads(line) for line in lines] == batch["inputConfig"]["requests"]["requests"]


def test_apostrophes_may_quote_a_body():
    body = b"""{'batch': {'display_name': 'it\\'s "x"', 'input_config': {'file_name': 'files/a'}}}"""
    assert parse_create(body, model="m") == NewBatch('it\'s "x"', 0, "a", ())


def test_the_model_may_be_repeated_and_not_contradicted():
    assert create({"model": "models/m", "inputConfig": {"fileName": "files/a"}}, model="m").file_id == "a"
    with pytest.raises(InvalidArgument, match="the URL names 'm'"):
        create({"model": "models/other", "inputConfig": {"fileName": "files/a"}}, model="m")


def test_an_unknown_field_is_refused_with_its_path():
    error = refused(b'{"batch": {"inputConfig": {"fileName": "files/a", "foo": 1}, "bar_baz": {}}}')
    assert str(error) == (
        "Invalid JSON payload received. Unknown name \"foo\" at 'batch.input_config': Cannot find field.\n"
        "Invalid JSON payload received. Unknown name \"bar_baz\" at 'batch': Cannot find field."
    )
    assert [field for field, _ in error.violations] == ["batch.input_config", "batch"]
    assert str(refused(b'{"foo": 1}')) == (
        'Invalid JSON payload received. Unknown name "foo": Cannot find field.'
    )


def test_an_unknown_field_of_an_inline_request_is_refused_with_its_path():
    error = refused(
        b'{"batch": {"input_config": {"requests": {"requests": ['
        b'{"request": {"contents": [{"parts": [{"text": "q"}]}]}},'
        b'{"request": {"generationConfig": {"temperature": [1], "tmp": 1}}, "key": "k"}]}}}}'
    )
    item = "batch.input_config.requests.requests[1]"
    assert [field for field, _ in error.violations] == [
        f"{item}.request.generation_config.temperature",
        f"{item}.request.generation_config",
        item,
    ]
    assert f"Unknown name \"key\" at '{item}': Cannot find field." in str(error)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "must have either file_name or requests"),
        (b"{}", "must have either file_name or requests"),
        (b'{"batch": {"inputConfig": {"fileName": "files/a", "requests": {"requests": []}}}}', "either"),
        (b'{"batch": {"inputConfig": {"requests": {}}}}', "is empty"),
        (b'{"batch": {"inputConfig": {"fileName": "a/b"}}}', "is not the name of a file"),
        (b'{"batch": {"inputConfig": {"fileName": "files/../x"}}}', "is not the name of a file"),
        (b'{"batch": []}', "Proto field is not repeating, cannot start list"),
        (b"[]", "Root element must be a message"),
        (b'{"batch": ', "Unexpected end"),
        (b"\xff", "not UTF-8"),
        (b'{"batch": {"priority": "many"}}', "Invalid value at 'batch.priority'"),
        (b'{"batch": {"priority": 9e99, "inputConfig": {"fileName": "files/a"}}}', "batch.priority"),
        (b'{"batch":' * 99_999, "ested more than 100 levels deep"),
        (b"{'" + b'\\"' * 1_000_000, "strings in double quotes"),
        (b"{'" + b"\\'" * 1_000_000, "strings in double quotes"),
        (b"{'a'" + b'"' * 999_999, "strings in double quotes"),
    ],
)
def test_a_bad_body_is_refused(body, says):
    assert says in str(refused(body))


def test_whom_to_tell_is_read_once_each_and_shown_again():
    sent = {"uris": ["https://a.test", "https://b.test", "https://a.test"], "user_metadata": {"N": [1]}}
    new = create({"inputConfig": {"fileName": "files/a"}, "webhookConfig": sent})
    assert new.notify == Notify(("https://a.test", "https://b.test"), '{"N":[1]}')
    shown = json.loads(bytes(operation(dataclasses.replace(JOB, notify=new.notify))))["metadata"][
        "webhookConfig"
    ]
    assert shown == {"uris": ["https://a.test", "https://b.test"], "userMetadata": {"N": [1]}}


def test_very_many_faults_are_told_in_part():
    items = [{"bad": 1}] * 5000
    error = refused(json.dumps({"batch": {"inputConfig": {"requests": {"requests": items}}}}).encode())
    assert len(error.violations) == 20


# Showing ---------------------------------------------------------------------------------------------


def test_a_new_job():
    assert shown(JOB, outlook=OUTLOOK) == {
        "name": "batches/abc123",
        "metadata": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
            "model": "models/gemini-3.5-flash",
            "displayName": "nightly",
            "inputConfig": {"fileName": "files/in1"},
            "createTime": "2026-01-01T00:00:00.250000Z",
            "updateTime": "2026-01-01T00:00:00.250000Z",
            "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
            "state": "BATCH_STATE_PENDING",
            "name": "batches/abc123",
            "halfrate": {
                "costUsd": "0",
                "interactiveCostUsd": "0",
                "waitingCode": "queued",
                "waitingReason": "Behind 3 jobs.",
                "deadline": "2026-01-02T00:00:00.000000Z",
                "eta": "60s",
                "etaRange": {
                    "earliest": "2026-01-01T00:00:30.000000Z",
                    "latest": "2026-01-01T00:02:00.000000Z",
                },
                "promise": {"by": "2026-01-02T00:00:00.000000Z", "holds": False, "reason": "It is late."},
            },
        },
    }


def test_a_priority_is_shown_as_a_string():
    assert shown(dataclasses.replace(JOB, priority=-2))["metadata"]["priority"] == "-2"
    assert "priority" not in shown(JOB)["metadata"]


def test_a_retry_names_what_it_tries_again():
    assert "retryOf" not in shown(JOB)["metadata"]["halfrate"]
    job = dataclasses.replace(JOB, retry_of="first")
    assert shown(job)["metadata"]["halfrate"]["retryOf"] == "batches/first"


@pytest.mark.parametrize("state", JobState)
def test_a_file_job_names_its_output_from_its_start(state):
    metadata = shown(dataclasses.replace(JOB, state=state))["metadata"]
    assert ("output" in metadata) == (state not in (JobState.PENDING, JobState.FAILED))
    inline = shown(dataclasses.replace(JOB, state=state, input_file=None))["metadata"]
    assert "output" not in inline


def test_what_nobody_can_tell_of_a_promise_is_left_out():
    operation_ = shown(JOB, outlook=Outlook(promise=Promise(1_767_312_000, None)))
    assert operation_["metadata"]["halfrate"]["promise"] == {"by": "2026-01-02T00:00:00.000000Z"}


def test_a_finished_job_shows_its_output_twice():
    job = dataclasses.replace(
        JOB,
        state=JobState.SUCCEEDED,
        ended_at=JOB.created_at,
        counts=Counts(3, 2, 1),
        usage=Usage(100, 20, 30),
        sharing=Sharing(900, 600, 2),
        cost_picos=1_250_000_300_000,
        interactive_cost_picos=2_500_000_600_000,
    )
    operation_ = shown(job)
    assert operation_["done"] is True
    assert operation_["metadata"]["output"] == {"responsesFile": "files/batch-abc123"}
    assert operation_["response"] == {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput",
        "responsesFile": "files/batch-abc123",
    }
    assert operation_["metadata"]["batchStats"] == {
        "requestCount": "3",
        "successfulRequestCount": "2",
        "failedRequestCount": "1",
    }
    assert operation_["metadata"]["halfrate"] == {
        "sharing": {"promptBytes": "900", "sharedBytes": "600", "groups": "2"},
        "usage": {
            "promptTokenCount": "100",
            "cachedContentTokenCount": "30",
            "candidatesTokenCount": "20",
            "totalTokenCount": "120",
        },
        "costUsd": "1.2500003",
        "interactiveCostUsd": "2.5000006",
        "deadline": "2026-01-02T00:00:00.000000Z",
    }


def test_inline_results_are_doubly_nested_and_left_out_of_lists():
    job = dataclasses.replace(JOB, state=JobState.SUCCEEDED, input_file=None)
    answered = Answered.of("x", Finish.STOP, Usage(1, 1))
    item = result_line(None, answered, metadata=b'{"k":"v"}', model_version="m", response_id="r")
    complete = shown(job, inline_items=[item, item])
    nested = {"inlinedResponses": {"inlinedResponses": [json.loads(item)] * 2}}
    assert complete["metadata"]["output"] == nested
    assert nested.items() <= complete["response"].items()
    assert "inputConfig" not in complete["metadata"]
    listed = shown(job)
    assert "output" not in listed["metadata"]
    assert "response" not in listed


def test_an_operation_is_cut_where_its_results_belong():
    job = dataclasses.replace(JOB, state=JobState.SUCCEEDED, input_file=None, display_name="a\0b")
    items = [b'{"error":{"code":1,"message":"x"}}', b'{"error":{"code":2,"message":"y"}}']
    around = operation_around_results(job)
    assert len(around) == 3, "shown twice"
    assert json.loads(b",".join(items).join(around)) == shown(job, inline_items=items)


@pytest.mark.parametrize(("state", "code"), [(JobState.CANCELLED, 1), (JobState.EXPIRED, 4)])
def test_a_job_cut_short_shows_an_error_and_what_it_had(state, code):
    operation_ = shown(dataclasses.replace(JOB, state=state))
    assert operation_["done"] is True
    assert operation_["error"]["code"] == code
    assert operation_["metadata"]["output"] == {"responsesFile": "files/batch-abc123"}


def test_a_failed_job_shows_why_and_no_output():
    operation_ = shown(dataclasses.replace(JOB, state=JobState.FAILED, error="Error on line 1: x"))
    assert operation_["done"] is True
    assert operation_["error"] == {"code": 3, "message": "Error on line 1: x"}
    assert "output" not in operation_["metadata"]
    assert "response" not in operation_


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_a_wire_name(state):
    operation_ = shown(dataclasses.replace(JOB, state=state))
    assert operation_["metadata"]["state"] == wire_state(state)
    assert operation_.get("done", False) is (state in FINAL_STATES)
    assert wire_state(state).removeprefix("BATCH_STATE_") in {
        "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"
    }  # fmt: skip


def test_an_output_file_id_fits_the_files_api():
    assert len(output_file_id("x" * 34)) == 40


@pytest.mark.parametrize("state", JobState)
def test_the_official_sdk_reads_every_operation(state):
    """Its converter must tolerate what the API does not have: our own figures."""
    batches = pytest.importorskip("google.genai.batches")
    types = pytest.importorskip("google.genai.types")
    operation_ = shown(dataclasses.replace(JOB, state=state), outlook=OUTLOOK)
    job = types.BatchJob._from_response(response=batches._BatchJob_from_mldev(operation_), kwargs={})
    assert job.name == "batches/abc123"
    assert job.state == f"JOB_STATE_{wire_state(state).removeprefix('BATCH_STATE_')}"
