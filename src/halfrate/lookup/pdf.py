"""The text of PDFs, read by a process of its own: a PDF may be made to keep its reader busy for ever."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.util import find_spec

from halfrate.domain.outcome import Cause, Failed
from halfrate.lookup.pdf_child import ERROR, PAGES_MAX, TEXT

SECONDS = 60.0
_AT_ONCE = 2


class PdfReader:
    """Reads PDFs, `_AT_ONCE` at a time.

    One that takes longer than ``seconds``, more memory than its process may have, has more than `PAGES_MAX`
    pages, or comes to more than ``bytes_max`` of text is refused.
    """

    def __init__(self, *, bytes_max: int, seconds: float = SECONDS) -> None:
        self._bytes_max = bytes_max
        self._seconds = seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def text(self, data: bytes, *, name: str) -> str | Failed:
        """Return the text of a PDF, or why there is none. ``name`` is what sentences call it."""
        if find_spec("pypdf") is None:
            return Failed(
                Cause.UNSUPPORTED,
                f"{name} cannot be read: install what reads PDFs with pip install 'halfrate[pdf]', or send "
                "its text.",
            )
        if len(data) > self._bytes_max:
            return _refused(
                name,
                f"it has {len(data):,} bytes, and at most {self._bytes_max:,} are read into a prompt "
                "(limits.prompt_file_bytes)",
            )
        async with self._turns:
            return await self._read(data, name)

    async def _read(self, data: bytes, name: str) -> str | Failed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "halfrate.lookup.pdf_child",
            str(self._bytes_max),
            str(self._seconds),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer, _ = await process.communicate(data)
        except TimeoutError:
            return _refused(
                name, f"it was not read after {self._seconds:g} s (it has at most {PAGES_MAX} pages?)"
            )
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        kind, said = answer[:1], answer[1:].decode("utf-8", "replace")
        if kind == TEXT:
            return said
        return _refused(name, said if kind == ERROR else "it took too much memory or time")


def _refused(name: str, why: str) -> Failed:
    return Failed(Cause.INVALID, f"{name} cannot be read as a PDF: {why}. Send its text, or another file.")
