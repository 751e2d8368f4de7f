"""`halfrate submit`: send a file of requests to a server and make a job of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from halfrate.cli.connect import choose_model, connect
from halfrate.cli.console import say, write_json
from halfrate.cli.describe import job_document, minute
from halfrate.cli.files import check_input
from halfrate.cli.follow import tell_promise, watch_to_the_end
from halfrate.cli.options import DEFAULT_URL, Deadline, Json, Model, Url
from halfrate.domain.kind import Kind


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines: one request a line.")],
    *,
    model: Model = None,
    display_name: Annotated[str | None, typer.Option(help="A name for people; default: the file's.")] = None,
    priority: Annotated[int, typer.Option(help="Jobs with a higher one go first.")] = 0,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Make bad lines error results.")] = False,
    deadline: Deadline = None,
    embed: Annotated[bool, typer.Option("--embed", help="The lines are texts to embed.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show the job until it ends.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Send FILE to a server and make a job of it. Prints the job's name."""
    check_input(file)
    client = connect(url)
    kind = Kind.EMBEDDING if embed else Kind.GENERATION
    model = choose_model(client, model, kind)
    with _progress(file) as on_progress:
        uploaded = client.upload(file, on_progress=on_progress)
    job = client.create(
        model,
        uploaded.name,
        display_name=file.name if display_name is None else display_name,
        priority=priority,
        keep_going=keep_going,
        deadline=deadline,
        kind=kind,
    )
    if watch:
        say(f"Submitted {job.name}")
        tell_promise(job)
        raise typer.Exit(watch_to_the_end(client, job.name, as_json=as_json))
    if as_json:
        write_json(job_document(job))
    else:
        print(job.name)
        ends = f", to end by {minute(job.deadline)}" if deadline and job.deadline else ""
        say(f"Submitted to {model}{ends}. Follow it with: halfrate watch {job.name}")
    tell_promise(job)


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[int], None]]:
    """Show how far an upload is, on a terminal, if the file takes more than a moment."""
    total_bytes = file.stat().st_size
    if not sys.stderr.isatty() or total_bytes < 64 << 20:
        yield lambda sent_bytes: None
        return
    from rich.console import Console  # noqa: PLC0415 - 60 ms that only a terminal needs
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Uploading", total=total_bytes)
        yield lambda sent_bytes: bar.update(task, completed=sent_bytes)
