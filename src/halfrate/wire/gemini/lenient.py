"""Reads JSON by protobuf's rules: every name in two spellings, unknown names refused, faults named.

A message is declared once, as a `Message` in snake_case. A `Reader` takes documents that spell its
names in snake_case, in lowerCamelCase, or in both at once, at every depth; integers may be strings;
one message may stand where a list of them is expected; null means absent. Fields of type `Raw` are
free-form: what is inside them is kept as it came.

Well-formed documents in one spelling are decoded at full speed. Whatever fails there is read again
with care, so that a fault is reported with its place.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.syntax import find_flaw, too_deep

FAULTS_MAX = 20
"""A document's faults beyond this many are not reported."""

ABSENT = Raw()
"""The default of every free-form field, so that `is ABSENT` tells that nothing was sent."""


def given(value: object) -> bool:
    """Whether a field was sent with something other than null in it."""
    return value is not None and not (isinstance(value, Raw) and bytes(value) in {b"", b"null"})


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """Base of everything read. Every field has a default; names are in snake_case."""


M = TypeVar("M", bound=Message)
Key = str | int


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document.

    ``keys`` lead to it as the document spells them; ``at_name`` tells a field's name from its value.
    ``offset`` is known instead when the text is not even JSON. ``field`` is the path in snake_case.
    ``brief`` and ``full`` say the same, for a line of a file and for the body of a call.
    """

    brief: str
    full: str
    field: str = ""
    keys: tuple[Key, ...] = ()
    at_name: bool = False
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document with at least one Fault."""

    text: str
    faults: tuple[Fault, ...]

    @property
    def is_json(self) -> bool:
        """Whether it is at least JSON, and only not the message that was expected."""
        return self.faults[0].offset is None

    def as_line(self) -> str:
        """Return the first fault and its column, counted from 1."""
        fault = self.faults[0]
        offset = fault.offset
        if offset is None:
            offset = _offset_of(self.text, fault.keys, at_name=fault.at_name)
        return f"invalid JSON, near column {offset + 1}: {fault.brief}"

    def as_refusal(self) -> InvalidArgument:
        """Return every fault as the error of a call."""
        return refusal(self.faults)


def refusal(faults: tuple[Fault, ...]) -> InvalidArgument:
    """Return faults as the error of a call, one sentence and one violation each."""
    sentences = [f"Invalid JSON payload received. {fault.full}" for fault in faults]
    violations = tuple((fault.field, text) for fault, text in zip(faults, sentences, strict=True))
    return InvalidArgument("\n".join(sentences), violations)


class Reader(Generic[M]):
    """Reads documents of one message type. ``path`` prefixes the fields named in faults."""

    def __init__(self, message: type[M]) -> None:
        self._message = message
        self._fast = tuple(
            msgspec.json.Decoder(spelling, strict=False) for spelling in (in_camel_case(message), message)
        )

    def read(self, raw: bytes | Raw, *, path: str = "") -> M | Unreadable:
        """Return the message in ``raw``, or what is wrong with it. Never raises."""
        text = bytes(raw)
        if is_utf8(text) and not too_deep(text):
            for decoder in self._fast:
                try:
                    return typing.cast(M, decoder.decode(text))
                except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
                    continue
        return self._read_with_care(text, path)

    def read_body(self, raw: bytes) -> M:
        """Return the message in the body of a call: it may be empty, or quoted with apostrophes.

        Raise `InvalidArgument` if it cannot be read.
        """
        body = raw if raw.strip() else b"{}"
        message = self.read(body)
        if isinstance(message, Unreadable) and b"'" in body and not message.is_json:
            requoted = self.read(_with_quotes(body))
            message = message if isinstance(requoted, Unreadable) else requoted
        if isinstance(message, Unreadable):
            raise message.as_refusal()
        return message

    def _read_with_care(self, raw: bytes, path: str) -> M | Unreadable:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            return _not_utf8(raw, error.start)
        if too_deep(raw):
            return Unreadable(text, (_syntax_fault(text, 0),))
        try:
            document = msgspec.json.decode(raw)
        except (ValueError, RecursionError) as error:
            return Unreadable(text, (_syntax_fault(text, _byte_of(error)),))
        faults: list[Fault] = []
        canonical = _Fold(faults).message(self._message, document, (), path)
        if faults:
            return Unreadable(text, tuple(faults))
        try:
            return msgspec.convert(canonical, self._message, strict=False)
        except (ValueError, RecursionError) as error:  # a rule of the message itself, not of its fields
            return Unreadable(text, (Fault(str(error), str(error), path),))


