"""Page tokens: where the last page ended, in a form that means nothing to a client."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from halfrate.domain.errors import InvalidArgument
from halfrate.store.meta.api import Place


class Listed(Protocol):
    """What can stand in a list."""

    @property
    def id(self) -> str:
        """The name of the entry."""
        ...

    @property
    def created_at(self) -> float:
        """When it was made: lists are newest first."""
        ...


L = TypeVar("L", bound=Listed)


class _Token(msgspec.Struct, array_like=True):
    created_at: float
    id: str
    listing: str = ""  # which list it is a place in


def page_of(entries: Sequence[L], page_size: int, *, listing: object = None) -> tuple[list[L], str | None]:
    """Cut ``entries``, read one over the page's size, to a page and the token of the next one.

    ``listing`` tells apart lists of the same things: any value with a faithful ``repr``.
    """
    page = list(entries[:page_size])
    if len(entries) <= page_size:
        return page, None
    token = _Token(page[-1].created_at, page[-1].id, _name_of(listing))
    return page, base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode().rstrip("=")


def token_after(entry: Listed) -> str:
    """Return the token of the page that begins after an entry."""
    _, token = page_of([entry, entry], 1)
    assert token is not None, "there is one more"
    return token


def place_of(token: str | None, *, listing: object = None) -> Place | None:
    """Return where the page before ended, None for the first page.

    Raise `InvalidArgument` if the token is not one of ours, or is of another list.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        place = msgspec.msgpack.decode(base64.urlsafe_b64decode(padded), type=_Token)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidArgument("The page token is not valid. List again from the beginning.") from None
    if place.listing != _name_of(listing):
        raise InvalidArgument("The page token is of a list with another filter. Send that filter again.")
    return place.created_at, place.id


def _name_of(listing: object) -> str:
    return "" if listing is None else hashlib.blake2b(repr(listing).encode(), digest_size=6).hexdigest()
