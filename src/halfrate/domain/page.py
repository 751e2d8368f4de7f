"""A page of the web that a Request wants read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PageStatus(StrEnum):
    """What came of reading a page, in the words of the protocol (``urlRetrievalStatus``)."""

    SUCCESS = "success"
    ERROR = "error"  # it is not there, cannot be reached or read, or its owner wants it left alone
    PAYWALL = "paywall"  # it is for those who pay or log in
    UNSAFE = "unsafe"  # it is where nobody may be sent: at no public address, on an odd port


@dataclass(frozen=True, slots=True)
class ReadUrl:
    """A URL as the Request has it, and what came of it. ``detail`` is a sentence where there is no text."""

    url: str
    status: PageStatus
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What a URL had to say when it was read; ``text`` is empty unless that was a success."""

    read: ReadUrl
    text: str = ""
