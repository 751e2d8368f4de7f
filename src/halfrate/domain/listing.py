"""Which Jobs a list is to show: a condition on what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from halfrate.domain.job import JobState


class JobField(StrEnum):
    """What of a Job can be asked about with a value. Instants are in whole microseconds since the epoch."""

    MODEL = "model"
    DISPLAY_NAME = "display_name"
    PRIORITY = "priority"
    CREATED = "created"
    UPDATED = "updated"


class Relation(StrEnum):
    """How a field is to stand to the value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    HAS = ":"  # the value is somewhere in the text, in capitals or not


@dataclass(frozen=True, slots=True)
class InState:
    """The Job is in one of these states."""

    states: tuple[JobState, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The field stands to the value in the relation. Texts are only equal, unequal, or in one another."""

    field: JobField
    relation: Relation
    value: str | int


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    part: Condition


def microseconds(seconds: float) -> int:
    """Return an instant in whole microseconds, as it is shown and asked about: more digits are stored."""
    return int(seconds * 1_000_000.0 + 0.5)


Condition: TypeAlias = InState | Comparison | Every | Some | Not
