"""Routes of the Files API: uploads in steps or at once, and what is done with Files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request as Call
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from halfrate.domain.errors import InvalidArgument, Unimplemented
from halfrate.domain.file import File
from halfrate.server.answers import Answer, json_answer
from halfrate.server.bodies import Bodies, arriving
from halfrate.server.faults import answer_for
from halfrate.server.origin import Origin
from halfrate.server.paths import V
from halfrate.service.files import Files
from halfrate.wire.gemini import files as wire
from halfrate.wire.gemini.files import UploadCommand
from halfrate.wire.gemini.pages import page, page_size

_GRANULARITY = 8 << 20  # what the protocol suggests as a multiple for chunks; any length is taken


class FileRoutes:
    """The Files API over `halfrate.service.files.Files`."""

    def __init__(self, files: Files, origin: Origin, bodies: Bodies) -> None:
        self._files = files
        self._bodies = bodies
        self._origin = origin

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        return [
            Route(f"/upload{V}/files", self.upload, methods=["POST", "PUT"]),
            Route(f"{V}/files", self.list_page, methods=["GET"]),
            Route(f"{V}/files/{{file:id}}", self.get, methods=["GET"]),
            Route(f"{V}/files/{{file:id}}", self.delete, methods=["DELETE"]),
            Route(f"{V}/files/{{file:id}}:download", self.download, methods=["GET"]),
            Route(f"/download{V}/files/{{file:id}}:download", self.download, methods=["GET"]),
        ]

    # Uploads. The command tells the steps apart, because newer SDKs repeat the start's headers on all.

    async def upload(self, call: Call) -> Response:
        """Take any step of any upload protocol."""
        upload_id = call.query_params.get("upload_id")
        if upload_id:
            return await self._step(call, upload_id)
        if UploadCommand.START in wire.parse_commands(call.headers.get("x-goog-upload-command")):
            return await self._start(call)
        protocol = call.headers.get("x-goog-upload-protocol") or call.query_params.get("uploadType")
        if protocol in ("raw", "media"):
            return await self._whole(call)
        raise Unimplemented(
            f"The upload protocol {protocol!r} is not built. Use the resumable one: "
            "X-Goog-Upload-Protocol: resumable and X-Goog-Upload-Command: start."
        )

    async def _start(self, call: Call) -> Response:
        async with self._bodies.whole(call) as body:
            new = wire.parse_new_file(body, call.headers)
        upload_id = await self._begin(new)
        base = self._origin.base_url(call)
        version = call.path_params["version"]
        url = f"{base}/upload/{version}/files?upload_id={upload_id}&upload_protocol=resumable"
        headers = {
            "X-Goog-Upload-Status": "active",
            "X-Goog-Upload-URL": url,
            "X-Goog-Upload-Control-URL": url,
            "X-Goog-Upload-Chunk-Granularity": str(_GRANULARITY),
            "X-GUploader-UploadID": upload_id,
        }
        return Answer(b"{}", headers=headers)

    async def _begin(self, new: wire.NewFile) -> str:
        upload = await self._files.begin_upload(
            file_id=new.id,
            display_name=new.display_name,
            mime_type=new.mime_type,
            declared_bytes=new.declared_bytes,
        )
        return upload.id

    async def _step(self, call: Call, upload_id: str) -> Response:
        """Take a step of a resumable upload. Every answer has a status header: without it SDKs try again."""
        try:
            return await self._take_step(call, upload_id)
        except Exception as error:
            return answer_for(error, headers={"X-Goog-Upload-Status": "final"})

    async def _take_step(self, call: Call, upload_id: str) -> Response:
        commands = wire.parse_commands(call.headers.get("x-goog-upload-command"))
        if UploadCommand.CANCEL in commands:
            await self._files.cancel_upload(upload_id)
            return _step_answer("cancelled")
        if UploadCommand.QUERY in commands:
            return _step_answer("active", received_bytes=await self._files.received_bytes(upload_id))
        if not commands & {UploadCommand.UPLOAD, UploadCommand.FINALIZE}:
            raise InvalidArgument("X-Goog-Upload-Command must be upload, finalize, query or cancel.")
        received_bytes = await self._append(call, upload_id) if UploadCommand.UPLOAD in commands else None
        if UploadCommand.FINALIZE not in commands:
            return _step_answer("active", received_bytes=received_bytes)
        file = await self._files.finish(upload_id)
        return _step_answer("final", received_bytes=file.size_bytes, body=self._wrapped(call, file))

    async def _append(self, call: Call, upload_id: str) -> int:
        offset = wire.parse_offset(call.headers.get("x-goog-upload-offset"))
        return await self._files.append(upload_id, offset=offset, chunks=arriving(call))

    async def _whole(self, call: Call) -> Response:
        """Take an upload whose body is the File."""
        upload_id = await self._begin(wire.raw_file(call.headers))
        try:
            await self._files.append(upload_id, offset=0, chunks=arriving(call))
            file = await self._files.finish(upload_id)
        except BaseException:
            await self._files.cancel_upload(upload_id)
            raise
        return Answer(self._wrapped(call, file))

    # Files

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
        return f"{self._origin.base_url(call)}/{call.path_params['version']}"

    def _wrapped(self, call: Call, file: File) -> bytes:
        return wire.created_file_body(file, base_url=self._versioned(call))


def _step_answer(status: str, *, received_bytes: int | None = None, body: bytes = b"{}") -> Answer:
    headers = {"X-Goog-Upload-Status": status}
    if received_bytes is not None:
        headers["X-Goog-Upload-Size-Received"] = str(received_bytes)
    return Answer(body, headers=headers)


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
