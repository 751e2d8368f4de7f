"""An ingest worker that kills itself, once, at the crash point that the environment names."""

import os
import signal
from pathlib import Path

from halfrate.crashpoints import CrashPoint, watched
from halfrate.ingest.worker import main


def die(point: CrashPoint) -> None:
    """Die at ``DIE_AT``, and leave the file ``DIED`` for the next worker to live."""
    died = Path(os.environ["DIED"])
    if point == os.environ["DIE_AT"] and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    with watched(die):
        main()
