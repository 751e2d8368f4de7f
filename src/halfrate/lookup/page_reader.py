"""The text of pages, read by a process of its own: a page may be made to keep its reader busy for ever."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.util import find_spec

from halfrate.lookup.page_child import ERROR, HEAD, LENGTH, WALLED

SECONDS = 20.0
PAGES_MAX = 500
"""Pages that one process reads: what its libraries leak ends with it."""

TYPES = (
    "application/json",
    "application/ld+json",
    "application/pdf",
    "application/xhtml+xml",
    "application/xml",
)
NAME_CHARS_MAX = 100
NEEDS = ("trafilatura", "protego")


class Unread(Exception):
    """Why a page has no text. ``walled``: it is for those who pay."""

    def __init__(self, problem: str, *, walled: bool = False) -> None:
        super().__init__(problem)
        self.walled = walled


def missing() -> str | None:
    """Return what to do before pages can be read, None if they can."""
    if all(find_spec(name) for name in NEEDS):
        return None
    return "Install what reads web pages with pip install 'halfrate[urls]', and start the server again."


class PageReader:
    """Makes text of pages, one at a time. A page that takes longer than ``seconds`` is given up.

    The process is started with the first page, and ends with `close`.
    """

    def __init__(self, *, bytes_max: int, seconds: float = SECONDS) -> None:
        self._bytes_max = bytes_max
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._pages = 0

    async def text(self, data: bytes, *, media_type: str, charset: str | None) -> str:
        """Return the text of a page. Raise `Unread`."""
        if not (media_type.startswith("text/") or media_type in TYPES) or len(media_type) > NAME_CHARS_MAX:
            raise Unread(f"pages of type {media_type[:NAME_CHARS_MAX] or 'unknown'} are not read")
        kind, coding = media_type.encode(), (charset or "")[:NAME_CHARS_MAX].encode("ascii", "replace")
        framed = HEAD.pack(len(data), len(kind), len(coding)) + kind + coding + data
        async with self._turn:
            verdict, said = await self._ask(framed)
        if verdict == ERROR:
            raise Unread(said)
        if verdict == WALLED:
            raise Unread("it is for those who pay or log in", walled=True)
        return said

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _ask(self, framed: bytes) -> tuple[bytes, str]:
        answered = False
        try:
            async with asyncio.timeout(self._seconds):
                process = await self._started()
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(framed)
                await process.stdin.drain()
                (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
                said = await process.stdout.readexactly(length)
            answered = True
        except TimeoutError:
            raise Unread(f"it was not read after {self._seconds:g} s") from None
        except (OSError, asyncio.IncompleteReadError):
            raise Unread("it took too much memory") from None
        finally:
            if not answered:  # it is in the middle of something
                await self._end()
        return said[:1], said[1:].decode("utf-8", "replace")

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and (self._process.returncode is not None or self._pages >= PAGES_MAX):
            await self._end()
        if self._process is None:
            self._pages = 0
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "halfrate.lookup.page_child",
                str(self._bytes_max),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        self._pages += 1
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
