"""How the API cuts lists into pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from halfrate.domain.errors import InvalidArgument


def page_size(text: str | None, *, default: int, most: int) -> int:
    """Return how many entries a page may have. More than ``most`` means ``most``; 0 means the default.

    Raise `InvalidArgument` for what is not a whole number, or is negative.
    """
    if not text:
        return default
    try:
        size = int(text)
    except ValueError:
        raise InvalidArgument(f"pageSize is {text!r}; it must be a whole number.") from None
    if size < 0:
        raise InvalidArgument(f"pageSize is {size}; it must not be negative.")
    return min(size or default, most)


def page(name: str, entries: Sequence[Any], next_page_token: str | None) -> bytes:
    """Return one page of a list: ``name`` is what its entries are called."""
    body: dict[str, Any] = {name: entries} if entries else {}
    if next_page_token:
        body["nextPageToken"] = next_page_token
    return msgspec.json.encode(body)
