"""What a request asks and cannot get, carried out of the depths of reading it."""

from __future__ import annotations

from halfrate.domain.outcome import Cause, Failed


class Inability(Exception):
    """A request that can be read and cannot be answered here. ``failed`` is what comes of it."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.failed = Failed(cause, detail)


def invalid(detail: str) -> Inability:
    """Return that the request is wrong."""
    return Inability(Cause.INVALID, detail)


def unsupported(detail: str) -> Inability:
    """Return that the request is right, and this server cannot do it."""
    return Inability(Cause.UNSUPPORTED, detail)
