"""The Results of a Job in lines of OpenAI's dialect, as content that can be read in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from halfrate.service.content import Content
from halfrate.service.files import opened
from halfrate.wire.openai.output import Translation


class TranslatedContent:
    """Another content, translated while it is read: nothing of it is kept.

    A part costs what is before it too, and that twice: its bytes are counted, and then sent. ``name`` is
    that of the File, ``mark`` what its etag has more than the other content's.
    """

    snapshot: str | None = None
    size_bytes: int | None = None

    def __init__(
        self, content: Content, translation: Callable[[], Translation], *, name: str, mark: str
    ) -> None:
        self._content = content
        self._translation = translation
        self._name = name
        self.etag = content.etag + mark
        self.ranged = content.ranged

    async def read(self) -> AsyncIterator[bytes]:
        """Yield all of it."""
        translation = self._translation()
        async for chunk in self._content.read():
            if lines := await asyncio.to_thread(translation.feed, chunk):
                yield lines

    async def reach(self, stop: int | None) -> tuple[int, int | None]:
        """Return how many bytes of ``stop`` there are, and the size if all had to be counted."""
        count = 0
        async for lines in await opened(self._name, self.read()):
            count += len(lines)
            if stop is not None and count >= stop:
                return stop, None
        return count, count

    async def read_part(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes from ``start`` to ``stop``."""
        at = 0
        async for lines in self.read():
            if part := lines[max(0, start - at) : stop - at]:
                yield part
            at += len(lines)
            if at >= stop:
                return
