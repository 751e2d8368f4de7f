"""One SQL file per query, named for what it does."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> str:
    """Return the text of ``name``.sql."""
    return files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
