"""What one line of a client's file came to when it was parsed."""

from __future__ import annotations

from dataclasses import dataclass

from halfrate.domain.outcome import Failed
from halfrate.domain.request import Request


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could be read.

    ``model`` is the model the line itself names, if it does. ``request`` is a `Failed` where the line
    is well-formed and asks for something that can never be answered here.
    """

    key: str | None
    metadata: bytes | None
    model: str | None
    request: Request | Failed


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that cannot be read. ``message`` says why and where in the line, without the line's number."""

    message: str
