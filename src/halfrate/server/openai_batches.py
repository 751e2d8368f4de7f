"""Routes of OpenAI's dialect: Jobs."""

from __future__ import annotations

from starlette.requests import Request as Call
from starlette.responses import Response

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.job import Notify
from halfrate.domain.kind import Kind
from halfrate.server import examples
from halfrate.server.answers import json_answer
from halfrate.server.batches import ON_INVALID
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Parameter, entry
from halfrate.server.openai_told import Endpoint, listing
from halfrate.service.jobs import Jobs
from halfrate.service.models import Models
from halfrate.service.paging import token_after
from halfrate.wire.openai import batches as wire
from halfrate.wire.openai import shapes
from halfrate.wire.openai.files import list_body, parse_limit
from halfrate.wire.openai.form import Form


class OpenAIBatchRoutes:
    """The Jobs over `halfrate.service.jobs.Jobs`, in OpenAI's dialect."""

    def __init__(self, jobs: Jobs, models: Models, bodies: Bodies) -> None:
        self._jobs = jobs
        self._models = models
        self._bodies = bodies

    def endpoints(self) -> list[tuple[str, str, Endpoint]]:
        """Return what `routes_of` makes routes of."""
        return [
            ("POST", "/batches", self.create),
            ("GET", "/batches", self.list_page),
            ("POST", "/batches/{batch:any}/cancel", self.cancel),
            ("GET", "/batches/{batch:any}", self.get),
        ]

    @entry(
        "createBatch",
        "Create a batch",
        description="From a file of requests, for the model that its first line names. Answers at once.",
        body=wire.CreateBatch,
        answer=shapes.Batch,
        headers=[
            Parameter(ON_INVALID, "`skip`: bad lines become error results instead of refusing the batch.")
        ],
        refuses=(404, 429),
        examples=examples.OPENAI_CREATE_BATCH,
    )
    async def create(self, call: Call, form: Form) -> Response:
        """Accept a Job, and show it. It runs on the model that its first line names."""
        async with self._bodies.whole(call) as body:
            new = wire.parse_create(body)
        file_id = form.file_id(new.input_file)
        job = await self._jobs.create_from_file(
            model=await self._model_of(file_id, new.kind),
            file_id=file_id,
            display_name="",
            priority=0,
            keep_going=call.headers.get(ON_INVALID) == "skip",
            deadline=new.deadline,
            notify=Notify(user_metadata=new.metadata),
            kind=new.kind,
        )
        return await json_answer(call, wire.batch_body(job, form))

    async def _model_of(self, file_id: str, kind: Kind) -> str:
        named = await self._jobs.model_named_first(file_id)
        if named is not None:
            return named
        models = [model for model in self._models.all() if model.kind is kind]
        if len(models) == 1:
            return models[0].name
        raise InvalidArgument("The first line of the file names no model. Write it as body.model.")

    @entry("getBatch", "Show a batch", answer=shapes.Batch)
    async def get(self, call: Call, form: Form) -> Response:
        """Show a Job."""
        job = await self._jobs.get(form.job_id(call.path_params["batch"]))
        return await json_answer(call, wire.batch_body(job, form))

    @entry(
        "listBatches",
        "List batches",
        answer=shapes.BatchList,
        query=listing(default=20, most=100),
        refuses=(404,),
    )
    async def list_page(self, call: Call, form: Form) -> Response:
        """Show a page of Jobs, newest first."""
        size = parse_limit(call.query_params.get("limit"), default=20, most=100)
        after = call.query_params.get("after")
        token = token_after(await self._jobs.get(form.job_id(after))) if after else None
        jobs, more = await self._jobs.list(page_size=size, page_token=token)
        shown = [wire.batch_resource(job, form) for job in jobs]
        return await json_answer(call, list_body(shown, more=more is not None))

    @entry("cancelBatch", "Stop a batch", answer=shapes.Batch)
    async def cancel(self, call: Call, form: Form) -> Response:
        """Stop a Job, and show it."""
        job_id = form.job_id(call.path_params["batch"])
        await self._jobs.cancel(job_id)
        return await json_answer(call, wire.batch_body(await self._jobs.get(job_id), form))
