"""What an inspection finds, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something stored that is not as it should be: where, what is wrong with it, and what to do.

    One that is not ``harmful`` takes room, or can be put down to a change of the settings.
    """

    harmful: bool
    where: str
    what: str


@dataclass(slots=True)
class Tour:
    """How far an inspection is. ``quick`` ones read no bulk bytes."""

    quick: bool
    on_progress: Callable[[Tour], None]
    jobs: int = 0
    files: int = 0
    read_bytes: int = 0

    def count(self, *, jobs: int = 0, files: int = 0, read_bytes: int = 0) -> None:
        """Note what has been looked at."""
        self.jobs += jobs
        self.files += files
        self.read_bytes += read_bytes
        self.on_progress(self)


def unreadable(blob: str, error: OSError) -> str:
    """Say that a blob is missing, or why it cannot be read."""
    if isinstance(error, FileNotFoundError):
        return f"Blob {blob} is missing."
    return f"Blob {blob} cannot be read: {error.strerror}."
