"""Files named on the command line, checked before anything is begun."""

from __future__ import annotations

from pathlib import Path

from halfrate.domain.errors import InvalidArgument


def check_input(file: Path) -> None:
    """Raise `InvalidArgument` unless ``file`` is a file that can be read."""
    if not file.exists():
        raise InvalidArgument(f"There is no file {file}. Give a JSON Lines file, one request a line.")
    if not file.is_file():
        raise InvalidArgument(f"{file} is no file. Give a JSON Lines file, one request a line.")
    with file.open("rb"):
        pass
