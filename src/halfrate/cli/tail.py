"""Results as they come: each line once, to stdout or at the end of a file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Protocol

from halfrate.cli.follow import Patience, follow
from halfrate.client import Client, JobView
from halfrate.client.client import job_name
from halfrate.domain.errors import InvalidArgument, NotFound

HELD_BYTES_MAX = 8 << 20


class Tail(Protocol):
    """Where lines go, and the snapshot that what has gone there leads to."""

    snapshot: str | None

    def add(self, lines: IO[bytes], snapshot: str) -> None:
        """Take the lines from the last snapshot to this one."""
        ...


def follow_results(client: Client, name: str, tail: Tail) -> JobView:
    """Give ``tail`` every line of a Job once, as they are finished, until it ends. Return how it ended.

    A server that is away is waited for as long as `follow` does.
    """
    patience = Patience()
    for job, _ in follow(client, name, patience=patience):
        if job.state == "FAILED":  # which has no results
            continue
        try:
            patience.ask(partial(_take, client, job, tail))
        except NotFound:
            if job.final:
                raise  # else it ended since it was looked at: the next look tells how
    return job


def _take(client: Client, job: JobView, tail: Tail) -> None:
    """Fetch what is new. It is only passed on when all of it has come: the rest would come again."""
    with SpooledTemporaryFile(max_size=HELD_BYTES_MAX) as lines:
        with client.open_results_since(job, tail.snapshot) as (pieces, snapshot):
            for piece in pieces:
                lines.write(piece)
        if snapshot != tail.snapshot:
            lines.seek(0)
            tail.add(lines, snapshot)


class StdoutTail:
    """Lines to stdout."""

    def __init__(self) -> None:
        self.snapshot: str | None = None

    def add(self, lines: IO[bytes], snapshot: str) -> None:
        """Print them."""
        shutil.copyfileobj(lines, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        self.snapshot = snapshot


class FileTail:
    """Lines at the end of a file, with a mark beside it that says how far they go.

    The mark is written after the lines: what a crash left behind it is cut off, and comes again.
    """

    def __init__(self, job: str, output: Path) -> None:
        """Begin, or go on where the mark says.

        Raise `InvalidArgument` if the file is there without a mark, or is another Job's, or was changed.
        """
        self._job = job_name(job)
        self._output = output
        self._mark = output.with_name(f".{output.name}.follow")
        self.snapshot: str | None = None
        self.size_bytes = 0
        if self._mark.exists():
            self._go_on()
        elif output.exists() and output.stat().st_size:
            raise InvalidArgument(
                f"{output} is there already, and does not hold results that are being followed. "
                "Name another file, or remove it."
            )
        else:
            self._write_mark()
            output.touch()

    def add(self, lines: IO[bytes], snapshot: str) -> None:
        """Append them."""
        with self._output.open("ab") as file:
            shutil.copyfileobj(lines, file)
            file.flush()
            os.fsync(file.fileno())
            self.size_bytes = file.tell()
        self.snapshot = snapshot
        self._write_mark()

    def finish(self) -> None:
        """Say that the file is complete."""
        self._mark.unlink(missing_ok=True)

    def _write_mark(self) -> None:
        mark = {"job": self._job, "bytes": self.size_bytes, "snapshot": self.snapshot}
        temporary = self._mark.with_name(f"{self._mark.name}.tmp")
        temporary.write_text(json.dumps(mark))
        temporary.replace(self._mark)

    def _go_on(self) -> None:
        mark = json.loads(self._mark.read_bytes())
        size_bytes = self._output.stat().st_size if self._output.exists() else 0
        if mark["job"] != self._job:
            raise InvalidArgument(f"{self._output} holds results of {mark['job']}. Name another file.")
        if size_bytes < mark["bytes"]:
            raise InvalidArgument(
                f"{self._output} is shorter than it was. Remove it and {self._mark} to begin anew."
            )
        with self._output.open("ab") as file:
            file.truncate(mark["bytes"])
        self.snapshot, self.size_bytes = mark["snapshot"], mark["bytes"]
