"""Batch Mode in module-level functions, over the official SDK.

::

    import halfrate.genai as genai

    file = genai.upload_file(path="requests.jsonl")
    job = genai.create_batch_job(model="pocket-1", requests=file, config={"display_name": "first"})

Calls go to `configure`'s ``base_url``, else to ``HALFRATE_URL``, else to http://127.0.0.1:8080. Errors
are the SDK's own (`google.genai.errors`). `halfrate.genai.aio` has the same functions to await.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from google.genai import types

from halfrate.client import JobError
from halfrate.genai._jobs import BatchJob, BatchStats, ResultFile, from_sdk
from halfrate.genai._requests import Config, Named, Requests, batch_source, name_of, upload_config
from halfrate.genai._session import configure, session

__all__ = [
    "BatchJob",
    "BatchStats",
    "JobError",
    "ResultFile",
    "cancel_batch_job",
    "configure",
    "create_batch_job",
    "delete_batch_job",
    "delete_file",
    "download_file",
    "get_batch_job",
    "get_file",
    "list_batch_jobs",
    "list_files",
    "upload_file",
]


def upload_file(
    path: str | Path, *, display_name: str | None = None, mime_type: str | None = None
) -> types.File:
    """Send a file. The type of JSON Lines and other files is guessed from the name."""
    config = upload_config(Path(path), display_name, mime_type)
    return session().sdk.files.upload(file=str(path), config=config)


def get_file(name: str) -> types.File:
    """Return what the server knows of a file."""
    return session().sdk.files.get(name=name)


def list_files() -> Iterator[types.File]:
    """Yield every file."""
    yield from session().sdk.files.list(config={"page_size": 100})


def delete_file(name: Named) -> None:
    """Remove a file."""
    session().sdk.files.delete(name=name_of(name))


def download_file(name: Named) -> BinaryIO:
    """Open a file's bytes for `read`."""
    return io.BytesIO(session().sdk.files.download(file=name_of(name)))


def create_batch_job(model: str, requests: Requests, config: Config | None = None) -> BatchJob:
    """Make a batch of an uploaded file (or its name), or of a list of requests or prompts."""
    here = session()
    job = here.sdk.batches.create(model=model, src=batch_source(requests), config=config)
    return from_sdk(job, here.first_operation(job.name))


def get_batch_job(name: Named) -> BatchJob:
    """Return a batch as it stands."""
    here = session()
    # In this order the Operation is the newer of the two, so a FAILED job never lacks its error.
    job = here.sdk.batches.get(name=name_of(name))
    return from_sdk(job, here.operation(job.name))


def list_batch_jobs() -> Iterator[BatchJob]:
    """Yield every batch, newest first."""
    here = session()
    for job in here.sdk.batches.list(config={"page_size": 100}):
        yield from_sdk(job, here.operation(job.name))


def cancel_batch_job(name: Named) -> None:
    """Stop a batch. What is answered stays."""
    session().sdk.batches.cancel(name=name_of(name))


def delete_batch_job(name: Named) -> None:
    """Forget a batch, stopping it first if it still runs."""
    session().sdk.batches.delete(name=name_of(name))
