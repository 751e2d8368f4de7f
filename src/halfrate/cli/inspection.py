"""What `halfrate doctor` finds in the data directory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from halfrate.domain.errors import HalfrateError

if TYPE_CHECKING:
    from halfrate.upkeep.flaws import Flaw, Tour
    from halfrate.upkeep.inspector import Inspector

TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``verdict`` is ``ok``, ``note`` or ``bad``; only ``bad`` stops halfrate."""

    verdict: str
    subject: str
    detail: str


def inspection(config: Path | None, data: Path | None, *, quick: bool) -> Iterator[Finding]:
    """Check what is stored, if anything is."""
    from halfrate.app import DATABASE, open_inspector  # noqa: PLC0415 - the whole application
    from halfrate.cli.settings import settings  # noqa: PLC0415 - msgspec takes 30 ms

    try:
        loaded = settings(config=config, data=data, model=None)
    except HalfrateError:
        return  # which has been told
    if not (loaded.data_path / DATABASE).exists():
        return
    try:
        with Ticker() as ticker, open_inspector(loaded, quick=quick, on_progress=ticker.show) as inspector:
            harmful = yield from _flaws(inspector)
    except HalfrateError as error:
        yield Finding("bad", "store", str(error))
        return
    tour = inspector.tour
    looked_at = f"{tour.jobs} jobs and {tour.files} files looked at, {tour.read_bytes / 1e6:.1f} MB read"
    if harmful:
        yield Finding("bad", "store", f"{looked_at}: {harmful} things are not as they were written")
    else:
        yield Finding("ok", "store", f"{looked_at}: all is as it was written")


def _flaws(inspector: Inspector) -> Generator[Finding, None, int]:
    """Yield what an inspection finds, and return how much of it does harm."""
    harmful = 0
    flaws = inspector.flaws()

    async def next_flaw() -> Flaw | None:
        return await anext(flaws, None)

    with asyncio.Runner() as runner:
        while (flaw := runner.run(next_flaw())) is not None:
            harmful += flaw.harmful
            yield Finding("bad" if flaw.harmful else "note", "store", f"{flaw.where}: {flaw.what}")
    return harmful


class Ticker:
    """Shows on a terminal how far an inspection is, and wipes it away."""

    def __init__(self) -> None:
        self._shown_at = 0.0
        self._shows = sys.stderr.isatty()

    def show(self, tour: Tour) -> None:
        """Show it, a few times a second."""
        if self._shows and time.monotonic() - self._shown_at >= TICK_SECONDS:
            self._shown_at = time.monotonic()
            print(
                f"\r{tour.jobs} jobs, {tour.files} files, {tour.read_bytes / 1e6:.0f} MB",
                end="",
                file=sys.stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr)
