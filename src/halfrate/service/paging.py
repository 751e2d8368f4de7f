"""Page tokens: where the last page ended, in a form that means nothing to a client."""

from __future__ import annotations

import base64
import binascii
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


def page_of(entries: Sequence[L], page_size: int) -> tuple[list[L], str | None]:
    """Cut ``entries``, read one over the page's size, to a page and the token of the next one."""
    page = list(entries[:page_size])
    if len(entries) <= page_size:
        return page, None
    place: Place = (page[-1].created_at, page[-1].id)
    return page, base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")


def place_of(token: str | None) -> Place | None:
    """Return where the page before ended, None for the first page.

    Raise `InvalidArgument` if the token is not one of ours.
    """
    if not token:
        return None
    try:
        padded = token + "=" * (-len(token) % 4)
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(padded), type=tuple[float, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidArgument("The page token is not valid. List again from the beginning.") from None
