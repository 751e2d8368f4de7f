"""`halfrate run`: answer a file, without a server."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halfrate.cli.console import say, write_json
from halfrate.cli.describe import job_document, money_and_tokens, progress, status_line
from halfrate.cli.exits import Exit
from halfrate.cli.files import check_input
from halfrate.cli.follow import Rate, text_display
from halfrate.cli.logs import show_logs
from halfrate.cli.loop import run_async
from halfrate.cli.options import Config, Json
from halfrate.cli.settings import only_model, settings
from halfrate.client import JobView

if TYPE_CHECKING:
    from halfrate.domain.job import Job
    from halfrate.domain.outlook import Outlook


def run(
    file: Annotated[Path, typer.Argument(metavar="IN", help="JSON Lines: one request a line.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="Where the results go.")],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model file, folder, hub name or server's URL.")
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Make bad lines error results.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Answer every line of IN into OUT, without a server. Run it again after a crash and it continues."""
    from halfrate.offline import run_file  # noqa: PLC0415 - the engine and all that feeds it

    check_input(file)
    loaded = settings(config=config, data=None, model=model)
    name = only_model(loaded)
    loaded = loaded.serving_only(loaded.models[name], name=name)
    show_logs(logging.ERROR)  # what a server's log would warn of is shown as the reason for waiting
    rate = Rate(time.time)
    with text_display() as show:

        def on_progress(job: Job, outlook: Outlook) -> None:
            view = view_of(job, outlook)
            show(view, status_line(view, requests_per_second=rate.of(view)))

        work = run_file(loaded, file, output, model=name, keep_going=keep_going, on_progress=on_progress)
        try:
            job = run_async(work)
        except KeyboardInterrupt:
            say("Interrupted. Run the same command again to go on.")
            raise typer.Exit(Exit.INTERRUPTED) from None
    view = view_of(job)
    if as_json:
        write_json({"output": str(output), **job_document(view)})
    else:
        say(", ".join([f"{output} is complete: {progress(view)}", *money_and_tokens(view)]))


def view_of(job: Job, outlook: Outlook | None = None) -> JobView:
    """Return a Job as a client of a server would see it, so that it is shown in the same way."""
    from halfrate.wire.gemini.batches import operation  # noqa: PLC0415

    shown = operation(job) if outlook is None else operation(job, outlook=outlook)
    view = JobView.of(json.loads(bytes(shown)))
    return replace(view, deadline=None)  # nothing of a run expires
