"""What a server says that takes no call at all, whatever it asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server takes no call until somebody mends something: ``why`` is its own sentence."""

    why: str
