"""The ingest worker: a process that does tasks, one after the other, until its input ends.

Started as ``python -m halfrate.ingest.worker ROOT``. ``ROOT`` is the directory of the blobs.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import BinaryIO

from halfrate.domain.errors import CorruptData
from halfrate.ingest.chunks import Reading
from halfrate.ingest.frames import Failure, Kind, encode, read_task
from halfrate.ingest.tasks import Report, Task, perform
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.local import LocalBlobStore
from halfrate.wire.gemini.plain import text_lines
from halfrate.wire.lines import read_lines

READING = Reading(read_lines, text_lines)


def main() -> None:
    """Do what comes in on standard input, and answer on standard output."""
    # What is made here are rows and texts by the million, and no cycles to speak of.
    gc.disable()
    gc.freeze()  # what was imported stays: it is not to be looked through after every task
    blobs = LocalBlobStore(Path(sys.argv[1]))
    # The pipe to the parent is ours alone: whatever prints, prints elsewhere.
    pipe = sys.stdout.buffer
    sys.stdout = sys.stderr
    work(sys.stdin.buffer, pipe, blobs)


def work(tasks: BinaryIO, reports: BinaryIO, blobs: BlobStore) -> None:
    """Answer every task with a report or a failure."""
    while (task := read_task(tasks)) is not None:
        reports.write(encode(_outcome(task, blobs)))
        reports.flush()
        gc.collect()


def _outcome(task: Task, blobs: BlobStore) -> Report | Failure:
    try:
        return perform(task, blobs, READING)
    except CorruptData as error:
        return Failure(Kind.CORRUPT, str(error))
    except FileNotFoundError as error:
        return Failure(Kind.MISSING, str(error))
    except OSError as error:
        return Failure(Kind.SYSTEM, str(error.strerror or error), error.errno)
    except MemoryError:
        raise  # a worker without memory is not to be trusted with another task
    except Exception as error:
        return Failure(Kind.BUG, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
