"""A batch as the module-level functions show it: the SDK's fields and those it drops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.genai import types

from halfrate.client.views import JobError, JobView


@dataclass(frozen=True, slots=True)
class ResultFile:
    """The file a batch answers into. Pass its ``name`` to `download_file`."""

    name: str


@dataclass(frozen=True, slots=True)
class BatchStats:
    """How many of a batch's requests stand where."""

    request_count: int
    successful_request_count: int
    failed_request_count: int
    pending_request_count: int


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch as it stood when it was asked for.

    ``state.name`` is ``JOB_STATE_PENDING``, ``_RUNNING``, ``_SUCCEEDED``, ``_FAILED``, ``_CANCELLED`` or
    ``_EXPIRED``. ``result_file`` is None until the batch runs, and holds the results so far until it is done;
    ``error`` is None unless the batch failed.
    ``dest`` is the SDK's own, with ``inlined_responses`` for batches made of a list.
    """

    name: str
    display_name: str
    model: str
    state: types.JobState
    create_time: datetime | None
    update_time: datetime | None
    end_time: datetime | None
    dest: types.BatchJobDestination | None
    result_file: ResultFile | None
    error: JobError | None
    batch_stats: BatchStats

    @property
    def done(self) -> bool:
        """Whether the batch will never move again."""
        return self.state in _FINAL


_FINAL = (
    types.JobState.JOB_STATE_SUCCEEDED,
    types.JobState.JOB_STATE_FAILED,
    types.JobState.JOB_STATE_CANCELLED,
    types.JobState.JOB_STATE_EXPIRED,
)


def from_sdk(job: types.BatchJob, operation: Mapping[str, Any]) -> BatchJob:
    """Join what the SDK says of a batch with what its Operation says beside it."""
    view = JobView.of(operation)
    file_name = job.dest.file_name if job.dest else None
    return BatchJob(
        name=job.name or "",
        display_name=job.display_name or "",
        model=job.model or "",
        state=job.state or types.JobState.JOB_STATE_UNSPECIFIED,
        create_time=job.create_time,
        update_time=job.update_time,
        end_time=job.end_time,
        dest=job.dest,
        result_file=ResultFile(file_name) if file_name else None,
        error=view.error,
        batch_stats=BatchStats(
            request_count=view.counts.requests,
            successful_request_count=view.counts.succeeded,
            failed_request_count=view.counts.failed,
            pending_request_count=view.counts.pending,
        ),
    )
