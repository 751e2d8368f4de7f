"""Lines of an input file in any dialect: each is read in the one it is written in."""

from __future__ import annotations

from collections.abc import Sequence

from halfrate.domain.line import Line, Plain, Rejection
from halfrate.wire.gemini import lines as gemini
from halfrate.wire.openai import lines as openai


def parse_line(raw: bytes) -> Line | Rejection:
    """Return what one line says, or why it cannot be read. Never raises."""
    return openai.parse_line(raw) or gemini.parse_line(raw)


def parse_lines(raws: Sequence[bytes]) -> list[Line | Rejection]:
    """Return what `parse_line` returns for each, in less time."""
    return [one.line() if isinstance(one, Plain) else one for one in read_lines(raws)]


def read_lines(raws: Sequence[bytes]) -> list[Plain | Line | Rejection]:
    """Do as `parse_lines`, and leave the plain ones as they are.

    Lines of one file mostly are of one dialect: the first one says which is tried first.
    """
    if raws and openai.parse_line(raws[0]) is not None:
        return [parse_line(raw) for raw in raws]
    lines = gemini.read_lines(raws)
    if Rejection not in set(map(type, lines)):  # nearly always, and the quickest way to see it
        return lines
    return [
        (openai.parse_line(raw) or line) if isinstance(line, Rejection) else line
        for raw, line in zip(raws, lines, strict=True)
    ]
