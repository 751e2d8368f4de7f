"""The ``filter`` of a list of batches: what it needs of the language that Google's APIs share (AIP-160).

::

    filter     = sequence {"AND" sequence}
    sequence   = either {either}                     both are meant, as with AND
    either     = term {"OR" term}                    binds closer than AND
    term       = ["NOT" | "-"] ("(" filter ")" | comparison)
    comparison = field ("=" | "!=" | "<" | "<=" | ">" | ">=" | ":") value
    value      = word | quoted text

Fields may be spelled in snake_case or lowerCamelCase, with ``metadata.`` in front or without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import FINAL_STATES, JobState
from halfrate.domain.listing import Comparison, Condition, Every, InState, JobField, Not, Relation, Some
from halfrate.wire.gemini.batches import wire_state
from halfrate.wire.gemini.content import bare_model
from halfrate.wire.gemini.masks import in_camel_case

LENGTH_MAX = 2_000
DEPTH_MAX = 20

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_RELATION = re.compile(r"!=|<=|>=|[=<>:]")
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"' r"|'(?:[^'\\]|\\.)*'" r"|[^\s()\"']+", re.DOTALL)
_SPACE = re.compile(r"\s*")

_STATES: dict[str, tuple[JobState, ...]] = {
    name: tuple(state for state in JobState if wire_state(state) == name)
    for name in map(wire_state, JobState)
}
_IS = frozenset({Relation.EQUAL, Relation.UNEQUAL})
_ORDER = frozenset(Relation) - {Relation.HAS}
_TEXT = _IS | {Relation.HAS}


def parse_filter(text: str | None) -> Condition | None:
    """Return what a filter asks of a batch, None if it asks nothing.

    Raise `InvalidArgument` naming the column of what cannot be read.
    """
    if text is None or not text.strip():
        return None
    if len(text) > LENGTH_MAX:
        raise InvalidArgument(f"The filter has {len(text)} characters; at most {LENGTH_MAX} are read.")
    return _Parser(text).whole()


class _Parser:
    """Reads a filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._filter()
        if self._skip_space() < len(self._text):
            raise self._wrong("a ')' has no '(' before it")
        return condition

    def _filter(self) -> Condition:
        parts = [self._either()]
        while self._word("AND") or not self._ended():
            parts.append(self._either())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _either(self) -> Condition:
        parts = [self._term()]
        while self._word("OR"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _term(self) -> Condition:
        if self._word("NOT") or self._sign("-"):
            return Not(self._term_itself())
        return self._term_itself()

    def _term_itself(self) -> Condition:
        if not self._sign("("):
            return self._comparison()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(f"parentheses lie deeper than {DEPTH_MAX} levels")
        condition = self._filter()
        if not self._sign(")"):
            raise self._wrong("a ')' is missing")
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        at = self._skip_space()
        field = self._take(_FIELD, "the name of a field is missing")
        name = in_camel_case(field.removeprefix("metadata."))
        if name not in _FIELDS:
            raise self._wrong(f"there is no field {field!r} to ask about, only {', '.join(_FIELDS)}", at)
        relations, make = _FIELDS[name]
        at = self._skip_space()
        relation = Relation(self._take(_RELATION, "one of = != < <= > >= : is missing"))
        if relation not in relations:
            raise self._wrong(f"{field} cannot be asked about with {relation.value!r}", at)
        at = self._skip_space()
        value = _unquoted(self._take(_VALUE, "a value is missing, or the end of one"))
        try:
            return make(relation, value)
        except ValueError as error:
            raise self._wrong(str(error), at) from None

    def _ended(self) -> bool:
        return self._skip_space() == len(self._text) or self._text[self._at] == ")"

    def _word(self, word: str) -> bool:
        found = re.compile(rf"{word}(?![A-Za-z0-9_.])").match(self._text, self._skip_space())
        self._at = found.end() if found else self._at
        return found is not None

    def _sign(self, sign: str) -> bool:
        found = self._text.startswith(sign, self._skip_space())
        self._at += len(sign) if found else 0
        return found

    def _take(self, kind: re.Pattern[str], missing: str) -> str:
        found = kind.match(self._text, self._skip_space())
        if found is None:
            raise self._wrong(missing)
        self._at = found.end()
        return found[0]

    def _skip_space(self) -> int:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._at

    def _wrong(self, what: str, at: int | None = None) -> InvalidArgument:
        sentence = f"Invalid filter, at column {(self._at if at is None else at) + 1}: {what}."
        return InvalidArgument(sentence, (("filter", sentence),))


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value[0] in "\"'" else value


# Fields -----------------------------------------------------------------------------------------------

_Make = Callable[[Relation, str], Condition]


def _state(relation: Relation, value: str) -> Condition:
    """Accept the names of the wire, of SDKs, and what both have in common."""
    name = "BATCH_STATE_" + re.sub(r"^(BATCH|JOB)_STATE_", "", value)
    if name not in _STATES:
        raise ValueError(f"{value[:80]!r} is no state; there are {', '.join(_STATES)}")
    return _unless(relation, InState(_STATES[name]))


def _done(relation: Relation, value: str) -> Condition:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{value[:80]!r} is neither true nor false")
    done = InState(tuple(sorted(FINAL_STATES)))
    return _unless(relation, done if value.lower() == "true" else Not(done))


def _unless(relation: Relation, condition: Condition) -> Condition:
    return Not(condition) if relation is Relation.UNEQUAL else condition


def _model(relation: Relation, value: str) -> Condition:
    model = value if relation is Relation.HAS else f"models/{bare_model(value)}"
    return Comparison(JobField.MODEL, relation, model)


def _display_name(relation: Relation, value: str) -> Condition:
    return Comparison(JobField.DISPLAY_NAME, relation, value)


def _priority(relation: Relation, value: str) -> Condition:
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ValueError(f"{value[:80]!r} is no whole number")
    return Comparison(JobField.PRIORITY, relation, int(value))


def _instant(field: JobField) -> _Make:
    def make(relation: Relation, value: str) -> Condition:
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise ValueError(f"{value[:80]!r} is no instant with its zone, as in 2026-12-31T08:00:00Z")
        return Comparison(field, relation, (instant - _EPOCH) // timedelta(microseconds=1))

    return make


_EPOCH = datetime.fromtimestamp(0, UTC)

_FIELDS: dict[str, tuple[frozenset[Relation], _Make]] = {
    "state": (_IS, _state),
    "done": (_IS, _done),
    "model": (_TEXT, _model),
    "displayName": (_TEXT, _display_name),
    "priority": (_ORDER, _priority),
    "createTime": (_ORDER, _instant(JobField.CREATED)),
    "updateTime": (_ORDER, _instant(JobField.UPDATED)),
}
