"""Which prompts begin alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import repeat
from operator import is_

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Failed
from halfrate.domain.request import UNASKED, AnyRequest, Message, Role, Sampling

SORT_KEY_VERSION = 1
"""Grows with every change of what lines are sorted by, and is kept with every order.

Shards are ranges of an order: a Job that is planned in one of which there is no index is failed rather than
run, unless a migration has it start over.
"""

SORT_KEY_VERSIONS_READ = frozenset({0, SORT_KEY_VERSION})
"""Orders that serve as they are; an index in another is made again. In 0, lines of all models are mixed."""

# No UTF-8 text contains the bytes F8 to FF, so these marks cannot be mistaken for a prompt's own.
_END_OF_MESSAGE = b"\xff"
_END_OF_PROMPT = b"\xfe"
_BESIDE = b"\xfd"
_AFTER_ONE = _END_OF_MESSAGE + _END_OF_PROMPT
_MARKS = {Role.SYSTEM: b"\x01", Role.USER: b"\x02", Role.MODEL: b"\x03", Role.TOOL: b"\x04"}
_CONTEXT = b"\x05"
_EMBEDDING = b"\x06"
_MODEL = b"\x07"
_WITHOUT_PROMPT = b"\x00"


def sort_key(request: AnyRequest | Failed) -> bytes:
    """Return bytes whose order is the depth-first walk of the trie of rendered prompts.

    The messages come first, in the order every chat template writes them, over their full length, so
    that prompts which begin alike are neighbours as far as they are alike. How to decode comes after the
    text, so that equal Requests have equal keys. A Failed has no prompt and goes before all of them.
    """
    if isinstance(request, Failed):
        return _WITHOUT_PROMPT
    if isinstance(request, Embedding):
        return _embedding_key(request)
    messages, sampling = request.messages, request.sampling
    if any(message.calls or message.returns or message.attachments for message in messages):
        key = _long_key(messages, sampling)
    else:
        key = prompt_key([(message.role, message.text) for message in messages], sampling)
    if request.functions is None and request.cache is None:
        return key
    # Templates write the functions before everything else, and what is cached goes before them.
    return _CONTEXT + f"{request.cache!r}{request.functions!r}".encode() + _END_OF_MESSAGE + key


@lru_cache(maxsize=256)
def section_key(model: str) -> bytes:
    """Return what the keys of Requests to this model begin with: such go after all that name none."""
    return _MODEL + model.encode() + _END_OF_MESSAGE


def _embedding_key(embedding: Embedding) -> bytes:
    """Return a key by which texts of one length come together: so little is spent on padding."""
    text = embedding.text.encode()
    asked = repr((embedding.purpose, embedding.title, embedding.dimensions)).encode()
    return _EMBEDDING + len(text).to_bytes(8, "big") + text + _END_OF_MESSAGE + asked


def _long_key(messages: Sequence[Message], sampling: Sampling) -> bytes:
    """Return the key of Messages that hold more than text."""
    prompt = b"".join(
        _MARKS[message.role] + message.text.encode() + _BESIDE + _beside(message) + _END_OF_MESSAGE
        for message in messages
    )
    return prompt + _END_OF_PROMPT + _sampling_key(sampling)


def _beside(message: Message) -> bytes:
    """Return what stands for all that a Message holds beside its text."""
    attached = [
        (each.at, each.mime_type, each.uri, blake2b(each.data, digest_size=16).digest())
        for each in message.attachments
    ]
    return repr((message.calls, message.returns, attached)).encode()


def prompt_key(turns: Sequence[tuple[Role, str]], sampling: Sampling) -> bytes:
    """Return the `sort_key` of a Request with these Messages."""
    if len(turns) == 1:  # ten million lines mostly have one
        ((role, text),) = turns
        return b"".join((_MARKS[role], text.encode(), _AFTER_ONE, _sampling_key(sampling)))
    prompt = b"".join([_MARKS[role] + text.encode() + _END_OF_MESSAGE for role, text in turns])
    return prompt + _END_OF_PROMPT + _sampling_key(sampling)


def text_keys(texts: Sequence[str], samplings: Sequence[Sampling]) -> list[bytes]:
    """Return the `sort_key` of each Request that is one user's text."""
    begin = _MARKS[Role.USER]
    if samplings and all(map(is_, samplings, repeat(samplings[0]))):
        end = _AFTER_ONE + _sampling_key(samplings[0])
        return [begin + text.encode() + end for text in texts]
    ends = [_AFTER_ONE + _sampling_key(sampling) for sampling in samplings]
    return [begin + text.encode() + end for text, end in zip(texts, ends, strict=True)]


def _sampling_key(sampling: Sampling) -> bytes:
    return _UNASKED_KEY if sampling is UNASKED else _repr_of(sampling)


@lru_cache(maxsize=256)
def _repr_of(sampling: Sampling) -> bytes:
    # repr names every field: one that is added later takes part without a change here.
    return repr(sampling).encode()


_UNASKED_KEY = _repr_of(UNASKED)


def prompt_length(key: bytes) -> int:
    """Return how many bytes of a `sort_key` stand for a prompt that others can begin like.

    That is 0 where there is none: of a Failed, and of an Embedding, whose text is computed as a whole.
    """
    if key.startswith((_WITHOUT_PROMPT, _EMBEDDING)):
        return 0
    end = key.rfind(_END_OF_PROMPT)
    return end if end >= 0 else len(key)


def common_bytes(one: bytes, other: bytes) -> int:
    """Return how many bytes two keys begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def prompt_bytes(request: AnyRequest | Failed) -> int:
    """Return the length of the prompt's text in UTF-8, 0 where there is none."""
    if isinstance(request, Failed):
        return 0
    if isinstance(request, Embedding):
        return len(request.text.encode())
    return sum(len(m.text) if m.text.isascii() else len(m.text.encode()) for m in request.messages)
