"""Looking at a Job again and again until it ends, and showing it meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from halfrate.cli.console import say, write_json
from halfrate.cli.describe import instant, job_document, lateness, money_and_tokens, progress, status_line
from halfrate.cli.exits import Exit
from halfrate.client import Client, JobView
from halfrate.domain.errors import Unreachable

LOOK_EVERY_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
PLAIN_LINE_EVERY_SECONDS = 10.0

T = TypeVar("T")

Show = Callable[[JobView, str], None]


class Patience:
    """Waits for a server that answered once and is away now: a minute is enough for a restart."""

    def __init__(
        self, now: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._heard_at: float | None = None

    def ask(self, call: Callable[[], T]) -> T:
        """Return what ``call`` does. Raise `Unreachable` if it never did, or the server stays away."""
        while True:
            try:
                answer = call()
            except Unreachable:
                if self._heard_at is None or self._now() - self._heard_at > PATIENCE_SECONDS:
                    raise
                self._sleep(LOOK_EVERY_SECONDS)
            else:
                self._heard_at = self._now()
                return answer


def follow(
    client: Client,
    name: str,
    *,
    now: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
    patience: Patience | None = None,
) -> Iterator[tuple[JobView, float | None]]:
    """Yield a Job and its Requests per second at every look, until it is final."""
    rate, patience = Rate(now), patience or Patience(now, sleep)
    while True:
        job = patience.ask(lambda: client.job(name))
        yield job, rate.of(job)
        if job.final:
            return
        sleep(LOOK_EVERY_SECONDS)


def watch_to_the_end(client: Client, name: str, *, as_json: bool) -> Exit:
    """Show a Job until it ends. Return how it ended as an exit code."""
    with _json_lines() if as_json else text_display() as show:
        for job, rate in follow(client, name):
            show(job, status_line(job, requests_per_second=rate))
    if not as_json:
        tell_end(job)
    return exit_of(job)


def tell_end(job: JobView) -> None:
    """Say how a Job ended and what to do next."""
    tell_outcome(job)
    if job.counts.failed or job.state == "FAILED":
        say(f"Try again what failed: halfrate retry {job.name}")
    if job.state != "FAILED":
        say(f"Results: halfrate results {job.name} -o results.jsonl")


def tell_outcome(job: JobView) -> None:
    """Say how a Job ended."""
    say(", ".join([f"{job.name} {job.state}", progress(job), *money_and_tokens(job)]))
    if late := lateness(job):
        say(late)
    if job.state == "FAILED":
        say(f"Why: {job.error or 'the server does not say'}")


def exit_of(job: JobView) -> Exit:
    """Return how a Job ended as an exit code."""
    return Exit.OK if job.state == "SUCCEEDED" else Exit.FAILED


def tell_promise(job: JobView) -> None:
    """Say by when a new Job is promised to be done, as far as its server says."""
    if late := lateness(job):
        say(f"It cannot be done as promised: {late}")
    elif job.promise is not None:
        say(f"Promised by {instant(job.promise.by)} UTC")


class Rate:
    """Requests answered a second, since the first look at a Job."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._first: tuple[float, int] | None = None

    def of(self, job: JobView) -> float | None:
        """Return the rate up to this look, or None while there is nothing to tell."""
        now, done = self._now(), job.counts.succeeded + job.counts.failed
        if self._first is None:
            self._first = now, done
        first_at, first_done = self._first
        return (done - first_done) / (now - first_at) if done > first_done and now > first_at else None


@contextmanager
def _json_lines() -> Iterator[Show]:
    """Print a line of JSON whenever something changed."""
    last = None

    def show(job: JobView, text: str) -> None:
        nonlocal last
        document = job_document(job)
        if document != last:
            write_json(document)
        last = document

    yield show


@contextmanager
def text_display() -> Iterator[Show]:
    """Show a Job to a person: one line that moves on a terminal, lines now and then elsewhere."""
    with _bar() if sys.stderr.isatty() else _plain_lines() as show:
        yield show


@contextmanager
def _plain_lines() -> Iterator[Show]:
    """Print a line when the state or the reason for waiting changes, and every ten seconds.

    How the Job ends is told by who asked.
    """
    last: tuple[str, str | None] | None = None
    said_at = 0.0

    def show(job: JobView, text: str) -> None:
        nonlocal last, said_at
        mark = (job.state, job.waiting)
        if job.final:
            return
        if mark != last or time.monotonic() - said_at > PLAIN_LINE_EVERY_SECONDS:
            say(text)
            last, said_at = mark, time.monotonic()

    yield show


@contextmanager
def _bar() -> Iterator[Show]:
    """Draw one line with a bar that moves."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms that only a terminal needs
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(job: JobView, text: str) -> None:
            done = job.counts.succeeded + job.counts.failed
            bar.update(task, total=job.counts.requests or None, completed=done, description=text)

        yield show
