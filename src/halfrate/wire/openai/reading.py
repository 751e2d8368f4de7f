"""Reads JSON as this dialect has it: one spelling, unknown names refused, the place of a fault named."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.lenient import is_utf8
from halfrate.wire.gemini.syntax import too_deep

NAME_CHARS_MAX = 80

ABSENT = Raw()
"""The default of every free-form field."""


class Sent(msgspec.Struct, forbid_unknown_fields=True):
    """Base of everything read."""


S = TypeVar("S", bound=msgspec.Struct)


class Reader(Generic[S]):
    """Reads documents of one kind."""

    def __init__(self, kind: type[S]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, raw: bytes | Raw) -> S:
        """Return the document in ``raw``. Raise `InvalidArgument`, with the field at fault, if it is none."""
        text = bytes(raw)
        if not is_utf8(text):
            raise InvalidArgument("The JSON is not UTF-8. Save it as UTF-8 and send it again.")
        if too_deep(text):
            raise InvalidArgument("The JSON has too many objects and lists inside each other.")
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError as error:
            raise fault(str(error)) from None
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"We could not parse the JSON body of your request: {error}.") from None


def given(value: object) -> bool:
    """Whether a field was sent with something other than null in it."""
    return value is not None and not (isinstance(value, Raw) and bytes(value) in {b"", b"null"})


_PLACE = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)


def fault(said: str) -> InvalidArgument:
    """Say in this dialect's words what is wrong, and where."""
    match = _PLACE.fullmatch(said)
    assert match is not None, "everything matches"
    what, place = match[1], match[2] or ""
    if unknown := _UNKNOWN.fullmatch(what):
        field = _joined(place, _shown(unknown[1]))
        return at(field, f"Unknown parameter: '{field}'. Leave it out.")
    if missing := _MISSING.fullmatch(what):
        field = _joined(place, missing[1])
        return at(field, f"Missing required parameter: '{field}'.")
    return at(place, f"Invalid type for '{place}': {what}." if place else f"{what}.")


def at(field: str, sentence: str) -> InvalidArgument:
    """Return the refusal of a call for one of its fields."""
    return InvalidArgument(sentence, ((field, sentence),))


def _shown(name: str) -> str:
    """Return a client's own name, short and printable."""
    return "".join(char if char.isprintable() else "?" for char in name[:NAME_CHARS_MAX])


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
