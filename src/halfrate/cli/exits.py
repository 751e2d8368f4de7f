"""What the exit code says. `docs/reference/cli.md` lists them."""

from enum import IntEnum


class Exit(IntEnum):
    """An exit code."""

    OK = 0  # done; single Requests may still have error Results, which is said
    FAILED = 1  # the Job did not succeed, the input is bad, or the server refused
    USAGE = 2  # the command line cannot be understood
    UNREACHABLE = 3  # no server answers, or it stopped answering
    BROKEN = 70  # a bug in halfrate
    INTERRUPTED = 130  # Ctrl-C
