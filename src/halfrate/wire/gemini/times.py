"""Instants as the API writes them, and deadlines as clients do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.listing import microseconds

_EPOCH = datetime.fromtimestamp(0, UTC)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?", re.ASCII)


def timestamp(seconds: float) -> str:
    """Return an instant, in seconds since the Unix epoch, as RFC 3339 with microseconds and ``Z``."""
    return (_EPOCH + timedelta(microseconds=microseconds(seconds))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_deadline(text: str) -> Deadline:
    """Return a deadline given in seconds, with or without an ``s``, or as an instant in RFC 3339.

    Raise `InvalidArgument` for anything else.
    """
    seconds = _SECONDS.fullmatch(text.strip())
    if seconds is not None:
        return Deadline(float(seconds[1]))
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise InvalidArgument(
            f"The deadline is {text!r}; it must be a number of seconds, as in 7200, or an instant with its "
            "zone, as in 2026-12-31T08:00:00Z."
        )
    return Deadline(instant.timestamp(), absolute=True)
