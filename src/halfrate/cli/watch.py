"""`halfrate watch`: a job until it ends."""

from __future__ import annotations

import typer

from halfrate.cli.connect import connect
from halfrate.cli.follow import watch_to_the_end
from halfrate.cli.options import DEFAULT_URL, JobName, Json, Url


def watch(job: JobName, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Show a job until it ends: progress, rate, what it waits for, tokens, cost. Ctrl-C leaves it running."""
    raise typer.Exit(watch_to_the_end(connect(url), job, as_json=as_json))
