"""Deadlines as people write them. Pure but for the time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import typer

_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def deadline(text: str) -> str:
    """Return a deadline as servers take it: seconds for ``90m``, ``2h`` or ``1d``, else a time in UTC.

    A time without a zone is local. Raise `typer.BadParameter` for what is neither.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    if span is not None:
        return f"{float(span[1]) * _SECONDS[span[2]]:g}"
    try:
        instant = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no deadline: write 90m, 2h or 1d, or a time as in 2026-12-31T08:00."
        ) from None
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
