"""`halfrate delete`: forget a job."""

from __future__ import annotations

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json
from halfrate.cli.options import DEFAULT_URL, JobName, Json, Url
from halfrate.client.client import job_name


def delete(job: JobName, url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """Forget a job and its results, stopping it first if it still runs."""
    connect(url).delete(job)
    if as_json:
        write_json({"deleted": job_name(job)})
    else:
        say(f"{job_name(job)} is deleted")
