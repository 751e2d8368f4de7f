"""`halfrate jobs`: what the server has been given to do."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json, write_table
from halfrate.cli.describe import job_document
from halfrate.cli.options import DEFAULT_URL, Json, Url
from halfrate.client import JobView

HEADINGS = ("JOB", "STATE", "DONE", "ERRORS", "NOTE", "MODEL", "CREATED", "NAME")


def jobs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 50,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    found = list(islice(connect(url).jobs(), limit))
    if as_json:
        write_json({"jobs": [job_document(job) for job in found]})
    elif found:
        write_table(HEADINGS, map(_row, found))
    else:
        say("No jobs yet. Make one with: halfrate submit FILE")


def _row(job: JobView) -> tuple[str, ...]:
    done = job.counts.succeeded + job.counts.failed
    created = job.created[:19].replace("T", " ")
    answered = f"{done}/{job.counts.requests}"
    errors = str(job.counts.failed)
    return (job.name, job.state, answered, errors, _note(job), job.model, created, job.display_name)


def _note(job: JobView) -> str:
    """Say in a word or two what a Job waits for, and whether it is late."""
    late = "late" if job.promise is not None and job.promise.holds is False else None
    return ", ".join(word for word in (job.waiting_code, late) if word) or "-"
