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

Asked = Callable[[Line, str | None, Kind], AnyRequest | Failed]
"""Says what a line asks in a Job of this kind, or why it cannot be answered there.

With a model, it must be the one that the line names, if it names any.
"""


def assignments(
    lines: Iterable[tuple[Entry, Line | Rejection]],
    *,
    model: str | None,
    kind: Kind,
    asked: Asked,
    default_temperature: float,
    refusal: str | None = None,
) -> list[Assignment]:
    """Return what is to be answered, in order, twins together. A bad line is a `Failed` already.

    With a ``refusal``, so is every other one, for that reason if for none of its own.
    """
    single = (
        Assignment(request if refusal is None else _refused(request, refusal), (asker,))
        for asker, request in _asked(lines, model=model, kind=kind, asked=asked)
    )
    return list(coalesce(single, default_temperature=default_temperature))


def _refused(request: AnyRequest | Failed, refusal: str) -> Failed:
    return request if isinstance(request, Failed) else Failed(Cause.INVALID, refusal)


def _asked(
    lines: Iterable[tuple[Entry, Line | Rejection]], *, model: str | None, kind: Kind, asked: Asked
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
