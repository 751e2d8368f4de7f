"""What an error of the disk means for who waits, and what helps."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PASSING = {
    errno.ENOSPC: "is full. Make room on it",
    errno.EDQUOT: "takes no more from this user: the quota is used up. Make room on it",
    errno.EFBIG: "takes no file of that size. Raise the limit (ulimit -f)",
    errno.EROFS: "is mounted read-only. Mount it for writing",
    errno.EIO: "reports an error. Look at the system's log",
}


def may_pass(error: OSError) -> bool:
    """Whether the disk itself is the trouble, and not what was asked of it."""
    return error.errno in _PASSING


def explain(error: OSError) -> str:
    """Say what is wrong with the disk, where, and what helps."""
    place = f" ({error.filename})" if error.filename else ""
    if isinstance(error, FileNotFoundError):
        return f"{error.filename or error} is missing. Restore it from a backup, or submit the file again."
    if error.errno in _PASSING:
        what, remedy = _PASSING[error.errno].split(". ")
        return f"The disk {what}{place}. {remedy}: everything then goes on by itself."
    return f"The disk cannot be used: {error.strerror or error}{place}. It is tried again."


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Have errors of the disk say which file they are about: the system does so only for names."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
