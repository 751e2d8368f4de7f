"""Conditions on Jobs, as SQL."""

from __future__ import annotations

from typing import assert_never

from halfrate.domain.listing import Comparison, Condition, Every, InState, JobField, Not, Relation, Some

_COLUMNS: dict[JobField, str] = {
    JobField.MODEL: "model",
    JobField.DISPLAY_NAME: "display_name",
    JobField.PRIORITY: "priority",
    # The same steps as in `halfrate.domain.listing.microseconds`, for the same number.
    JobField.CREATED: "CAST(created_at * 1000000.0 + 0.5 AS INTEGER)",
    JobField.UPDATED: "CAST(updated_at * 1000000.0 + 0.5 AS INTEGER)",
}


def as_sql(condition: Condition) -> tuple[str, dict[str, str | int]]:
    """Return an expression over the columns of ``job``, and its values: no text of a client is in it."""
    values: dict[str, str | int] = {}
    return _expression(condition, values), values


def _expression(condition: Condition, values: dict[str, str | int]) -> str:
    match condition:
        case InState(states):
            names = ", ".join(_bound(state.value, values) for state in states)
            return f"state IN ({names})"
        case Comparison(field, Relation.HAS, value):
            return f"instr(lower({_COLUMNS[field]}), lower({_bound(value, values)})) > 0"
        case Comparison(field, relation, value):
            return f"{_COLUMNS[field]} {relation.value} {_bound(value, values)}"
        case Every(parts):
            return _joined(" AND ", parts, values)
        case Some(parts):
            return _joined(" OR ", parts, values)
        case Not(part):
            return f"NOT {_expression(part, values)}"
        case _ as never:
            assert_never(never)


def _joined(word: str, parts: tuple[Condition, ...], values: dict[str, str | int]) -> str:
    return f"({word.join(_expression(part, values) for part in parts)})"


def _bound(value: str | int, values: dict[str, str | int]) -> str:
    name = f"value_{len(values)}"
    values[name] = value
    return f":{name}"
