"""Routes of uploads, in steps or at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.errors import InvalidArgument, NotFound
from halfrate.domain.file import File
from halfrate.server.answers import Answer
from halfrate.server.bodies import Bodies
from halfrate.server.faults import answer_for
from halfrate.server.manual import Answer as Success
from halfrate.server.manual import Example, Media, Parameter, entry
from halfrate.server.origin import Origin
from halfrate.server.paths import V
from halfrate.service.uploads import Digests, Progress, Uploads
from halfrate.wire.gemini import files as wire
from halfrate.wire.gemini import shapes
from halfrate.wire.gemini.files import UploadCommand
from halfrate.wire.gemini.multipart import TwoParts, parse_boundary

_GRANULARITY = 8 << 20  # what the protocol suggests as a multiple for chunks; any length is taken


_BYTES = Media("application/octet-stream", {"type": "string", "format": "binary"})

_SENT = (
    Parameter("X-Goog-Upload-Protocol", "`resumable`, or `raw`."),
    Parameter("X-Goog-Upload-Command", "`start`, `upload`, `upload, finalize`, `query` or `cancel`."),
    Parameter("X-Goog-Upload-Offset", "Where in the file these bytes belong."),
    Parameter("X-Goog-Upload-Header-Content-Length", "At the start: how long the file will be."),
    Parameter("X-Goog-Upload-Header-Content-Type", "At the start: the type of the file, as in `jsonl`."),
    Parameter("X-Goog-Hash", "`sha256=` or `md5=` of the file, which is then checked."),
)

_ANSWERED = (
    Parameter("X-Goog-Upload-Status", "`active`, `final` or `cancelled`."),
    Parameter("X-Goog-Upload-URL", "After the start: where the steps go."),
    Parameter("X-Goog-Upload-Size-Received", "How much has arrived."),
)

_EXAMPLES = (
    Example(
        "start",
        body={"file": {"displayName": "questions", "mimeType": "jsonl", "sizeBytes": 76}},
        headers={"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"},
        answer={},
    ),
    Example(
        "raw",
        body='{"key": "a", "request": {"contents": [{"parts": [{"text": "Say hello."}]}]}}\n',
        headers={"X-Goog-Upload-Protocol": "raw", "Content-Type": "application/jsonl"},
        answer={
            "file": {
                "name": "files/t5snrshrqff1",
                "mimeType": "application/jsonl",
                "sizeBytes": "76",
                "createTime": "2026-01-01T00:00:00.123456Z",
                "updateTime": "2026-01-01T00:00:00.123456Z",
                "expirationTime": "2026-01-03T00:00:00.123456Z",
                "sha256Hash": "ZWM1MGI5MTc0MTNhMjhhZDFmMjIz",
                "uri": "http://localhost:8080/v1beta/files/t5snrshrqff1",
                "state": "ACTIVE",
                "source": "UPLOADED",
            }
        },
    ),
)


class UploadRoutes:
    """Uploads over `halfrate.service.uploads.Uploads`.

    The command tells the steps apart, because newer SDKs repeat the start's headers on all of them.
    """

    def __init__(self, uploads: Uploads, origin: Origin, bodies: Bodies) -> None:
        self._uploads = uploads
        self._origin = origin
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """Return every route of uploads."""
        return [Route(f"/upload{V}/files", self.upload, methods=["POST", "PUT"])]

    @entry(
        "uploads.upload",
        "Upload a file",
        description=(
            "Resumable: `X-Goog-Upload-Command: start` with the file's name, type and size as JSON; the "
            "bytes then go to the `X-Goog-Upload-URL` of the answer, in one or more steps (`upload`, at "
            "the end `upload, finalize`) with their `X-Goog-Upload-Offset`. `query` asks what has arrived, "
            "`cancel` gives up. Or at once: `X-Goog-Upload-Protocol: raw`, and the bytes."
        ),
        body=[wire.CreateFileRequest, _BYTES],
        answer=Success((shapes.UploadStep,), "Taken.", _ANSWERED),
        query=[Parameter("upload_id", "In the URL of an upload that was started.")],
        headers=_SENT,
        refuses=(404, 409, 501),
        examples=_EXAMPLES,
    )
    async def upload(self, call: Call) -> Response:
        """Take any step of any upload protocol."""
        upload_id = call.query_params.get("upload_id")
        if upload_id:
            return await self._step(call, upload_id)
        if UploadCommand.START in wire.parse_commands(call.headers.get("x-goog-upload-command")):
            return await self._start(call)
        match _protocol(call):
            case "raw" | "media":
                return await self._whole(call)
            case "multipart":
                return await self._two_parts(call)
            case "resumable":
                return await self._start(call)
            case protocol:
                raise InvalidArgument(
                    f"The upload protocol is {protocol!r}; it may be resumable, multipart or raw, in "
                    "X-Goog-Upload-Protocol or uploadType. For the first, X-Goog-Upload-Command is start."
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
            "Location": url,  # where clients of the older protocol look for it
        }
        return Answer(b"{}", headers=headers)

    async def _begin(self, new: wire.NewFile) -> str:
        upload = await self._uploads.begin(
            file_id=new.id,
            display_name=new.display_name,
            mime_type=new.mime_type,
            declared_bytes=new.declared_bytes,
            digests=Digests(sha256=new.sha256, md5=new.md5),
        )
        return upload.id

    async def _step(self, call: Call, upload_id: str) -> Response:
        """Take a step of a resumable upload. Every answer has a status header: without it SDKs try again.

        A refusal says ``final`` although most leave the upload open, as after anything else SDKs go on with
        the next chunk; and it says how much has arrived, for those that can go on from there.
        """
        try:
            return await self._take_step(call, upload_id)
        except Exception as error:
            headers = _step_headers("final", received_bytes=self._uploads.received_bytes(upload_id))
            return answer_for(error, headers=headers)

    async def _take_step(self, call: Call, upload_id: str) -> Response:
        commands = wire.parse_commands(call.headers.get("x-goog-upload-command"))
        if not commands and call.method == "PUT":
            return await self._take_older_step(call, upload_id)
        if UploadCommand.CANCEL in commands:
            await self._uploads.cancel(upload_id)
            return _step_answer("cancelled")
        if UploadCommand.QUERY in commands:
            return self._told(call, await self._uploads.progress(upload_id))
        if not commands & {UploadCommand.UPLOAD, UploadCommand.FINALIZE}:
            raise InvalidArgument("X-Goog-Upload-Command must be upload, finalize, query or cancel.")
        received_bytes = await self._append(call, upload_id) if UploadCommand.UPLOAD in commands else None
        if UploadCommand.FINALIZE not in commands:
            return _step_answer("active", received_bytes=received_bytes)
        digests = Digests(**wire.parse_digests(call.headers))
        file = await self._uploads.finish(upload_id, digests=digests)
        return self._told(call, Progress(file.size_bytes, file))

    async def _take_older_step(self, call: Call, upload_id: str) -> Response:
        """Take a step as it was before there were commands: a Content-Range says what it brings."""
        brought = wire.parse_content_range(call.headers.get("content-range"))
        if brought is not None and brought.offset is None:
            progress = await self._uploads.progress(upload_id)
            received_bytes, finished = progress.received_bytes, progress.file is not None
        else:
            offset = 0 if brought is None else brought.offset or 0
            chunks = self._bodies.arriving(call)
            received_bytes = await self._uploads.append(upload_id, offset=offset, chunks=chunks)
            finished = False
        if not finished and brought is not None and brought.size_bytes != received_bytes:
            return _unfinished(received_bytes)
        file = await self._uploads.finish(upload_id)
        return self._told(call, Progress(file.size_bytes, file))

    async def _append(self, call: Call, upload_id: str) -> int:
        offset = wire.parse_offset(call.headers.get("x-goog-upload-offset"))
        return await self._uploads.append(upload_id, offset=offset, chunks=self._bodies.arriving(call))

    async def _whole(self, call: Call) -> Response:
        """Take an upload whose body is the File."""
        return await self._taken(call, wire.raw_file(call.headers), self._bodies.arriving(call))

    async def _two_parts(self, call: Call) -> Response:
        """Take an upload whose body says what the File is, and then is the File."""
        parts = TwoParts(parse_boundary(call.headers.get("content-type")))
        pieces = self._bodies.arriving(call)
        async for piece in pieces:
            content = parts.feed(piece)
            if parts.head is not None:
                new = wire.parse_two_parts(parts.head, call.headers)
                return await self._taken(call, new, _content(parts, content, pieces))
        raise InvalidArgument("The body of the call ends before the content of the file. Send it again.")

    async def _taken(self, call: Call, new: wire.NewFile, chunks: AsyncIterator[bytes]) -> Response:
        """Take an upload that comes at once: all of it, or nothing is kept."""
        upload_id = await self._begin(new)
        try:
            await self._uploads.append(upload_id, offset=0, chunks=chunks)
            file = await self._uploads.finish(upload_id)
        except BaseException:
            with suppress(NotFound):
                await self._uploads.cancel(upload_id)
            raise
        return Answer(self._wrapped(call, file))

    def _told(self, call: Call, progress: Progress) -> Answer:
        if progress.file is None:
            return _step_answer("active", received_bytes=progress.received_bytes)
        body = self._wrapped(call, progress.file)
        return _step_answer("final", received_bytes=progress.received_bytes, body=body)

    def _wrapped(self, call: Call, file: File) -> bytes:
        return wire.created_file_body(file, base_url=self._origin.versioned_url(call))


def _protocol(call: Call) -> str | None:
    names = (call.query_params.get(name) for name in ("uploadType", "upload_protocol"))
    return call.headers.get("x-goog-upload-protocol") or next(filter(None, names), None)


async def _content(parts: TwoParts, begun: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    async for piece in pieces:
        yield parts.feed(piece)
    parts.finish()


def _unfinished(received_bytes: int) -> Answer:
    """Return the answer of the older protocol to a step that was not the last."""
    received = {"Range": f"bytes=0-{received_bytes - 1}"} if received_bytes else {}
    return Answer(b"", status=308, headers=received | _step_headers("active", received_bytes=received_bytes))


def _step_answer(status: str, *, received_bytes: int | None = None, body: bytes = b"{}") -> Answer:
    return Answer(body, headers=_step_headers(status, received_bytes=received_bytes))


def _step_headers(status: str, *, received_bytes: int | None) -> dict[str, str]:
    headers = {"X-Goog-Upload-Status": status}
    if received_bytes is not None:
        headers["X-Goog-Upload-Size-Received"] = str(received_bytes)
    return headers
