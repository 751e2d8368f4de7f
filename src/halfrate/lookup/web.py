"""Requests that want pages read, with the pages in them: as much as their model has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from halfrate.domain.errors import EngineBroken, Refusal
from halfrate.domain.outcome import Answered, Cause, Failed, Outcome
from halfrate.domain.page import Page, ReadUrl
from halfrate.domain.request import AnyRequest, Request
from halfrate.engines.api import Engine
from halfrate.lookup.page_reader import missing
from halfrate.lookup.pages import Pages
from halfrate.lookup.urls import urls_in, with_pages

TRIES_MAX = 5
"""How often the pages are made shorter, before they are left out."""

_CHARS_A_TOKEN_MAX = 8
_SLACK = 0.95


@dataclass(frozen=True, slots=True)
class Informed:
    """A Request as an Engine is asked it, what was read for it, and the tokens that took."""

    request: AnyRequest
    read: tuple[ReadUrl, ...] = ()
    tool_tokens: int = 0

    def told(self, outcome: Outcome) -> Outcome:
        """Return an Outcome that says what was read."""
        if not self.read or not isinstance(outcome, Answered):
            return outcome
        return replace(outcome, read=self.read, tool_tokens=self.tool_tokens)


class Web:
    """Reads pages for Requests. At most ``page_chars_max`` characters are taken of each."""

    def __init__(self, pages: Pages, *, page_chars_max: int) -> None:
        self._pages = pages
        self._page_chars_max = page_chars_max

    async def inform(self, request: Request, *, engine: Engine, job_id: str | None) -> Informed | Failed:
        """Return a Request with the pages it names, shortened to what fits beside it and its answer."""
        plain = replace(request, reads_urls=False)
        urls = urls_in(request.messages)
        if not urls:
            return Informed(plain)
        if why := missing():
            return Failed(Cause.UNSUPPORTED, f"tools.url_context: {why}")
        pages = await asyncio.gather(*(self._pages.read(url, job_id=job_id) for url in urls))
        read = tuple(page.read for page in pages)
        try:
            fitted, tool_tokens = await self._fitted(plain, pages, engine)
        except EngineBroken as error:
            return Failed(Cause.INTERNAL, str(error))
        except Refusal as error:  # a prompt that could not be answered without the pages either
            return Failed(Cause.INVALID, str(error))
        return Informed(fitted, read, tool_tokens)

    async def fetch(self, request: Request, *, job_id: str) -> None:
        """Have the pages of a Request read that a Job will come to, so that it need not wait for them."""
        if missing() is None:
            await asyncio.gather(*(self._pages.read(url, job_id=job_id) for url in urls_in(request.messages)))

    async def close(self) -> None:
        """Give up what is being read."""
        await self._pages.close()

    async def _fitted(self, plain: Request, pages: Sequence[Page], engine: Engine) -> tuple[Request, int]:
        facts = await engine.ready()
        plain_tokens = await engine.count_tokens(plain)
        room = _room(facts.context_tokens, plain_tokens, plain.sampling.max_output_tokens)
        longest = max(len(page.text) for page in pages)
        chars_max = min(longest, self._page_chars_max, room * _CHARS_A_TOKEN_MAX)
        for _ in range(TRIES_MAX):
            informed = with_pages(plain, pages, chars_max=chars_max)
            tool_tokens = await engine.count_tokens(informed) - plain_tokens
            if tool_tokens <= room:
                return informed, tool_tokens
            chars_max = int(chars_max * room / tool_tokens * _SLACK)
        return plain, 0


def _room(context_tokens: int, plain_tokens: int, output_tokens: int | None) -> int:
    """Return how many tokens the pages may have. A half of the context at most is left for the answer."""
    wanted = context_tokens // 4 if output_tokens is None else output_tokens
    return max(0, context_tokens - plain_tokens - min(wanted, context_tokens // 2))
