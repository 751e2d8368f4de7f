"""Which fields of a message are meant: the ``fields`` of an answer, and the ``updateMask`` of a change.

::

    fields  = path {"," path}
    path    = step {("/" | ".") step} ["(" fields ")"]
    step    = name | "*"

A name may be spelled as in the answer or in snake_case. In a list each entry is meant, and ``*`` means every
field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from halfrate.domain.errors import InvalidArgument

Mask: TypeAlias = Mapping[str, "Mask"]
"""Names that are meant, in lowerCamelCase, each with what is meant below it. Empty: everything."""

DEPTH_MAX = 32
_EVERYTHING: Mask = {}
_TOKEN = re.compile(r"[A-Za-z_@$][A-Za-z0-9_@$-]*|\*|[,/.()]")
_UNDERSCORE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")


def parse_fields(text: str) -> Mask:
    """Return what a ``fields`` parameter means. Raise `InvalidArgument` naming the place of what is wrong."""
    return _Parser(text).whole()


def parse_paths(text: str, *, parameter: str) -> frozenset[str]:
    """Return the top-level fields that a mask of paths names, as ``updateMask`` is.

    Raise `InvalidArgument` for what is no such mask.
    """
    paths = [path.strip() for path in text.split(",") if path.strip()]
    for path in paths:
        if not re.fullmatch(r"\*|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", path):
            raise InvalidArgument(
                f"{parameter} holds {path[:80]!r}, which is no path of fields.",
                ((parameter, "is no list of paths, as in 'displayName,priority'"),),
            )
    return frozenset(in_camel_case(path.partition(".")[0]) for path in paths)


def in_camel_case(name: str) -> str:
    """Return a field's name as answers spell it."""
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def selected(message: dict[str, Any], mask: Mask) -> dict[str, Any]:
    """Return of a decoded answer what ``mask`` means.

    A message that is meant in part stays, if empty. Below a scalar there is nothing, and it goes.
    """
    kept: dict[str, Any] = _pruned(message, mask)
    return kept


def _pruned(value: Any, mask: Mask) -> Any:
    if not mask:
        return value
    if isinstance(value, list):
        entries = (_pruned(entry, mask) for entry in value)
        return [entry for entry in entries if entry is not _NOTHING]
    if not isinstance(value, dict):
        return _NOTHING
    kept = {name: _pruned(inner, below) for name, inner, below in _meant(value, mask)}
    return {name: inner for name, inner in kept.items() if inner is not _NOTHING}


_NOTHING = object()


def _meant(value: dict[str, Any], mask: Mask) -> list[tuple[str, Any, Mask]]:
    meant = []
    for name, inner in value.items():
        below = [mask[key] for key in (in_camel_case(name), "*") if key in mask]
        if below:
            meant.append((name, inner, below[0] if len(below) == 1 else _either(*below)))
    return meant


def _either(one: Mask, other: Mask) -> Mask:
    """Return what at least one of two masks means."""
    if not one or not other:
        return _EVERYTHING
    both = dict(one)
    for name, below in other.items():
        both[name] = _either(both[name], below) if name in both else below
    return both


class _Parser:
    """Reads a mask from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Mask:
        mask = self._fields()
        if self._at < len(self._text):
            raise self._wrong(f"{self._text[self._at]!r} does not belong here")
        return mask

    def _fields(self) -> Mask:
        mask = self._path()
        while self._take(","):
            mask = _either(mask, self._path())
        return mask

    def _path(self) -> Mask:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(f"fields lie deeper than {DEPTH_MAX} levels")
        name = in_camel_case(self._name())
        below = _EVERYTHING
        if self._take("/") or self._take("."):
            below = self._path()
        elif self._take("("):
            below = self._fields()
            if not self._take(")"):
                raise self._wrong("a ')' is missing")
        self._depth -= 1
        return {name: below}

    def _name(self) -> str:
        token = self._next()
        if token in ("", ",", "/", ".", "(", ")"):
            raise self._wrong("a field's name is missing")
        self._at += len(token)
        return token

    def _take(self, token: str) -> bool:
        found = self._next() == token
        self._at += len(token) if found else 0
        return found

    def _next(self) -> str:
        while self._text[self._at : self._at + 1] == " ":
            self._at += 1
        match = _TOKEN.match(self._text, self._at)
        return match[0] if match else ""

    def _wrong(self, what: str) -> InvalidArgument:
        sentence = f"Invalid field mask {self._text[:80]!r}, at character {self._at + 1}: {what}."
        return InvalidArgument(sentence, (("fields", sentence),))
