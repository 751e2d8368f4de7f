"""The URLs that prompts name, and prompts with the pages they name. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from halfrate.domain.page import Page, PageStatus
from halfrate.domain.request import Message, Request, Role

URLS_MAX = 20
"""URLs read for one Request, as the protocol has it."""

CUT = " [the rest is left out]"

_URL = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)
_AFTER = ".,;:!?*_~"
_PAIRS = {")": "(", "]": "["}


def urls_in(messages: Sequence[Message]) -> list[str]:
    """Return the first `URLS_MAX` URLs that users' turns name, each once, in order.

    Punctuation after a URL is none of it, nor is a bracket that was opened before it.
    """
    found: dict[str, None] = {}
    for message in messages:
        if message.role is Role.USER:
            found.update(dict.fromkeys(map(_trimmed, _URL.findall(message.text))))
    return list(found)[:URLS_MAX]


def _trimmed(url: str) -> str:
    while url and (url[-1] in _AFTER or url.count(url[-1]) > url.count(_PAIRS.get(url[-1], url[-1]))):
        url = url[:-1]
    return url


def with_pages(request: Request, pages: Sequence[Page], *, chars_max: int) -> Request:
    """Return a Request whose last user's turn begins with the pages, ``chars_max`` of each at most.

    They come before what the user says of them, as documents do.
    """
    told = "\n\n".join(_told(page, chars_max) for page in pages)
    messages = list(request.messages)
    place = max(index for index, message in enumerate(messages) if message.role is Role.USER)
    last = messages[place]
    text = f"{told}\n\n"
    attachments = tuple(replace(each, at=each.at + len(text)) for each in last.attachments)
    messages[place] = replace(last, text=text + last.text, attachments=attachments)
    return replace(request, messages=tuple(messages), reads_urls=False)


def _told(page: Page, chars_max: int) -> str:
    if page.read.status is not PageStatus.SUCCESS:
        return f"The page {page.read.url} could not be read."
    text = page.text if len(page.text) <= chars_max else page.text[:chars_max] + CUT
    return f"The page {page.read.url} says:\n{text}"
