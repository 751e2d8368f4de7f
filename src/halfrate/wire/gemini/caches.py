"""Cached contents as resources, and how they are created and changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.cache import Cache, Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.request import Functions, Message
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.content import Content, messages_of
from halfrate.wire.gemini.functions import Tool, ToolConfig, functions_of
from halfrate.wire.gemini.inability import Inability
from halfrate.wire.gemini.lenient import ABSENT, Reader
from halfrate.wire.gemini.masks import parse_paths
from halfrate.wire.gemini.times import timestamp

DEFAULT_TTL_SECONDS = 3_600.0
DISPLAY_NAME_MAX = 128

# What is read -----------------------------------------------------------------------------------------


class CachedContent(lenient.Message):
    """A cached content as clients send it. What only the server says of it is passed over."""

    name: str | None = None
    model: str | None = None
    display_name: str | None = None
    contents: list[Content] | None = None
    system_instruction: Content | None = None
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    ttl: str | None = None
    expire_time: str | None = None
    create_time: Raw = ABSENT
    update_time: Raw = ABSENT
    usage_metadata: Raw = ABSENT


@dataclass(frozen=True, slots=True)
class NewCache:
    """What a client wants kept, and until when."""

    model: str
    display_name: str
    contents: Contents
    expiry: Deadline


_CACHED = Reader(CachedContent)
_TTL = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)s", re.ASCII)
_ID = re.compile(r"[a-z0-9-]{1,64}")


def parse_create(body: bytes) -> NewCache:
    """Return what a client wants kept. Raise `InvalidArgument` if it cannot be read, understood or done."""
    sent = _CACHED.read_body(body)
    if not sent.model or not re.fullmatch(r"(models|tunedModels)/\S+", sent.model):
        raise _bad("model", f"is {sent.model!r}; name a model as in 'models/gemini-2.5-flash'")
    display_name = sent.display_name or ""
    if len(display_name) > DISPLAY_NAME_MAX:
        raise _bad("display_name", f"is longer than {DISPLAY_NAME_MAX} characters")
    return NewCache(sent.model, display_name, _contents(sent), _expiry(sent) or Deadline(DEFAULT_TTL_SECONDS))


def parse_update(body: bytes, *, mask: str | None) -> Deadline:
    """Return when a Cache is to expire. Raise `InvalidArgument` for any other change, or none."""
    sent = _CACHED.read_body(body)
    named = parse_paths(mask, parameter="updateMask") if mask else frozenset()
    for field in sorted(named - {"ttl", "expireTime", "*"}):
        raise _bad("update_mask", f"names {field!r}: only ttl and expire_time can be changed")
    for field in ("contents", "system_instruction", "tools", "tool_config", "display_name", "model"):
        if not named and getattr(sent, field) is not None:
            raise _bad(field, "cannot be changed: only ttl and expire_time can. Create another one")
    expiry = _expiry(sent)
    if expiry is None:
        raise _bad("ttl", "and expire_time are missing: set one of them")
    return expiry


def parse_id(text: str) -> str:
    """Return the id in a path. Raise `InvalidArgument` for what cannot be one."""
    if not _ID.fullmatch(text):
        raise InvalidArgument(f"cachedContents/{text[:80]} is not the name of a cached content.")
    return text


def _contents(sent: CachedContent) -> Contents:
    try:
        functions = functions_of(sent.tools, sent.tool_config, only_functions=True)
        return Contents(_messages(sent, functions), functions)
    except Inability as inability:
        raise InvalidArgument(inability.failed.detail) from None


def _messages(sent: CachedContent, functions: Functions | None) -> tuple[Message, ...]:
    if sent.contents:
        return messages_of(sent.contents, sent.system_instruction)
    if sent.system_instruction is not None and sent.system_instruction.parts:
        # Read beside a turn that is then left out: what is no prompt may well be the beginning of one.
        return messages_of(_ANY_TURN, sent.system_instruction)[:1]
    if functions is not None:
        return ()
    raise _bad("contents", "is empty: give contents, a system_instruction or tools to keep")


_ANY_TURN = msgspec.convert([{"parts": [{"text": ""}]}], list[Content])


def _expiry(sent: CachedContent) -> Deadline | None:
    if sent.ttl is not None and sent.expire_time is not None:
        raise _bad("ttl", "and expire_time cannot both be set")
    if sent.ttl is not None:
        seconds = _TTL.fullmatch(sent.ttl)
        if seconds is None:
            raise _bad("ttl", f"is {sent.ttl[:40]!r}; it must be seconds with an 's', as in '3600s'")
        return Deadline(float(seconds[1]))
    if sent.expire_time is not None:
        return Deadline(_instant(sent.expire_time), absolute=True)
    return None


def _instant(text: str) -> float:
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _bad(
            "expire_time",
            f"is {text[:40]!r}; it must be an instant with its zone, as in 2026-12-31T08:00:00Z",
        )
    return instant.timestamp()


def _bad(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"* CachedContent.{field}: {what}.", ((f"cached_content.{field}", what),))


# What is written --------------------------------------------------------------------------------------


def resource(cache: Cache) -> dict[str, Any]:
    """Return a cached content as clients see it: what it holds is never told."""
    shown = {
        "name": f"cachedContents/{cache.id}",
        "model": cache.model,
        "displayName": cache.display_name,
        "createTime": timestamp(cache.created_at),
        "updateTime": timestamp(cache.updated_at),
        "expireTime": timestamp(cache.expires_at),
        "usageMetadata": {"totalTokenCount": cache.tokens},
    }
    return {name: value for name, value in shown.items() if value}


def body(cache: Cache) -> bytes:
    """Return the body that shows one cached content."""
    return msgspec.json.encode(resource(cache))
