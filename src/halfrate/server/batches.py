"""Routes of the Batches API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import Forbidden
from halfrate.domain.file import output_file_id
from halfrate.domain.job import Job
from halfrate.domain.kind import Kind
from halfrate.domain.outlook import Outlook
from halfrate.server import examples
from halfrate.server.answers import JsonStream, json_answer
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Parameter, entry, paging
from halfrate.server.paths import V, parameter
from halfrate.service.files import Files
from halfrate.service.jobs import Jobs
from halfrate.service.retries import Retries
from halfrate.wire.gemini import batches as wire
from halfrate.wire.gemini import shapes
from halfrate.wire.gemini.filters import parse_filter
from halfrate.wire.gemini.pages import page, page_size
from halfrate.wire.gemini.times import parse_deadline

ON_INVALID = "x-halfrate-on-invalid"
"""With the value ``skip``, bad lines of a file become error Results instead of refusing the batch."""

DEADLINE = "x-halfrate-deadline"
"""When the batch is to have ended: seconds from now, or an instant."""


OUTLOOKS_MAX = 100
"""Unfinished Jobs on a page of a list that say why they wait. Each looks at all that go before it."""


_DEADLINE = Parameter(
    DEADLINE, "When the batch is to have ended: seconds from now, as in `7200`, or an instant."
)


class BatchRoutes:
    """The Batches API over `halfrate.service.jobs.Jobs`."""

    def __init__(
        self, jobs: Jobs, retries: Retries, files: Files, bodies: Bodies, *, inline_results_bytes: int
    ) -> None:
        self._jobs = jobs
        self._retries = retries
        self._files = files
        self._bodies = bodies
        self._inline_results_bytes = inline_results_bytes

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        one = f"{V}/batches/{{batch:id}}"
        return [
            Route(f"{V}/{{kind:id}}/{{model:model}}:batchGenerateContent", self.create, methods=["POST"]),
            Route(f"{V}/{{kind:id}}/{{model:model}}:asyncBatchEmbedContent", self.embed, methods=["POST"]),
            Route(f"{V}/batches", self.list_page, methods=["GET"]),
            Route(one, self.get, methods=["GET"]),
            Route(one, self.delete, methods=["DELETE"]),
            Route(f"{one}:cancel", self.cancel, methods=["POST"]),
            Route(f"{one}:delete", self.delete, methods=["GET", "POST"]),
            Route(f"{one}:updateGenerateContentBatch", self.update, methods=["PATCH"]),
            Route(f"{one}:updateEmbedContentBatch", self.update, methods=["PATCH"]),
            Route(f"{one}:retry", self.retry, methods=["POST"]),
        ]

    @entry(
        "batches.create",
        "Create a batch",
        description=(
            "From a file of requests, one on each line, or from requests in the call itself. Answers at "
            "once; the batch is worked off when there is time."
        ),
        body=wire.CreateBatchRequest,
        answer=shapes.Operation,
        headers=[
            Parameter(ON_INVALID, "`skip`: bad lines become error results instead of refusing the batch."),
            _DEADLINE,
        ],
        refuses=(404, 429, 501),
        examples=examples.CREATE_BATCH,
    )
    async def create(self, call: Call) -> Response:
        """Accept a Job, and show it."""
        return await self._create(call, Kind.GENERATION)

    @entry(
        "batches.createEmbeddings",
        "Create a batch of embeddings",
        body=wire.CreateBatchRequest,
        answer=shapes.Operation,
        headers=[
            Parameter(ON_INVALID, "`skip`: bad lines become error results instead of refusing the batch."),
            _DEADLINE,
        ],
        refuses=(404, 429, 501),
        examples=examples.CREATE_EMBEDDINGS,
    )
    async def embed(self, call: Call) -> Response:
        """Accept a Job of embeddings, and show it."""
        return await self._create(call, Kind.EMBEDDING)

    async def _create(self, call: Call, kind: Kind) -> Response:
        async with self._bodies.whole(call) as body:
            job = await self._created(call, body, kind)
        return await self._shown(call, job)

    async def _created(self, call: Call, body: bytes, kind: Kind) -> Job:
        model = model_named(call)
        new = await asyncio.to_thread(wire.parse_create, body, model=model, kind=kind)
        if new.file_id is None:
            return await self._jobs.create_inline(
                model=model,
                items=new.lines,
                display_name=new.display_name,
                priority=new.priority,
                notify=new.notify,
                deadline=deadline_of(call),
                kind=kind,
            )
        return await self._jobs.create_from_file(
            model=model,
            file_id=new.file_id,
            display_name=new.display_name,
            priority=new.priority,
            keep_going=call.headers.get(ON_INVALID) == "skip",
            notify=new.notify,
            deadline=deadline_of(call),
            kind=kind,
        )

    @entry("batches.get", "Show a batch", answer=shapes.Operation, refuses=(404,))
    async def get(self, call: Call) -> Response:
        """Show a Job."""
        return await self._shown(call, await self._jobs.get(call.path_params["batch"]))

    @entry(
        "batches.list",
        "List batches",
        description="The results of inline requests are left out.",
        answer=shapes.OperationList,
        query=paging(default=50, most=1000),
    )
    async def list_page(self, call: Call) -> Response:
        """Show a page of Jobs, without the Results of those whose Requests came inline."""
        size = page_size(parameter(call, "pageSize"), default=50, most=1000)
        where = parse_filter(parameter(call, "filter"))
        jobs, token = await self._jobs.list(
            page_size=size, page_token=parameter(call, "pageToken"), where=where
        )
        shown = [
            wire.operation(job, outlook=outlook, spilled=self._spilled(job))
            async for job, outlook in self._with_outlooks(jobs)
        ]
        return await json_answer(call, page("operations", shown, token))

    async def _with_outlooks(self, jobs: list[Job]) -> AsyncIterator[tuple[Job, Outlook]]:
        """Yield Jobs with their outlooks, as far as those cost little."""
        unfinished = 0
        for job in jobs:
            unfinished += not job.state.final
            told = job.state.final or unfinished <= OUTLOOKS_MAX
            yield job, await self._jobs.outlook(job) if told else Outlook()

    @entry(
        "batches.update",
        "Change a batch",
        description=(
            "`updateMask` names what is meant of the body; without it, what is given is meant. The priority, "
            "and whom to tell, can be changed until the batch has ended. The answer is the batch by itself."
        ),
        body=wire.GenerateContentBatch,
        answer=shapes.Batch,
        query=[Parameter("updateMask", "Which fields change, as in `displayName,priority`.")],
        refuses=(404,),
        examples=examples.UPDATE_BATCH,
    )
    async def update(self, call: Call) -> Response:
        """Change a Job, and show it as a batch."""
        async with self._bodies.whole(call) as body:
            change = wire.parse_update(body, parameter(call, "updateMask"))
        job = await self._jobs.change(call.path_params["batch"], change)
        return await json_answer(call, wire.batch(job, outlook=await self._jobs.outlook(job)))

    @entry(
        "batches.cancel",
        "Cancel a batch",
        description="What was answered is published; every other request gets an error result.",
        answer=shapes.Empty,
        refuses=(404,),
    )
    async def cancel(self, call: Call) -> Response:
        """Stop a Job."""
        await self._jobs.cancel(call.path_params["batch"])
        return await json_answer(call, b"{}")

    @entry("batches.delete", "Delete a batch, stopping it first", answer=shapes.Empty, refuses=(404,))
    async def delete(self, call: Call) -> Response:
        """Remove a Job, stopping it first."""
        await self._jobs.delete(call.path_params["batch"])
        return await json_answer(call, b"{}")

    @entry(
        "batches.retry",
        "Try again what failed in a batch",
        description="halfrate's own. The same call again gives the same batch.",
        answer=shapes.Operation,
        headers=[_DEADLINE],
        refuses=(404, 429),
    )
    async def retry(self, call: Call) -> Response:
        """Show the Job that tries again what failed in another, made if there is none yet."""
        deadline = deadline_of(call)
        return await self._shown(
            call, await self._retries.retry(call.path_params["batch"], deadline=deadline)
        )

    async def _shown(self, call: Call, job: Job) -> Response:
        spilled = self._spilled(job)
        if job.input_file is None and wire.has_output(job) and not spilled:
            return await self._shown_with_results(call, job)
        operation = wire.operation(job, outlook=await self._jobs.outlook(job), spilled=spilled)
        return await json_answer(call, bytes(operation))

    def _spilled(self, job: Job) -> bool:
        """Whether a Job's Results are too much to be shown with it: SDKs hold such an answer as a whole."""
        return job.output_bytes > self._inline_results_bytes

    async def _shown_with_results(self, call: Call, job: Job) -> Response:
        outlook = await self._jobs.outlook(job)
        pieces = wire.operation_around_results(job, outlook=outlook)
        try:
            # All opened before anything is sent: they may expire at any moment.
            downloads = [(await self._files.download(output_file_id(job.id)))[1] for _ in pieces[1:]]
        except Forbidden:  # their time has passed
            return await json_answer(call, bytes(wire.operation(job, outlook=outlook)))
        return JsonStream(call, _around_results(pieces, downloads))


async def _around_results(pieces: list[bytes], downloads: list[AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
    yield pieces[0]
    for piece, lines in zip(pieces[1:], downloads, strict=True):
        async for results in _with_commas(lines):
            yield results
        yield piece


async def _with_commas(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield lines of JSON with commas for the newlines between them, in the pieces they come in."""
    newline = b""
    async for piece in lines:
        joined = newline + piece
        newline = b"\n" if joined.endswith(b"\n") else b""
        yield joined.removesuffix(b"\n").replace(b"\n", b",")


def deadline_of(call: Call) -> Deadline | None:
    """Return the deadline a call gives, None if it leaves that to the server."""
    header = call.headers.get(DEADLINE)
    return None if header is None else parse_deadline(header)


def model_named(call: Call) -> str:
    """Return the model in a call's path. Only ``models/`` is served: other kinds are unknown names."""
    kind, model = call.path_params["kind"], call.path_params["model"]
    return str(model) if kind == "models" else f"{kind}/{model}"
