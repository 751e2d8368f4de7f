"""What Anthropic's Messages API takes, by the types of its own SDK and what its pages say beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import pydantic
from anthropic.types import message_count_tokens_params, message_create_params

SAMPLING = {"temperature", "top_p", "top_k"}
"""Taken by the API for older models, and no more among the SDK's types."""


@cache
def _adapter(shape: type) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(shape)


def check_message_body(body: dict[str, Any]) -> None:
    """Fail if this body does not create a message."""
    assert body["max_tokens"] >= 1
    thinking = body.get("thinking", {})
    assert thinking.get("type") != "enabled" or 1_024 <= thinking["budget_tokens"] < body["max_tokens"]
    shape: Any = message_create_params.MessageCreateParamsBase
    _check(body, shape, known=set(shape.__annotations__) | SAMPLING | {"stream"})


def check_count_body(body: dict[str, Any]) -> None:
    """Fail if this body does not count tokens."""
    shape: Any = message_count_tokens_params.MessageCountTokensParams
    _check(body, shape, known=set(shape.__annotations__))


def _exhaust(value: object) -> None:
    """Have all of it checked: what is declared as an iterable is only when it is gone through."""
    if isinstance(value, dict):
        for inner in value.values():
            _exhaust(inner)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | pydantic.BaseModel):
        for inner in value:
            _exhaust(inner)


def _check(body: dict[str, Any], shape: type, *, known: set[str]) -> None:
    assert set(body) <= known, set(body) - known
    _exhaust(_adapter(shape).validate_python({n: v for n, v in body.items() if n not in SAMPLING}))
    called: set[str] = set()
    for turn in body["messages"]:
        for block in turn["content"]:
            assert block["type"] != "text" or block["text"].strip(), "an empty text"
            if block["type"] == "tool_use":
                assert re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"])
                assert block["id"] not in called, "an id twice"
                called.add(block["id"])
    if called:
        assert body["tools"], "calls, and no declaration of what was called"
