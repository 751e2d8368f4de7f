"""Routes of OpenAI's dialect: chat completions, and which models there are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import msgspec
from starlette.requests import Request as Call
from starlette.responses import Response

from halfrate.domain.embedding import Embedded
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Answered, Failed, Outcome
from halfrate.server import examples
from halfrate.server.answers import Answer, json_answer
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Answer as Success
from halfrate.server.manual import Media, entry
from halfrate.server.models import new_response_id
from halfrate.server.openai_told import Endpoint, refused
from halfrate.server.presence import while_present
from halfrate.server.streams import EVENTS, EventStream, Writing
from halfrate.service.models import Model, Models
from halfrate.wire.gemini.content import bare_model
from halfrate.wire.gemini.errors import failure
from halfrate.wire.openai import shapes
from halfrate.wire.openai.chat import ChatRequest, read_chat, understand
from halfrate.wire.openai.completions import CompletionStream, completion_body
from halfrate.wire.openai.embeddings import EmbeddingsRequest, embeddings_body, read_embeddings
from halfrate.wire.openai.errors import error_body, read_said
from halfrate.wire.openai.form import Form
from halfrate.wire.openai.models import model_resource


class OpenAIModelRoutes:
    """The models over `halfrate.service.models.Models`, in OpenAI's dialect."""

    def __init__(self, models: Models, bodies: Bodies, *, now: Callable[[], float] = time.time) -> None:
        self._models = models
        self._bodies = bodies
        self._now = now
        self._started_at = now()

    def endpoints(self) -> list[tuple[str, str, Endpoint]]:
        """Return what `routes_of` makes routes of."""
        return [
            ("POST", "/chat/completions", self.complete),
            ("POST", "/embeddings", self.embed),
            ("GET", "/models", self.list_all),
            ("GET", "/models/{model:any}", self.get),
        ]

    @entry(
        "createChatCompletion",
        "Answer one request now",
        description="Ahead of all batches. With `stream` as events.",
        body=ChatRequest,
        answer=Success((shapes.ChatCompletion, Media(EVENTS))),
        refuses=(404, 504),
        examples=examples.CHAT,
    )
    async def complete(self, call: Call, form: Form) -> Response:
        """Answer one Request now, at once or as a stream. If the client goes away, the Engine stops."""
        async with self._bodies.whole(call) as body:
            asked = read_chat(body)
        answerer = self._models.resolve(asked.model)
        request = understand(asked)
        if not asked.stream:
            outcome, _ = await while_present(call, self._models.answer(asked.model, request))
            return await self._answered(call, form, outcome, answerer)
        writing = Writing(call, lambda wrote: self._models.answer(asked.model, request, wrote=wrote))
        if not await writing.begun() and isinstance(failed := (await writing.result())[0], Failed):
            return await self._answered(call, form, failed, answerer)
        return EventStream(self._events(writing, asked, answerer))

    async def _answered(self, call: Call, form: Form, outcome: Outcome, answerer: Model) -> Response:
        if isinstance(outcome, Failed):
            status, said = failure(outcome)
            return refused(form, Answer(said, status=status))
        assert isinstance(outcome, Answered), "a vector for a Request to write"
        body = completion_body(outcome, id=new_response_id(), model=answerer.version, created=self._now())
        return await json_answer(call, body)

    async def _events(
        self, writing: Writing[tuple[Outcome, Model]], asked: ChatRequest, answerer: Model
    ) -> AsyncIterator[bytes]:
        stream = CompletionStream(
            id=new_response_id(),
            model=answerer.version,
            created=self._now(),
            candidates=asked.n or 1,
            include_usage=asked.include_usage,
        )
        try:
            for event in stream.begin():
                yield event
            async for piece in writing.pieces():
                yield b"" if piece is None else stream.piece(piece)
            outcome, _ = await writing.result()
            for event in last_events(stream, outcome):
                yield event
        finally:
            writing.stop()

    @entry(
        "createEmbeddings",
        "Embed texts now",
        body=EmbeddingsRequest,
        answer=shapes.EmbeddingList,
        refuses=(404, 504),
        examples=examples.OPENAI_EMBED,
    )
    async def embed(self, call: Call, form: Form) -> Response:
        """Embed texts."""
        async with self._bodies.whole(call) as body:
            asked = read_embeddings(body)
        answerer = self._models.of_kind(asked.model, Kind.EMBEDDING)
        outcomes = await while_present(call, self._models.embed(asked.model, asked.embeddings))
        embedded = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
        for outcome in outcomes:
            if isinstance(outcome, Failed):
                return await self._answered(call, form, outcome, answerer)
        said = embeddings_body(embedded, model=answerer.version, as_base64=asked.as_base64)
        return await json_answer(call, said)

    @entry("listModels", "List the names of all models", answer=shapes.ModelList)
    async def list_all(self, call: Call, _: Form) -> Response:
        """Show every model, under its own name and every other name that is not a pattern."""
        names = [
            name
            for model in self._models.all()
            for name in (model.name, *(alias for alias in model.aliases if "*" not in alias))
        ]
        shown = [model_resource(name, created=self._started_at) for name in names]
        return await json_answer(call, msgspec.json.encode({"object": "list", "data": shown}))

    @entry("getModel", "Show a model", answer=shapes.Model, refuses=(404,))
    async def get(self, call: Call, _: Form) -> Response:
        """Show one model, under the name the client asked for."""
        name = bare_model(call.path_params["model"])
        self._models.resolve(name)
        return await json_answer(call, msgspec.json.encode(model_resource(name, created=self._started_at)))


def last_events(stream: CompletionStream, outcome: Outcome) -> list[bytes]:
    """Return how a stream ends that has begun."""
    if isinstance(outcome, Answered):
        return [*stream.end(outcome), CompletionStream.DONE]
    # What fails half-way can only be told as an event: the status has been sent.
    assert isinstance(outcome, Failed), "a vector for a Request to write"
    return [error_body(read_said(failure(outcome)[1]))]
