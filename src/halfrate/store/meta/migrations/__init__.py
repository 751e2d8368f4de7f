"""The schema, as numbered steps from an empty database."""

from __future__ import annotations

from importlib.resources import files


def migrations() -> list[str]:
    """Return every step, the first one first."""
    steps = (entry for entry in files(__package__).iterdir() if entry.name.endswith(".sql"))
    return [entry.read_text("utf-8") for entry in sorted(steps, key=lambda entry: entry.name)]
