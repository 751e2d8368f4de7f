"""The lines most files are made of, read fast: texts and how to decode, spelled as the documentation does.

What these shapes do not cover is read by `halfrate.wire.gemini.lines`, and what they do cover is read there
to the same Line. It takes five times as long there, so ten million lines are worth a second way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import repeat
from operator import attrgetter, is_
from typing import Literal, cast

import msgspec
from msgspec import Raw

from halfrate.domain.line import Plain, Texts
from halfrate.domain.request import UNASKED, Role, Sampling
from halfrate.wire.gemini.generation_config import GenerationConfig, sampling_of
from halfrate.wire.gemini.inability import Inability
from halfrate.wire.gemini.lenient import ABSENT, Reader, Unreadable, is_utf8
from halfrate.wire.gemini.syntax import DEPTH_MAX, too_deep


class _Shape(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Nothing but what is named. Without cycles, and made by the million: not for the collector."""


class _Part(_Shape):
    text: str


class _Content(_Shape):
    parts: list[_Part]
    role: Literal["user", "model"] = "user"


class _Request(_Shape):
    contents: list[_Content]
    generation_config: Raw = msgspec.field(name="generationConfig", default=ABSENT)
    system_instruction: _Content | None = msgspec.field(name="systemInstruction", default=None)


class _PlainLine(_Shape):
    request: _Request
    key: str | None = None


class _Only(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """An array of one element, which needs no list to hold it."""


class _OnlyPart(_Only):
    only: _Part


class _OnlyContent(_Shape):
    parts: _OnlyPart
    role: Literal["user"] = "user"


class _OnlyContents(_Only):
    only: _OnlyContent


class _TextRequest(_Shape):
    contents: _OnlyContents
    generation_config: Raw = msgspec.field(name="generationConfig", default=ABSENT)


class _TextLine(_Shape):
    request: _TextRequest
    key: str | None = None


_DECODER = msgspec.json.Decoder(_PlainLine)
_TEXT_DECODER = msgspec.json.Decoder(_TextLine)
_KEY_OF = attrgetter("key")
_TEXT_OF = attrgetter("request.contents.only.parts.only.text")
_CONFIG_OF = attrgetter("request.generation_config")
_CONFIG = Reader(GenerationConfig)
_DEPTH_OF_CONFIG = 2
_ROLES = {"user": Role.USER, "model": Role.MODEL}


def text_lines(data: bytes, starts: Sequence[int], stops: Sequence[int]) -> Texts | None:
    """Read whole lines, one user's text in each. None if any of them is anything else, or bad, or blank.

    ``starts`` and ``stops`` are the places of the lines in ``data``, without their line breaks.
    """
    if not (_is_line_by_line(data, starts, stops) and is_utf8(data)):
        return None
    try:
        sent = _TEXT_DECODER.decode_lines(data)
    except (ValueError, RecursionError):
        return None
    samplings = _samplings(list(map(_CONFIG_OF, sent)))
    if samplings is None or len(sent) != len(stops):
        return None
    return Texts(list(map(_KEY_OF, sent)), list(map(_TEXT_OF, sent)), samplings)


def _is_line_by_line(data: bytes, starts: Sequence[int], stops: Sequence[int]) -> bool:
    """Whether every line begins with a brace and ends with one: then no document is spread over two of them.

    The decoder takes any documents, whatever is between them.
    """
    firsts = set(map(data.__getitem__, starts))
    lasts = set(map(data.__getitem__, [stop - 1 for stop in stops]))
    return firsts == {_OPENING} and lasts == {_CLOSING}


_OPENING, _CLOSING = b"{}"


def _samplings(configs: list[Raw]) -> list[Sampling] | None:
    """Return how each line wants to be decoded, None if one of them is not plain."""
    if all(map(is_, configs, repeat(ABSENT))):
        return [UNASKED] * len(configs)
    read = [UNASKED if config is ABSENT else _sampling(bytes(config)) for config in configs]
    return None if None in read else cast("list[Sampling]", read)


def plain_lines(raws: Sequence[bytes]) -> list[Plain | None] | None:
    """Read lines that are plain. None stands for one that is not, or for all if one of them is bad."""
    joined = b"\n".join(raws)
    # The decoder takes any two documents with a newline somewhere between. One that ends its line with a
    # brace cannot go on with a brace on the next, so none of these is spread over two of them.
    if not (joined.startswith(b"{") and joined.endswith(b"}") and joined.count(b"}\n{") == len(raws) - 1):
        return None
    if not is_utf8(joined):
        return None
    try:
        sent = _DECODER.decode_lines(joined)
    except (ValueError, RecursionError):
        return None
    return [_plain(each) for each in sent] if len(sent) == len(raws) else None


def _plain(sent: _PlainLine) -> Plain | None:
    asked = sent.request
    config, contents = asked.generation_config, asked.contents
    sampling = UNASKED if config is ABSENT else _sampling(bytes(config))
    if sampling is None:
        return None
    if len(contents) == 1 and len(contents[0].parts) == 1 and asked.system_instruction is None:
        if contents[0].role != "user":
            return None
        return Plain(sent.key, ((Role.USER, contents[0].parts[0].text),), sampling)
    turns = _turns(asked)
    return None if turns is None else Plain(sent.key, turns, sampling)


def _turns(asked: _Request) -> tuple[tuple[Role, str], ...] | None:
    contents, system = asked.contents, asked.system_instruction
    if not contents or contents[-1].role != "user" or not all(content.parts for content in contents):
        return None
    turns = [(_ROLES[content.role], _text(content)) for content in contents]
    if system is not None and system.parts:
        turns.insert(0, (Role.SYSTEM, _text(system)))
    return tuple(turns)


def _text(content: _Content) -> str:
    return "\n".join([part.text for part in content.parts])


@lru_cache(maxsize=256)  # the lines of a file mostly ask for one and the same
def _sampling(raw: bytes) -> Sampling | None:
    if too_deep(raw, depth_max=DEPTH_MAX - _DEPTH_OF_CONFIG):
        return None
    config = _CONFIG.read(raw)
    if isinstance(config, Unreadable):
        return None
    try:
        return sampling_of(config)
    except Inability:
        return None
