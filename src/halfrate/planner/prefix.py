"""Which prompts begin alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from halfrate.domain.outcome import Failed
from halfrate.domain.request import UNASKED, Request, Role, Sampling

# No UTF-8 text contains the bytes F8 to FF, so these marks cannot be mistaken for a prompt's own.
_END_OF_MESSAGE = b"\xff"
_END_OF_PROMPT = b"\xfe"
_AFTER_ONE = _END_OF_MESSAGE + _END_OF_PROMPT
_MARKS = {Role.SYSTEM: b"\x01", Role.USER: b"\x02", Role.MODEL: b"\x03"}
_WITHOUT_PROMPT = b"\x00"


def sort_key(request: Request | Failed) -> bytes:
    """Return bytes whose order is the depth-first walk of the trie of rendered prompts.

    The messages come first, in the order every chat template writes them, over their full length, so
    that prompts which begin alike are neighbours as far as they are alike. How to decode comes after the
    text, so that equal Requests have equal keys. A Failed has no prompt and goes before all of them.
    """
    if isinstance(request, Failed):
        return _WITHOUT_PROMPT
    return prompt_key([(message.role, message.text) for message in request.messages], request.sampling)


def prompt_key(turns: Sequence[tuple[Role, str]], sampling: Sampling) -> bytes:
    """Return the `sort_key` of a Request with these Messages."""
    if len(turns) == 1:  # ten million lines mostly have one
        ((role, text),) = turns
        return b"".join((_MARKS[role], text.encode(), _AFTER_ONE, _sampling_key(sampling)))
    prompt = b"".join([_MARKS[role] + text.encode() + _END_OF_MESSAGE for role, text in turns])
    return prompt + _END_OF_PROMPT + _sampling_key(sampling)


def _sampling_key(sampling: Sampling) -> bytes:
    return _UNASKED_KEY if sampling is UNASKED else _repr_of(sampling)


@lru_cache(maxsize=256)
def _repr_of(sampling: Sampling) -> bytes:
    # repr names every field: one that is added later takes part without a change here.
    return repr(sampling).encode()


_UNASKED_KEY = _repr_of(UNASKED)


def prompt_bytes(request: Request | Failed) -> int:
    """Return the length of the prompt's text in UTF-8, 0 where there is none."""
    if isinstance(request, Failed):
        return 0
    return sum(len(m.text) if m.text.isascii() else len(m.text.encode()) for m in request.messages)
