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
from halfrate.cli.options import DEFAULT_URL, JobName, Json, Url
from halfrate.domain.errors import InvalidArgument


def results(
    job: JobName,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; default: stdout.")] = None,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Fetch a job's results: one line for each line that went in, in the same order."""
    if as_json and output is None:
        raise InvalidArgument("Results go to stdout without -o, so --json has no place there: add -o FILE.")
    client = connect(url)
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
