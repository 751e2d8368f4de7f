"""The command line. One file a command; the heavy imports happen inside the command that needs them."""

from __future__ import annotations

import os
import sys

from halfrate.cli.exits import Exit
from halfrate.domain.errors import HalfrateError, Unreachable


def main() -> None:
    """Run the command line and end the process with its exit code.

    An error is told in a sentence: a traceback helps only whoever mends halfrate, who sets HALFRATE_DEBUG.
    """
    from halfrate.cli.app import app  # noqa: PLC0415 - inside, so that a broken import is told as well

    try:
        app(prog_name="halfrate")
    except HalfrateError as error:
        code = Exit.UNREACHABLE if isinstance(error, Unreachable) else Exit.FAILED
        sys.exit(_tell(str(error), code))
    except OSError as error:
        sys.exit(_tell(_os_error(error), Exit.FAILED))
    except Exception as error:
        what = f"halfrate broke ({type(error).__name__}: {error}). This is a bug: please report it."
        sys.exit(_tell(f"{what} With HALFRATE_DEBUG=1 it says where.", Exit.BROKEN))


def _tell(message: str, code: Exit) -> int:
    if os.environ.get("HALFRATE_DEBUG"):
        raise  # noqa: PLE0704 - called while an exception is being handled
    print(f"halfrate: {message}", file=sys.stderr)
    return code


def _os_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
