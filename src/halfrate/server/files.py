"""Routes of the Files API: what is done with Files that are there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from halfrate.server.answers import json_answer
from halfrate.server.origin import Origin
from halfrate.server.paths import V
from halfrate.service.files import Files
from halfrate.wire.gemini import files as wire
from halfrate.wire.gemini.pages import page, page_size


class FileRoutes:
    """The Files API over `halfrate.service.files.Files`."""

    def __init__(self, files: Files, origin: Origin) -> None:
        self._files = files
        self._origin = origin

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        return [
            Route(f"{V}/files", self.list_page, methods=["GET"]),
            Route(f"{V}/files/{{file:id}}", self.get, methods=["GET"]),
            Route(f"{V}/files/{{file:id}}", self.delete, methods=["DELETE"]),
            Route(f"{V}/files/{{file:id}}:download", self.download, methods=["GET"]),
            Route(f"/download{V}/files/{{file:id}}:download", self.download, methods=["GET"]),
        ]

    async def get(self, call: Call) -> Response:
        """Show a File."""
        file = await self._files.get(call.path_params["file"])
        return await json_answer(call, wire.file_body(file, base_url=self._versioned(call)))

    async def list_page(self, call: Call) -> Response:
        """Show a page of Files."""
        size = page_size(call.query_params.get("pageSize"), default=10, most=100)
        files, token = await self._files.list(page_size=size, page_token=call.query_params.get("pageToken"))
        shown = [wire.file_resource(file, base_url=self._versioned(call)) for file in files]
        return await json_answer(call, page("files", shown, token))

    async def delete(self, call: Call) -> Response:
        """Remove a File."""
        await self._files.delete(call.path_params["file"])
        return await json_answer(call, b"{}")

    async def download(self, call: Call) -> Response:
        """Send a File's bytes, or the Results so far of a Job that still runs."""
        file_id = call.path_params["file"]
        if call.method == "HEAD":
            return await self._download_head(file_id)
        wanted = _wanted_range(call.headers.get("range"))
        size_bytes, chunks = await self._files.download(file_id)
        if wanted is None or size_bytes < 0:
            length = {"Content-Length": str(size_bytes)} if size_bytes >= 0 else {}
            return _Stream(chunks, 200, {**length, "Accept-Ranges": "bytes"})
        start, stop = wanted.within(size_bytes)
        _, chunks = await self._files.download(file_id, start=start, stop=stop)
        headers = {
            "Content-Length": str(stop - start),
            "Content-Range": f"bytes {start}-{stop - 1}/{size_bytes}",
        }
        return _Stream(chunks, 206, headers)

    async def _download_head(self, file_id: str) -> Response:
        size_bytes, _ = await self._files.download(file_id)
        length = {"Content-Length": str(size_bytes)} if size_bytes >= 0 else {}
        return _Stream(_nothing(), 200, {**length, "Accept-Ranges": "bytes"})

    def _versioned(self, call: Call) -> str:
        return self._origin.versioned_url(call)


class _Stream(StreamingResponse):
    """Bytes as they are read: a slow client holds one chunk of memory."""

    def __init__(self, chunks: AsyncIterator[bytes], status: int, headers: dict[str, str]) -> None:
        super().__init__(chunks, status_code=status)
        named = {
            "Content-Type": "application/octet-stream",
            "X-Content-Type-Options": "nosniff",
            **headers,
        }
        self.raw_headers = [(name.encode(), value.encode()) for name, value in named.items()]


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


# Ranges -----------------------------------------------------------------------------------------------

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class _Range:
    """One range of bytes as a client wants it: from, to; or the last so many."""

    def __init__(self, first: int | None, last: int | None) -> None:
        self._first = first
        self._last = last

    def within(self, size_bytes: int) -> tuple[int, int]:
        """Return start and stop in a body of this size. Raise a 416 if there is nothing there."""
        if self._first is None:
            start, stop = max(0, size_bytes - (self._last or 0)), size_bytes
        else:
            start = self._first
            stop = size_bytes if self._last is None else min(size_bytes, self._last + 1)
        if start >= stop:
            sentence = f"The range lies outside the file, which has {size_bytes} bytes."
            raise HTTPException(416, sentence, headers={"Content-Range": f"bytes */{size_bytes}"})
        return start, stop


def _wanted_range(header: str | None) -> _Range | None:
    """Return the one range asked for; None for the whole, and for what is better answered with it."""
    match = _RANGE.fullmatch(header or "")
    if match is None or match[0] == "bytes=-":
        return None
    return _Range(*(int(number) if number else None for number in match.groups()))
