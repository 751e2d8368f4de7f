"""`halfrate results`: what a job answered, as JSON Lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json
from halfrate.cli.describe import job_document
from halfrate.cli.exits import Exit
from halfrate.cli.follow import exit_of, tell_outcome
from halfrate.cli.options import DEFAULT_URL, JobName, Json, Url
from halfrate.cli.tail import FileTail, StdoutTail, follow_results
from halfrate.client import Client
from halfrate.domain.errors import InvalidArgument


def results(
    job: JobName,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: stdout.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Give lines as they are finished.")] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Fetch a job's results: one line for each line that went in, in the same order.

    With --follow, each line once as it is finished, until the job ends.
    """
    if as_json and output is None:
        raise InvalidArgument("Results go to stdout without -o, so --json has no place there: add -o FILE.")
    client = connect(url)
    if follow:
        raise typer.Exit(_follow(client, job, output, as_json=as_json))
    view = client.job(job)
    with client.open_results(view) as pieces:
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        lines, size_bytes = _write(pieces, output)
    if as_json:
        written = {"output": str(output), "lines": lines, "bytes": size_bytes}
        write_json({**written, "job": job_document(view)})
    else:
        say(
            f"{lines:,} results ({size_bytes:,} bytes) of {view.name}, which is {view.state}, are in {output}"
        )


def _follow(client: Client, job: str, output: Path | None, *, as_json: bool) -> Exit:
    if output is None:
        view = follow_results(client, job, StdoutTail())
    else:
        client.job(job)  # asked first, so that a name that is wrong leaves no file
        tail = FileTail(job, output)
        view = follow_results(client, job, tail)
        tail.finish()
    if as_json and output is not None:
        write_json({"output": str(output), "bytes": tail.size_bytes, "job": job_document(view)})
    else:
        tell_outcome(view)
    return exit_of(view)


def _write(pieces: Iterator[bytes], output: Path) -> tuple[int, int]:
    """Write all pieces or leave what was there: a broken download must not look like a whole one."""
    partial = output.with_name(f".{output.name}.part")
    lines = size_bytes = 0
    try:
        with partial.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                lines += piece.count(b"\n")
                size_bytes += len(piece)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return lines, size_bytes