# Both spellings ---------------------------------------------------------------------------------------


@cache
def in_camel_case(message: type[Message]) -> type[Message]:
    """Return a subclass of ``message`` that spells its names, and those below it, in lowerCamelCase."""
    fields = [(field.name, _spelled(field.type), field.default) for field in msgspec.structs.fields(message)]
    twin = msgspec.defstruct(message.__name__, fields, bases=(message,), rename="camel")
    return typing.cast(type[Message], twin)


def _spelled(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, Message):
        return in_camel_case(kind)
    if _is_union(kind):
        return reduce(or_, (_spelled(part) for part in typing.get_args(kind)))
    if typing.get_origin(kind) is list:
        return list[_spelled(typing.get_args(kind)[0])]  # type: ignore[misc]
    return kind


@cache
def _fields(message: type[Message]) -> dict[str, tuple[str, Any]]:
    """Map either spelling of each field to its name and its type without ``None``."""
    fields: dict[str, tuple[str, Any]] = {}
    for field, camel in zip(
        msgspec.structs.fields(message), msgspec.structs.fields(in_camel_case(message)), strict=True
    ):
        entry = (field.name, _without_none(field.type))
        fields[field.name] = fields[camel.encode_name] = entry
    return fields


def _is_union(kind: Any) -> bool:
    # ``Literal[...] | None`` makes the older of the two kinds of union.
    return typing.get_origin(kind) in (types.UnionType, typing.Union)


def _without_none(kind: Any) -> Any:
    if _is_union(kind):
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind


# The careful way --------------------------------------------------------------------------------------


class _Fold:
    """Rewrites a decoded document to snake_case by the shape of a message, and collects its faults."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = faults

    def message(self, kind: type[Message], value: Any, keys: tuple[Key, ...], path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._not_a_message(value, keys, path)
            return {}
        fields = _fields(kind)
        folded: dict[str, Any] = {}
        for name, inner in value.items():
            if name not in fields:
                self._unknown(name, (*keys, name), path)
            elif inner is not None:
                canonical, inner_kind = fields[name]
                folded[canonical] = self._value(inner_kind, inner, (*keys, name), _join(path, canonical))
        return folded

    def _value(self, kind: Any, value: Any, keys: tuple[Key, ...], path: str) -> Any:
        if kind is Raw:
            return Raw(msgspec.json.encode(value))
        if isinstance(kind, type) and issubclass(kind, Message):
            return self.message(kind, value, keys, path)
        if typing.get_origin(kind) is list:
            return self._list(typing.get_args(kind)[0], value, keys, path)
        return self._scalar(kind, value, keys, path)

    def _list(self, kind: Any, value: Any, keys: tuple[Key, ...], path: str) -> list[Any]:
        if isinstance(value, list):
            return [
                self._value(kind, inner, (*keys, index), f"{path}[{index}]")
                for index, inner in enumerate(value)
            ]
        if isinstance(value, dict) and kind is not str:
            return [self._value(kind, value, keys, f"{path}[0]")]
        brief = f"unexpected character: {_first(value)}; expected '['{_at(path)}"
        self._add(brief, _invalid(path, "list", value), keys, path)
        return []

    def _scalar(self, kind: Any, value: Any, keys: tuple[Key, ...], path: str) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            pass
        if typing.get_origin(kind) is typing.Literal:
            brief = f"invalid enum value: {_shown(value)}{_at(path)}"
            full = _invalid(path, "enum", value)
        else:
            expected = _SCALARS[kind]
            brief = f"unexpected character: {_first(value)}; expected a {expected}{_at(path)}"
            if kind is str and isinstance(value, int | float):
                brief += ": put it in double quotes"
            full = _invalid(path, expected, value)
        self._add(brief, full, keys, path)
        return None

    def _unknown(self, name: str, keys: tuple[Key, ...], path: str) -> None:
        place = f" at '{path}'" if path else ""
        full = f"Unknown name {_shown(name)}{place}: Cannot find field."
        self._add(f"no such field: {_quoted(name)}{_at(path)}", full, keys, path, at_name=True)

    def _not_a_message(self, value: Any, keys: tuple[Key, ...], path: str) -> None:
        brief = f"unexpected character: {_first(value)}; expected '{{'{_at(path)}"
        if not path:
            full = 'Unknown name "": Root element must be a message.'
        elif isinstance(value, list):
            parent, _, name = path.rpartition(".")
            place = f" at '{parent}'" if parent else ""
            full = f"Unknown name {_shown(name)}{place}: Proto field is not repeating, cannot start list."
        else:
            full = _invalid(path, "object", value)
        self._add(brief, full, keys, path)

    def _add(self, brief: str, full: str, keys: tuple[Key, ...], path: str, *, at_name: bool = False) -> None:
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(brief, full, path, keys, at_name))


_SCALARS = {str: "string", int: "whole number", float: "number", bool: "boolean"}


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _quoted(name: str) -> str:
    """Return a client's name on one line and within bounds."""
    return repr(name if len(name) <= _SHOWN_MAX else name[: _SHOWN_MAX - 3] + "...")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _invalid(path: str, expected: str, value: Any) -> str:
    return f"Invalid value at '{path}' (expected {expected}), {_shown(value)}"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


