"""What the library logs, told on stderr without tracebacks."""

from __future__ import annotations

import logging
import os


class _Sentences(logging.Formatter):
    """A line a record. A traceback is for whoever mends halfrate, who sets HALFRATE_DEBUG."""

    def formatException(self, ei: object) -> str:
        return ""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).rstrip()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line += f" ({type(error).__name__}: {error})"
        return line


def show_logs(level: int) -> None:
    """Show records from ``level`` up on stderr."""
    handler = logging.StreamHandler()
    form = "%(asctime)s %(levelname)s %(message)s"
    handler.setFormatter((logging.Formatter if os.environ.get("HALFRATE_DEBUG") else _Sentences)(form))
    logging.basicConfig(level=level, handlers=[handler], force=True)
