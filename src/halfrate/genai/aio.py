"""The functions of `halfrate.genai`, to await."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from google.genai import types

from halfrate.genai._jobs import BatchJob, from_sdk
from halfrate.genai._requests import Config, Named, Requests, batch_source, name_of, upload_config
from halfrate.genai._session import Session, session


async def upload_file(
    path: str | Path, *, display_name: str | None = None, mime_type: str | None = None
) -> types.File:
    """Send a file. The type of JSON Lines and other files is guessed from the name."""
    config = upload_config(Path(path), display_name, mime_type)
    return await session().sdk.aio.files.upload(file=str(path), config=config)


async def get_file(name: str) -> types.File:
    """Return what the server knows of a file."""
    return await session().sdk.aio.files.get(name=name)


async def list_files() -> AsyncIterator[types.File]:
    """Yield every file."""
    async for file in await session().sdk.aio.files.list(config={"page_size": 100}):
        yield file


async def delete_file(name: Named) -> None:
    """Remove a file."""
    await session().sdk.aio.files.delete(name=name_of(name))


async def download_file(name: Named) -> BinaryIO:
    """Fetch a file's bytes; `read` of what is returned does not wait."""
    return io.BytesIO(await session().sdk.aio.files.download(file=name_of(name)))


async def create_batch_job(model: str, requests: Requests, config: Config | None = None) -> BatchJob:
    """Make a batch of an uploaded file (or its name), or of a list of requests or prompts."""
    here = session()
    job = await here.sdk.aio.batches.create(model=model, src=batch_source(requests), config=config)
    return from_sdk(job, await asyncio.to_thread(here.first_operation, job.name))


async def get_batch_job(name: Named) -> BatchJob:
    """Return a batch as it stands."""
    here = session()
    return await _whole(here, await here.sdk.aio.batches.get(name=name_of(name)))


async def list_batch_jobs() -> AsyncIterator[BatchJob]:
    """Yield every batch, newest first."""
    here = session()
    async for job in await here.sdk.aio.batches.list(config={"page_size": 100}):
        yield await _whole(here, job)


async def cancel_batch_job(name: Named) -> None:
    """Stop a batch. What is answered stays."""
    await session().sdk.aio.batches.cancel(name=name_of(name))


async def delete_batch_job(name: Named) -> None:
    """Forget a batch, stopping it first if it still runs."""
    await session().sdk.aio.batches.delete(name=name_of(name))


async def _whole(here: Session, job: types.BatchJob) -> BatchJob:
    return from_sdk(job, await asyncio.to_thread(here.operation, job.name))
