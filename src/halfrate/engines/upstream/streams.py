"""An answer that comes as server-sent events, heard piece by piece."""

from __future__ import annotations

from typing import Protocol

from halfrate.domain.outcome import Cause, Delta, Failed, Outcome
from halfrate.wire.rejected import Rejected
from halfrate.wire.sse import Events


class Heard(Protocol):
    """What a dialect makes of the data of events."""

    @property
    def done(self) -> bool:
        """Whether all is said."""
        ...

    def hear(self, event: bytes) -> list[Delta]:
        """Take one event, and return the pieces it says."""
        ...

    def outcome(self) -> Outcome | Rejected | None:
        """Return what all of it says together, None if it was broken off."""
        ...


class EventListener:
    """Hears bytes as they come, as the events they are."""

    def __init__(self, said: Heard) -> None:
        self._said = said
        self._events = Events()

    @property
    def done(self) -> bool:
        """Whether all is said."""
        return self._said.done

    def hear(self, data: bytes) -> list[Delta]:
        """Take bytes as they come, and return the pieces that are complete."""
        return [delta for event in self._events.feed(data) for delta in self._said.hear(event)]

    def outcome(self) -> Outcome | Rejected:
        """Return what all of it says together."""
        for event in self._events.end():
            self._said.hear(event)
        return self._said.outcome() or Failed(Cause.UPSTREAM, "The server broke the answer off.")
