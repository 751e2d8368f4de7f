"""Batches of OpenAI's dialect as resources, and how they are made."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import Counts, Job, JobState
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause
from halfrate.wire.openai.batches import batch_resource, parse_create
from halfrate.wire.openai.form import Form

JOB = Job(
    id="abc",
    model="models/m",
    engine="m",
    display_name="",
    priority=0,
    state=JobState.PENDING,
    input_file=None,
    input_blob="b",
    keep_going=False,
    created_at=100.0,
    updated_at=100.0,
    deadline=100.0 + 86_400,
    promised_at=100.0,
)


@pytest.mark.parametrize(("window", "seconds"), [("24h", 86_400), ("30m", 1_800), ("2d", 172_800)])
def test_the_window_is_the_deadline(window, seconds):
    body = {"input_file_id": "f", "endpoint": "/v1/embeddings", "completion_window": window}
    new = parse_create(json.dumps(body).encode())
    assert new.deadline.instant(1_000.0) == 1_000 + seconds
    assert (new.kind, new.input_file, new.metadata) == (Kind.EMBEDDING, "f", None)


@pytest.mark.parametrize("window", ["", "h", "24", "1w", "-1h", "1.5h", "1234567h", "²h"])
def test_a_window_that_is_none(window):
    body = {"input_file_id": "f", "endpoint": "/v1/embeddings", "completion_window": window}
    with pytest.raises(InvalidArgument, match="completion_window"):
        parse_create(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "validating"),
        ({"planned": True}, "in_progress"),
        ({"state": JobState.RUNNING}, "in_progress"),
        ({"state": JobState.CANCELLING, "stopped_by": Cause.CANCELLED}, "cancelling"),
        ({"state": JobState.CANCELLING, "stopped_by": Cause.EXPIRED}, "finalizing"),
        ({"state": JobState.ASSEMBLING}, "finalizing"),
        ({"state": JobState.ASSEMBLING, "stopped_by": Cause.CANCELLED}, "cancelling"),
        ({"state": JobState.ASSEMBLING, "stopped_by": Cause.EXPIRED}, "finalizing"),
        ({"state": JobState.SUCCEEDED}, "completed"),
        ({"state": JobState.FAILED, "error": "why"}, "failed"),
        ({"state": JobState.CANCELLED, "stopped_by": Cause.CANCELLED}, "cancelled"),
        ({"state": JobState.EXPIRED, "stopped_by": Cause.EXPIRED}, "expired"),
    ],
)
def test_every_state_has_its_status(changes, status):
    ended_at = 200.5 if changes.get("state", JobState.PENDING).final else None
    shown = batch_resource(replace(JOB, **changes, ended_at=ended_at), Form.PLAIN)
    assert shown["status"] == status
    at = {name for name in ("completed", "failed", "cancelled", "expired") if shown[f"{name}_at"] == 200}
    assert at == ({status} if ended_at else set())


def test_files_are_named_only_where_there_is_something_in_them():
    ended = replace(JOB, state=JobState.CANCELLED, counts=Counts(3, 0, 3))
    shown = batch_resource(ended, Form.LAYER)
    assert (shown["output_file_id"], shown["error_file_id"]) == (None, "files/batch-errors-abc")
    assert shown["completion_window"] == "24h"
    running = batch_resource(replace(ended, state=JobState.RUNNING), Form.LAYER)
    assert running["error_file_id"] is None
    failed = batch_resource(replace(JOB, state=JobState.FAILED, error="why"), Form.PLAIN)
    assert failed["errors"]["data"][0]["message"] == "why"


@pytest.mark.parametrize(
    ("form", "name", "file_id"),
    [
        (Form.PLAIN, "file-abc", "abc"),
        (Form.PLAIN, "files/abc", "abc"),
        (Form.PLAIN, "file-file-abc", "file-abc"),
        (Form.LAYER, "files/file-abc", "file-abc"),
        (Form.LAYER, "abc", "abc"),
    ],
)
def test_ids_are_understood_in_either_form(form, name, file_id):
    assert form.file_id(name) == file_id
    assert form.file_id(form.file_name(file_id)) == file_id
