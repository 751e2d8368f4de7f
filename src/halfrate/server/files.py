"""Routes of the Files API: what is done with Files that are there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from halfrate.server.answers import json_answer
from halfrate.server.manual import Answer, Media, Parameter, entry, paging
from halfrate.server.origin import Origin
from halfrate.server.paths import V, parameter
from halfrate.service.content import Content
from halfrate.service.files import Files, opened
from halfrate.wire.gemini import files as wire
from halfrate.wire.gemini import shapes
from halfrate.wire.gemini.pages import page, page_size

SNAPSHOT = "X-Halfrate-Snapshot"
"""The token of the Snapshot that an answer holds, for a later ``?since=``."""


_BYTES = Media("application/octet-stream", {"type": "string", "format": "binary"})
_ETAG = Parameter("ETag", "Stands for exactly these bytes.")
_SNAPSHOT = Parameter(SNAPSHOT, "Stands for the results in this answer, for a later `since`.")


class Find(Protocol):
    """Finds the content of a File for a reader, as `Files.content` does."""

    async def __call__(self, *, seen: str | None, from_start: bool) -> Content:
        """Return it."""
        ...


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

    @entry("files.get", "Show a file", answer=shapes.File, refuses=(400,))
    async def get(self, call: Call) -> Response:
        """Show a File, or send its bytes where those are asked for."""
        if call.query_params.get("alt") == "media":
            return await self.download(call)
        file = await self._files.get(_file_id(call, "GetFileRequest"))
        return await json_answer(call, wire.file_body(file, base_url=self._versioned(call)))

    @entry("files.list", "List files", answer=shapes.FileList, query=paging(default=10, most=100))
    async def list_page(self, call: Call) -> Response:
        """Show a page of Files."""
        size = page_size(parameter(call, "pageSize"), default=10, most=100)
        files, token = await self._files.list(page_size=size, page_token=parameter(call, "pageToken"))
        shown = [wire.file_resource(file, base_url=self._versioned(call)) for file in files]
        return await json_answer(call, page("files", shown, token))

    @entry("files.delete", "Delete a file", answer=shapes.Empty, refuses=(400,))
    async def delete(self, call: Call) -> Response:
        """Remove a File."""
        await self._files.delete(_file_id(call, "DeleteFileRequest"))
        return await json_answer(call, b"{}")

    @entry(
        "files.download",
        "Download a file",
        description=(
            "The bytes of a file. Of a batch that runs: the results so far, as a snapshot that stays the "
            "same while it is read by ranges with `If-Range`."
        ),
        answer={
            200: Answer((_BYTES,), "The whole.", (_ETAG, _SNAPSHOT)),
            206: Answer((_BYTES,), "The range that was asked for.", (_ETAG, _SNAPSHOT)),
        },
        query=[
            Parameter("alt", "`media` is what SDKs send. It changes nothing."),
            Parameter("since", f"An `{SNAPSHOT}`: only the results that were finished after it."),
        ],
        headers=[
            Parameter("Range", "A range of bytes, as in `bytes=0-99`."),
            Parameter("If-Range", "An `ETag`: the range is to be of those very bytes."),
        ],
        refuses=(416,),
    )
    async def download(self, call: Call) -> Response:
        """Send a File's bytes, or the Results so far of a Job that still runs."""
        file_id = _file_id(call, "DownloadFileRequest")
        if "since" in call.query_params:
            snapshot, chunks = await self._files.since(file_id, call.query_params["since"])
            return _Stream(chunks, 200, {SNAPSHOT: snapshot})
        return await self.send(call, file_id, partial(self._files.content, file_id))

    async def send(self, call: Call, file_id: str, find: Find) -> Response:
        """Send the content that is found, or the part of it that is asked for."""
        wanted = _wanted_range(call.headers.get("range"))
        content = await find(
            seen=_etag(call.headers.get("if-range")) if wanted else None,
            from_start=wanted is None or wanted.from_start,
        )
        if call.method == "HEAD":
            return _Stream(_nothing(), 200, _whole_headers(content))
        # To the end of what is being made, from its start: it can as well be sent while it is made.
        if wanted is None or not content.ranged or (wanted.is_all and content.size_bytes is None):
            return _Stream(await opened(file_id, content.read()), 200, _whole_headers(content))
        return await self._part(file_id, content, wanted)

    async def _part(self, file_id: str, content: Content, wanted: _Range) -> Response:
        available_bytes, size_bytes = await content.reach(wanted.stop)
        start, stop = wanted.within(available_bytes)
        size = "*" if size_bytes is None else size_bytes
        headers = {"Content-Length": str(stop - start), "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        chunks = await opened(file_id, content.read_part(start, stop))
        return _Stream(chunks, 206, {**headers, **_headers(content)})

    def _versioned(self, call: Call) -> str:
        return self._origin.versioned_url(call)


def _file_id(call: Call, message: str) -> str:
    file_id: str = call.path_params["file"]
    wire.check_id(file_id, message=message)
    return file_id


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


def _headers(content: Content) -> dict[str, str]:
    snapshot = {} if content.snapshot is None else {SNAPSHOT: content.snapshot}
    return {"ETag": f'"{content.etag}"', **snapshot}


def _whole_headers(content: Content) -> dict[str, str]:
    length = {} if content.size_bytes is None else {"Content-Length": str(content.size_bytes)}
    return {**length, "Accept-Ranges": "bytes", **_headers(content)}


# Ranges -----------------------------------------------------------------------------------------------

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class _Range:
    """One range of bytes as a client wants it: from, to; or the last so many."""

    def __init__(self, first: int | None, last: int | None) -> None:
        self._first = first
        self._last = last

    @property
    def from_start(self) -> bool:
        """Whether the first byte is in it."""
        return self._first == 0

    @property
    def is_all(self) -> bool:
        """Whether everything is in it."""
        return self._first == 0 and self._last is None

    @property
    def stop(self) -> int | None:
        """How many bytes must be there to answer, None for all."""
        return None if self._first is None or self._last is None else self._last + 1

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


def _etag(header: str | None) -> str | None:
    """Return the strong etag in an If-Range header; one that fits nothing for what is none."""
    if header is None:
        return None
    match = re.fullmatch(r'"([^"]*)"', header.strip())
    return match[1] if match else ""
