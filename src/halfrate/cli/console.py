"""Where text goes: results and JSON to stdout, everything for people beside them to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def say(text: str) -> None:
    """Tell a person something."""
    print(text, file=sys.stderr, flush=True)


def write_json(document: Any) -> None:
    """Print one JSON document on a line of its own."""
    print(json.dumps(document, ensure_ascii=False), flush=True)


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns, without colours or lines."""
    table = [tuple(headings), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
