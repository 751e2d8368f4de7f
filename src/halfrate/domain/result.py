"""From a line to its Result: who asks, what is asked once for them all, and the final entry."""

from __future__ import annotations

from dataclasses import dataclass

from halfrate.domain.outcome import Failed, Outcome
from halfrate.domain.request import AnyRequest


@dataclass(frozen=True, slots=True)
class Asker:
    """One Request line of a Job, waiting for its Result.

    ``ordinal`` counts the Job's Requests from 0 in input order (blank lines do not count). ``key`` is
    the client's name for the line, ``metadata`` the raw JSON an inline Request came with; both are
    echoed as they were given.
    """

    ordinal: int
    key: str | None = None
    metadata: bytes | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """One thing to answer once, and every Asker that gets the answer: one, or several twins.

    ``request`` is a `Failed` where the line can already be seen to have no answer.
    """

    request: AnyRequest | Failed
    askers: tuple[Asker, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """The one final entry for one Asker. ``engine`` is set where another one than the Job's own made it."""

    asker: Asker
    outcome: Outcome
    engine: str | None = None
