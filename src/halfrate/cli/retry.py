"""`halfrate retry`: what failed in a job, again."""

from __future__ import annotations

from typing import Annotated

import typer

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json
from halfrate.cli.describe import job_document
from halfrate.cli.follow import watch_to_the_end
from halfrate.cli.options import DEFAULT_URL, Deadline, JobName, Json, Url
from halfrate.client import JobView


def retry(
    job: JobName,
    *,
    deadline: Deadline = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show the new job until it ends.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Try the failed requests of an ended job again, as a new job. Prints the new job's name."""
    client = connect(url)
    before = client.job(job)
    again = client.retry(job, deadline=deadline)
    if watch:
        say(f"{_what_is_tried(before, again)}: {again.name}")
        raise typer.Exit(watch_to_the_end(client, again.name, as_json=as_json))
    if as_json:
        write_json(job_document(again))
    else:
        print(again.name)
        say(f"{_what_is_tried(before, again)}. Follow it with: halfrate watch {again.name}")


def _what_is_tried(before: JobView, again: JobView) -> str:
    if before.state == "FAILED" or not again.counts.requests:
        return f"{before.name} is tried again"
    left_out = before.counts.failed - again.counts.requests
    invalid = f" (the other {left_out:,} are invalid and would fail again)" if left_out > 0 else ""
    return f"{again.counts.requests:,} of {before.counts.failed:,} failed requests are tried again{invalid}"
