"""Where a text stops being JSON, and what a person would say is wrong there.

Asked only about texts that a fast decoder has refused, so it may take its time: a few microseconds a
token, each character looked at once, and no recursion. Its sentences are the same on every version of
Python, which those of `json` are not.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DEPTH_MAX = 100
"""Objects and lists inside each other, as deep as protobuf's own readers go. A bound of our own: what a
decoder does at its recursion limit depends on how deep the stack of its caller is already.
"""


class Flaw(NamedTuple):
    """What is wrong, and where: ``offset`` counts characters from 0."""

    offset: int
    what: str


def too_deep(raw: bytes, *, depth_max: int = DEPTH_MAX) -> bool:
    """Whether more than ``depth_max`` objects and lists are inside each other. Quick for what is not."""
    if raw.count(b"{") + raw.count(b"[") <= depth_max:
        return False
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes with nothing between them change nothing for what comes after: most strings are gone then.
    brackets = unescaped.translate(_PARENTHESES, _REST).replace(b'""', b"")
    brackets = _STRING_OF_BRACKETS.sub(b"", brackets)
    for _ in range(depth_max):
        outer = brackets.replace(b"()", b"")  # takes off the innermost of each nest
        if len(outer) == len(brackets):
            return len(brackets) > depth_max  # what is left is never closed
        brackets = outer
    return bool(brackets)


_REST = bytes(set(range(256)) - set(b'{}[]"'))
_PARENTHESES = bytes.maketrans(b"{}[]", b"()()")
_STRING_OF_BRACKETS = re.compile(rb'"[^"]*+(?:"|\Z)')


def find_flaw(text: str) -> Flaw | None:
    """Return the first thing in ``text`` that JSON does not allow, None if it is JSON."""
    return _Scan(text).flaw()


_SPACE = re.compile(r"[ \t\r\n]*+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+')
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORD = re.compile(r"[+-]?[A-Za-z_][A-Za-z_0-9]*+")
_NUMBER_CHARS = re.compile(r"[-+.0-9A-Za-z_]*+")

_LITERALS = {"true", "false", "null"}
_MEANT = {"None": "null", "True": "true", "False": "false", "undefined": "null", "nil": "null"}
_DIGITS_MAX = 4_300  # of a whole number, where Python stops


class _Scan:
    """One pass over a text. Each step returns the Flaw it met, or None and the next place in ``_at``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[str] = []  # the brackets around the place, outermost first

    def flaw(self) -> Flaw | None:
        flaw = self._value()
        while flaw is None and self._open:
            flaw = self._member()
        if flaw is None and self._peek():
            what = "expected the end of the line: write each object on a line of its own"
            flaw = self._unexpected(what)
        return flaw

    def _member(self) -> Flaw | None:
        """Go over what comes next inside the innermost bracket, or close it."""
        bracket = self._open[-1]
        first = self._text[self._at - 1] == bracket
        close = "}" if bracket == "{" else "]"
        char = self._peek()
        if char == close:
            self._at += 1
            self._open.pop()
            return None
        if not first:
            if char != ",":
                return self._unexpected(f"expected ',' or '{close}'")
            comma = self._at
            self._at += 1
            if self._peek() == close:
                return Flaw(comma, f"unexpected character: ','; nothing follows it before the '{close}'")
        return self._named_value() if bracket == "{" else self._value()

    def _named_value(self) -> Flaw | None:
        if self._peek() != '"':
            return self._unexpected("expected a name in double quotes")
        flaw = self._string()
        if flaw is not None:
            return flaw
        if self._peek() != ":":
            return self._unexpected("expected ':'")
        self._at += 1
        return self._value()

    def _value(self) -> Flaw | None:
        char = self._peek()
        if char in ("{", "["):
            if len(self._open) == DEPTH_MAX:
                return Flaw(self._at, f"nested more than {DEPTH_MAX} levels deep")
            self._open.append(char)
            self._at += 1
            return None
        if char == '"':
            return self._string()
        if char and char in "-0123456789":
            return self._number()
        word = _WORD.match(self._text, self._at)
        return self._unexpected("expected a value") if word is None else self._word(word)

    def _word(self, word: re.Match[str]) -> Flaw | None:
        if word[0] in _LITERALS:
            self._at = word.end()
            return None
        meant = _MEANT.get(word[0])
        return Flaw(self._at, f"unexpected token: {_cut(word[0])}" + (f"; write {meant}" if meant else ""))

    def _string(self) -> Flaw | None:
        start = self._at
        found = _STRING.match(self._text, start)
        assert found is not None
        end = found.end()
        char = self._text[end : end + 1]
        if char == "":
            return Flaw(end, f"unexpected end inside the string that begins at column {start + 1}")
        if char == "\\":
            return Flaw(end, f"no such escape: a backslash before {self._text[end + 1 : end + 2]!r}")
        if char != '"':
            escape = _ESCAPES.get(char, f"\\u{ord(char):04x}")
            return Flaw(end, f"control character {char!r} inside a string: write it as {escape}")
        self._at = end + 1
        return self._half_character(found[0], start)

    def _half_character(self, string: str, start: int) -> Flaw | None:
        """Find a surrogate escape without its other half."""
        if "\\u" not in string:
            return None
        high: Flaw | None = None
        for escape in _ESCAPE.finditer(string):
            unit = int(escape[1], 16) if escape[1] else 0
            here = start + escape.start()
            if high is not None and not (0xDC00 <= unit <= 0xDFFF and here == high.offset + 6):
                return high
            half = Flaw(here, f"half a character: {escape[0]} without its other half")
            if high is None and 0xDC00 <= unit <= 0xDFFF:
                return half
            high = half if 0xD800 <= unit <= 0xDBFF else None
        return high

    def _number(self) -> Flaw | None:
        number = _NUMBER.match(self._text, self._at)
        whole = _NUMBER_CHARS.match(self._text, self._at)
        assert whole is not None
        if number is None or number.end() != whole.end():
            if whole[0].lstrip("+-").startswith(("Inf", "NaN")):
                return Flaw(self._at, f"unexpected token: {_cut(whole[0])}")
            return Flaw(self._at, f"not a number: {_cut(whole[0])}")
        if len(number[0]) > _DIGITS_MAX or float(number[0]) in (float("inf"), float("-inf")):
            return Flaw(self._at, f"number out of range: {_cut(number[0])}")
        self._at = number.end()
        return None

    def _peek(self) -> str:
        """Pass over spaces and return the next character, or nothing at the end."""
        space = _SPACE.match(self._text, self._at)
        assert space is not None
        self._at = space.end()
        return self._text[self._at : self._at + 1]

    def _unexpected(self, expected: str) -> Flaw:
        char = self._text[self._at : self._at + 1]
        if not char:
            return Flaw(self._at, "unexpected end")
        if char == "#" or self._text.startswith(("//", "/*"), self._at):
            expected = "JSON has no comments"
        elif char == "'":
            expected = "JSON has strings in double quotes only"
        return Flaw(self._at, f"unexpected character: {char!r}; {expected}")


_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
