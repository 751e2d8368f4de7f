"""`halfrate cancel`: stop a job."""

from __future__ import annotations

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json
from halfrate.cli.describe import job_document
from halfrate.cli.options import DEFAULT_URL, JobName, Json, Url


def cancel(job: JobName, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Stop a job. What it has answered stays, and can be fetched."""
    client = connect(url)
    client.cancel(job)
    view = client.job(job)
    if as_json:
        write_json(job_document(view))
    elif view.final and view.state != "CANCELLED":
        say(f"{view.name} had already ended: it is {view.state}")
    else:
        say(f"{view.name} is stopping. What it answered: halfrate results {view.name}")