_SHOWN_MAX = 80


def _first(value: Any) -> str:
    """Return the character a value's JSON begins with, quoted."""
    return f"'{msgspec.json.encode(value)[:1].decode(errors='replace')}'"


# Faults of the text itself ----------------------------------------------------------------------------


def is_utf8(raw: bytes) -> bool:
    """Whether all of ``raw`` is text. msgspec does not look into what is free-form."""
    if raw.isascii():
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(raw: bytes, start: int) -> Unreadable:
    column = len(raw[:start].decode())
    what = f"byte 0x{raw[start]:02x} is not UTF-8"
    fault = Fault(what, f"The text is not UTF-8: byte {start} is 0x{raw[start]:02x}.", offset=column)
    return Unreadable("", (fault,))


def _syntax_fault(text: str, refused_byte: int) -> Fault:
    """Say what is wrong with a text that a decoder refused, at ``refused_byte`` if it said where."""
    flaw = find_flaw(text)
    if flaw is None:
        offset, what = len(text.encode()[:refused_byte].decode(errors="ignore")), "it cannot be read"
    else:
        offset, what = flaw
    return Fault(what, f"{what[0].upper()}{what[1:]} (character {offset + 1}).", offset=offset)


_BYTE = re.compile(r"\(byte (\d+)\)")


def _byte_of(error: Exception) -> int:
    found = _BYTE.search(str(error))
    return int(found[1]) if found else 0


# Places -----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def _offset_of(text: str, keys: tuple[Key, ...], *, at_name: bool) -> int:
    """Return where the name, or the value, that ``keys`` lead to begins in the JSON ``text``.

    Of a name given twice it is the last, whose value counts.
    """
    wanted = list(keys)
    stack: list[Key] = []
    name_next = False
    offset = 0
    for start, token in _tokens(text):
        kind = token[0]
        if name_next and kind == '"':
            stack[-1] = json.loads(token)
            name_next = False
            if at_name and stack == wanted:
                offset = start
        elif kind == ":":
            continue
        elif kind in "]}":
            stack.pop()
            name_next = False
        elif kind == ",":
            top = stack[-1]
            name_next = isinstance(top, str)
            if isinstance(top, int):
                stack[-1] = top + 1
        else:
            if not at_name and stack == wanted:
                offset = start
            if kind in "{[":
                stack.append("" if kind == "{" else 0)
                name_next = kind == "{"
    return offset


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    for match in _TOKEN.finditer(text):
        yield match.start(), match[0]


# Possessive, and a string that never ends takes the rest: each byte is looked at once, whatever comes.
_QUOTED = re.compile(rb"\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)|'((?:[^'\\]|\\.)*+)(?:'|\\?\Z)", re.DOTALL)


_BARE_QUOTE = re.compile(rb'(?<!\\)"')


def _with_quotes(raw: bytes) -> bytes:
    """Return JSON whose strings are quoted with apostrophes as proper JSON."""

    def requote(match: re.Match[bytes]) -> bytes:
        inner = match[1]
        if inner is None:
            return match[0]
        return b'"' + _BARE_QUOTE.sub(b'\\"', inner.replace(b"\\'", b"'")) + b'"'

    return _QUOTED.sub(requote, raw)
