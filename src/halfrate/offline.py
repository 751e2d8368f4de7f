"""Answers a file without a server, and goes on where an interrupted run stopped."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from halfrate.app import App, MakeEngine, open_app
from halfrate.clock import Clock
from halfrate.config import Config
from halfrate.domain.errors import ConfigError, HalfrateError, Refusal
from halfrate.domain.job import Job, JobState
from halfrate.domain.outlook import Outlook
from halfrate.engines.api import EngineState
from halfrate.store.blob.api import CHUNK_BYTES, read_chunks
from halfrate.store.blob.disk import sync_directory
from halfrate.store.blob.names import output_blob

POLL_SECONDS = 0.1
FOREVER_HOURS = 24.0 * 365 * 100

OnProgress = Callable[[Job, Outlook], None]


def state_directory(output: Path) -> Path:
    """Where the state of an unfinished run is kept: beside its output, until that is complete."""
    return output.absolute().with_name(f".{output.name}.halfrate")


async def run_file(
    config: Config,
    source: Path,
    output: Path,
    *,
    model: str,
    keep_going: bool = False,
    on_progress: OnProgress = lambda job, outlook: None,
    make_engine: MakeEngine | None = None,
    clock: Clock | None = None,
) -> Job:
    """Answer every line of ``source`` into ``output``, which appears when it is complete.

    Interrupted, it leaves its state beside the output; called again with the same input and model it
    answers what is left, however long after. Raise `InvalidArgument` naming every bad line (unless
    ``keep_going``), `ConfigError` if a path cannot be used or the state left there is another run's,
    `EngineBroken` if the model cannot be loaded.
    """
    _check_input(source)
    _check_output(output)
    state = state_directory(output)
    # Hashed only to be compared with an interrupted run's: two gigabytes take some seconds.
    sha256 = await asyncio.to_thread(_sha256, source) if state.exists() else None
    try:
        async with open_app(_kept_in(state, config), make_engine=make_engine, clock=clock) as app:
            job = await _unfinished(app, sha256=sha256, model=model) if sha256 else None
            if job is None:
                job = await _begin(app, source, model=model, keep_going=keep_going)
            job = await _watch(app, job, on_progress)
            if job.state is not JobState.SUCCEEDED:
                raise HalfrateError(job.error or f"The run ended {job.state.lower()}.")
            await asyncio.to_thread(_publish, app, job, output)
    except Refusal:
        # Nothing was begun, so there is nothing to go on with.
        shutil.rmtree(state, ignore_errors=True)
        raise
    shutil.rmtree(state)
    return job


def _kept_in(state: Path, config: Config) -> Config:
    """Return settings under which nothing of a run expires: nobody else waits for the room it takes."""
    limits = msgspec.structs.replace(
        config.limits, job_hours=FOREVER_HOURS, promise_hours=FOREVER_HOURS, file_hours=FOREVER_HOURS
    )
    return msgspec.structs.replace(config, data_dir=str(state), limits=limits)


async def _unfinished(app: App, *, sha256: str, model: str) -> Job | None:
    """Return the Job an interrupted run left, None if there is none.

    Raise `ConfigError` if it was a run of another input or model: its answers are not to be lost by a slip.
    """
    jobs, _ = await app.jobs.list(page_size=1, page_token=None)
    for job in jobs:
        file = await app.store.get_file(job.input_file or "")
        same = file is not None and file.sha256 == sha256 and job.engine == app.models.resolve(model).name
        if same and job.state is not JobState.FAILED:
            return job
        if job.counts.succeeded and job.state is not JobState.FAILED:
            raise ConfigError(
                f"{app.config.data_path} holds the answers of an unfinished run of another input or model "
                f"({job.display_name}, {job.engine}). Run that one again to finish it, delete the directory, "
                "or choose another output."
            )
        await app.jobs.delete(job.id)
    return None


async def _begin(app: App, source: Path, *, model: str, keep_going: bool) -> Job:
    upload = await app.uploads.begin(
        file_id=None,
        display_name=source.name,
        mime_type="jsonl",
        declared_bytes=source.stat().st_size,
    )
    await app.uploads.append(upload.id, offset=0, chunks=_chunks(source))
    file = await app.uploads.finish(upload.id)
    return await app.jobs.create_from_file(
        model=model, file_id=file.id, display_name=source.name, priority=0, keep_going=keep_going
    )


async def _chunks(source: Path) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


async def _watch(app: App, job: Job, on_progress: OnProgress) -> Job:
    while not job.state.final:
        on_progress(job, await app.jobs.outlook(job))
        # A server waits for a model that is mended; here nobody would mend it.
        for name in job.engines:
            engine = app.models.resolve(name).engine
            if engine.state is EngineState.BROKEN:
                await engine.ready()
        await asyncio.sleep(POLL_SECONDS)
        job = await app.jobs.get(job.id)
    on_progress(job, await app.jobs.outlook(job))
    return job


def _publish(app: App, job: Job, output: Path) -> None:
    temporary = output.with_name(f".{output.name}.tmp")
    with app.blobs.reader(output_blob(job.id)) as reader, temporary.open("wb") as file:
        for chunk in read_chunks(reader):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(output)
    sync_directory(output.absolute().parent)


def _check_input(source: Path) -> None:
    try:
        source.open("rb").close()
    except OSError as error:
        raise ConfigError(f"The input {source} cannot be read: {error.strerror}.") from None


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise ConfigError(f"The output {output} is a directory. Name a file with -o.")
    if not output.absolute().parent.is_dir():
        raise ConfigError(f"The directory of the output {output} does not exist. Make it first.")


def _sha256(source: Path) -> str:
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
