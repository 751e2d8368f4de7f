"""Batches as resources, and how they are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from halfrate.domain.deadline import Deadline
from halfrate.domain.job import Job, JobState
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause
from halfrate.wire.openai.completions import batch_usage
from halfrate.wire.openai.form import Form, ResultFile
from halfrate.wire.openai.lines import ENDPOINTS
from halfrate.wire.openai.reading import Reader, Sent, at

METADATA_MAX = 16


class CreateBatch(Sent):
    """The body that makes a batch."""

    input_file_id: str
    endpoint: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None


_CREATE = Reader(CreateBatch)
_WINDOW = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What a client wants made. ``metadata`` is JSON text of an object, None without any."""

    input_file: str
    kind: Kind
    deadline: Deadline
    metadata: str | None


def parse_create(body: bytes) -> NewBatch:
    """Return what a body asks for. Raise `InvalidArgument` if it cannot be had."""
    sent = _CREATE.read(body)
    kind = next((kind for kind, endpoint in ENDPOINTS.items() if endpoint == sent.endpoint), None)
    if kind is None:
        known = " or ".join(ENDPOINTS.values())
        raise at("endpoint", f"endpoint is {sent.endpoint!r}; in a batch it can be {known}.")
    if len(sent.metadata or ()) > METADATA_MAX:
        raise at("metadata", f"metadata has at most {METADATA_MAX} entries.")
    return NewBatch(
        sent.input_file_id,
        kind,
        _deadline(sent.completion_window),
        msgspec.json.encode(sent.metadata).decode() if sent.metadata else None,
    )


def _deadline(window: str) -> Deadline:
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise at("completion_window", f"completion_window is {window!r}; write it as in 24h.")
    return Deadline(float(match[1]) * _SECONDS[match[2]])


_STATUSES = {
    JobState.RUNNING: "in_progress",
    JobState.CANCELLING: "cancelling",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
    JobState.EXPIRED: "expired",
}


def status_of(job: Job) -> str:
    """Return the name of a Job's state in this dialect."""
    if job.state is JobState.PENDING:
        return "in_progress" if job.planned else "validating"
    if job.state is JobState.ASSEMBLING or job.stopped_by is Cause.EXPIRED:
        stopping = "cancelling" if job.stopped_by is Cause.CANCELLED else "finalizing"
        return _STATUSES[job.state] if job.state.final else stopping
    return _STATUSES[job.state]


def batch_resource(job: Job, form: Form) -> dict[str, Any]:
    """Return a Job as clients see it."""
    published = job.state.final and job.state is not JobState.FAILED
    ended_at = None if job.ended_at is None else int(job.ended_at)
    return {
        "id": form.batch_name(job.id),
        "object": "batch",
        "endpoint": ENDPOINTS[job.kind],
        "model": job.model.removeprefix("models/"),
        "errors": _errors(job),
        "input_file_id": form.file_name(job.input_file) if job.input_file is not None else "",
        "completion_window": _window(job),
        "status": status_of(job),
        "output_file_id": _result(job, form, errors=False) if published and job.counts.succeeded else None,
        "error_file_id": _result(job, form, errors=True) if published and job.counts.failed else None,
        "created_at": int(job.created_at),
        "in_progress_at": None if job.started_at is None else int(job.started_at),
        "expires_at": int(job.deadline),
        "finalizing_at": None,
        "completed_at": ended_at if job.state is JobState.SUCCEEDED else None,
        "failed_at": ended_at if job.state is JobState.FAILED else None,
        "expired_at": ended_at if job.state is JobState.EXPIRED else None,
        "cancelling_at": None,
        "cancelled_at": ended_at if job.state is JobState.CANCELLED else None,
        "request_counts": {
            "total": job.counts.requests,
            "completed": job.counts.succeeded,
            "failed": job.counts.failed,
        },
        "usage": batch_usage(job.usage),
        "metadata": _metadata(job),
    }


def batch_body(job: Job, form: Form) -> bytes:
    """Return the body that shows one Job."""
    return msgspec.json.encode(batch_resource(job, form))


def _result(job: Job, form: Form, *, errors: bool) -> str:
    return form.file_name(ResultFile(job.id, errors=errors).id)


def _window(job: Job) -> str:
    return f"{max(1, round((job.deadline - job.created_at) / 3_600))}h"


def _errors(job: Job) -> dict[str, Any] | None:
    if job.error is None:
        return None
    error = {"code": "batch_failed", "message": job.error, "param": None, "line": None}
    return {"object": "list", "data": [error]}


def _metadata(job: Job) -> dict[str, Any] | None:
    told = job.notify.user_metadata
    return None if told is None else msgspec.json.decode(told)
