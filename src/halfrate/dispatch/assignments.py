"""From the lines of a Shard to what is asked of an Engine. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from halfrate.domain.kind import Kind
from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import AnyRequest
from halfrate.domain.result import Asker, Assignment
from halfrate.ingest.index import Entry
from halfrate.planner.coalesce import coalesce

Asked = Callable[[Line, str, Kind], AnyRequest | Failed]
"""Says what a line asks in a Job of this model and kind, or why it cannot be answered there."""


def assignments(
    lines: Iterable[tuple[Entry, Line | Rejection]],
    *,
    model: str,
    kind: Kind,
    asked: Asked,
    default_temperature: float,
) -> list[Assignment]:
    """Return what is to be answered, in order, twins together. A bad line is a `Failed` already."""
    single = (
        Assignment(request, (asker,)) for asker, request in _asked(lines, model=model, kind=kind, asked=asked)
    )
    return list(coalesce(single, default_temperature=default_temperature))


def _asked(
    lines: Iterable[tuple[Entry, Line | Rejection]], *, model: str, kind: Kind, asked: Asked
) -> Iterator[tuple[Asker, AnyRequest | Failed]]:
    for entry, line in lines:
        match line:
            case Rejection(message):
                # Only a Job that keeps going comes here with a bad line: it becomes an error Result.
                detail = f"Error on line {entry.number}: {message}"
                yield Asker(entry.ordinal), Failed(Cause.INVALID, detail)
            case Line(key, metadata) if entry.repeated:
                detail = (
                    f"Error on line {entry.number}: an earlier line has the key {key!r}; "
                    "give every line a key of its own."
                )
                yield Asker(entry.ordinal, key, metadata), Failed(Cause.INVALID, detail)
            case Line(key, metadata):
                yield Asker(entry.ordinal, key, metadata), asked(line, model, kind)
