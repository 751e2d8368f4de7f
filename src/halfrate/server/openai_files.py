"""Routes of OpenAI's dialect: Files, and the Results of Jobs in its lines."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.errors import InvalidArgument, NotFound
from halfrate.domain.file import File, output_file_id
from halfrate.domain.outcome import Cause
from halfrate.server import examples
from halfrate.server.answers import json_answer
from halfrate.server.bodies import Bodies
from halfrate.server.files import FileRoutes
from halfrate.server.manual import Answer, Media, Parameter, entry
from halfrate.server.openai_forms import FormBody, Part
from halfrate.server.openai_results import TranslatedContent
from halfrate.server.openai_told import Endpoint, listing
from halfrate.server.paths import V
from halfrate.service.content import Content
from halfrate.service.files import Files
from halfrate.service.jobs import Jobs
from halfrate.service.paging import token_after
from halfrate.service.uploads import Uploads
from halfrate.wire.gemini.content import bare_model
from halfrate.wire.openai import files as wire
from halfrate.wire.openai import shapes
from halfrate.wire.openai.form import Form, ResultFile, result_file
from halfrate.wire.openai.output import Translation
from halfrate.wire.openai.reading import at

_FORM = Media(
    "multipart/form-data",
    {
        "type": "object",
        "properties": {
            "purpose": {"type": "string", "enum": list(wire.PURPOSES)},
            "file": {"type": "string", "format": "binary"},
        },
        "required": ["purpose", "file"],
        "additionalProperties": False,
    },
)
_BYTES = Media("application/octet-stream", {"type": "string", "format": "binary"})
_ETAG = Parameter("ETag", "Stands for exactly these bytes.")


class OpenAIFileRoutes:
    """The Files over the same services, in OpenAI's dialect. ``native`` sends their bytes."""

    def __init__(
        self,
        files: Files,
        uploads: Uploads,
        jobs: Jobs,
        bodies: Bodies,
        *,
        native: FileRoutes,
    ) -> None:
        self._files = files
        self._uploads = uploads
        self._jobs = jobs
        self._bodies = bodies
        self._native = native

    def endpoints(self) -> list[tuple[str, str, Endpoint]]:
        """Return what `routes_of` makes routes of."""
        return [
            ("POST", "/files", self.create),
            ("GET", "/files", self.list_page),
            ("GET", "/files/{file:any}/content", self.content),
            ("GET", "/files/{file:any}", self.get),
            ("DELETE", "/files/{file:any}", self.delete),
        ]

    def native_routes(self) -> list[Route]:
        """Return where programs of Gemini's layer download Results, with the client of the other dialect."""
        path = f"{V}/files/{{file:result}}:download"
        return [
            Route(path, self.download, methods=["GET"]),
            Route(f"/download{path}", self.download, methods=["GET"]),
        ]

    @entry(
        "createFile",
        "Upload a file",
        body=_FORM,
        answer=shapes.File,
        examples=examples.OPENAI_UPLOAD,
    )
    async def create(self, call: Call, form: Form) -> Response:
        """Take an upload in one body, straight to the disk."""
        body = FormBody(call.headers.get("content-type", ""), self._bodies.arriving(call))
        fields: dict[str, str] = {}
        upload_id: str | None = None
        try:
            async for part in body.parts():
                if part.name == "file" and upload_id is None:
                    upload_id = await self._receive(part, body, fields)
                elif part.name == "purpose":
                    fields[part.name] = await body.text()
                else:
                    raise at(part.name, f"Unknown parameter: {part.name[:80]!r}. Leave it out.")
            if upload_id is None:
                raise at("file", "Missing required parameter: 'file'.")
            wire.mime_type_of(_purpose(fields), "")
            file = await self._uploads.finish(upload_id)
        except BaseException:
            if upload_id is not None:
                with suppress(NotFound):
                    await self._uploads.cancel(upload_id)
            raise
        return await json_answer(call, wire.file_body(file, form))

    async def _receive(self, part: Part, body: FormBody, fields: dict[str, str]) -> str:
        """Take the file in, and return the id of its upload. Nothing of it is kept if it breaks off."""
        # A purpose may come after the file: most clients send it before, and then a wrong one stops here.
        purpose = fields.get("purpose", "batch")
        upload = await self._uploads.begin(
            file_id=None,
            display_name=part.filename or "",
            mime_type=wire.mime_type_of(purpose, part.content_type),
            declared_bytes=None,
        )
        try:
            await self._uploads.append(upload.id, offset=0, chunks=body.data())
        except BaseException:
            with suppress(NotFound):
                await self._uploads.cancel(upload.id)
            raise
        return upload.id

    @entry(
        "listFiles",
        "List uploaded files",
        answer=shapes.FileList,
        query=[
            *listing(default=100, most=1_000),
            Parameter("purpose", "Only those of this purpose.", {"type": "string", "enum": [*wire.PURPOSES]}),
            Parameter("order", "`desc`, as it is anyway.", {"type": "string", "enum": ["desc"]}),
        ],
        refuses=(404,),
    )
    async def list_page(self, call: Call, form: Form) -> Response:
        """Show a page of uploaded Files, newest first."""
        query = call.query_params
        wire.check_order(query.get("order"))
        size = wire.parse_limit(query.get("limit"), default=100, most=1_000)
        token = None
        if query.get("after"):
            token = token_after(await self._files.get(form.file_id(query["after"])))
        files, more = await self._files.list(page_size=size, page_token=token)
        wanted = query.get("purpose")
        shown = [
            wire.file_resource(file, form) for file in files if not wanted or wire.purpose_of(file) == wanted
        ]
        return await json_answer(call, wire.list_body(shown, more=more is not None))

    @entry("getFile", "Show a file", answer=shapes.File)
    async def get(self, call: Call, form: Form) -> Response:
        """Show a File."""
        file_id = form.file_id(call.path_params["file"])
        return await json_answer(call, wire.file_body(await self._file(file_id), form, id=file_id))

    @entry("deleteFile", "Delete a file", answer=shapes.DeletedFile)
    async def delete(self, call: Call, form: Form) -> Response:
        """Remove a File. The errors of a Job go with its answers."""
        file_id = form.file_id(call.path_params["file"])
        file = await self._file(file_id)
        result = result_file(file_id)
        if result is None or not result.errors:
            await self._files.delete(file.id)
        return await json_answer(call, wire.deleted_body(form.file_name(file_id)))

    async def _file(self, file_id: str) -> File:
        result = result_file(file_id)
        return await self._files.get(file_id if result is None else output_file_id(result.job_id))

    @entry(
        "downloadFile",
        "Download a file",
        description="As it was uploaded; of a batch, its results in lines of this dialect.",
        answer={
            200: Answer((_BYTES,), "The whole.", (_ETAG,)),
            206: Answer((_BYTES,), "The range that was asked for.", (_ETAG,)),
        },
        headers=[
            Parameter("Range", "A range of bytes, as in `bytes=0-99`."),
            Parameter("If-Range", "An `ETag`: the range is to be of those very bytes."),
        ],
        refuses=(416,),
    )
    async def content(self, call: Call, form: Form) -> Response:
        """Send what a File holds: as it was uploaded, or the Results of a Job in lines of this dialect."""
        file_id = form.file_id(call.path_params["file"])
        result = result_file(file_id)
        if result is not None:
            return await self._results(call, result)
        return await self._native.download(
            Call({**call.scope, "path_params": {"file": file_id}}, call.receive)
        )

    async def download(self, call: Call) -> Response:
        """Send the Results of a Job in lines of this dialect."""
        result = result_file(call.path_params["file"])
        assert result is not None, "only such paths lead here"
        return await self._results(call, result)

    async def _results(self, call: Call, result: ResultFile) -> Response:
        job = await self._jobs.get(result.job_id)
        expired = job.stopped_by is Cause.EXPIRED
        # The same Results are other bytes in the other file, and say more once it is known what stopped them.
        mark = f"-{'errors' if result.errors else 'answers'}{'-expired' if expired else ''}"
        translation = partial(
            Translation,
            job.id,
            model=bare_model(job.model),
            created=job.started_at or job.created_at,
            errors=result.errors,
            expired=expired,
        )

        async def find(*, seen: str | None, from_start: bool) -> Content:
            if seen is not None:
                seen = seen.removesuffix(mark) if seen.endswith(mark) else ""
            content = await self._files.content(output_file_id(job.id), seen=seen, from_start=from_start)
            return TranslatedContent(content, translation, name=result.id, mark=mark)

        return await self._native.send(call, result.id, find)


def _purpose(fields: dict[str, str]) -> str:
    if "purpose" not in fields:
        raise InvalidArgument("Missing required parameter: 'purpose'.", (("purpose", "missing"),))
    return fields["purpose"]
