"""Routes of the models: interactive calls, and which models there are."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import Unavailable
from halfrate.domain.outcome import Answered, Failed, Outcome
from halfrate.server import examples
from halfrate.server.answers import Answer, json_answer
from halfrate.server.batches import model_named
from halfrate.server.bodies import Bodies
from halfrate.server.manual import Answer as Success
from halfrate.server.manual import Media, Parameter, entry, paging
from halfrate.server.paths import V, parameter
from halfrate.server.presence import while_present
from halfrate.server.schemas import REF
from halfrate.server.streams import EVENTS, ArrayStream, EventStream, Writing
from halfrate.service.models import Model, Models
from halfrate.wire.gemini import embeddings, errors, shapes
from halfrate.wire.gemini import models as wire
from halfrate.wire.gemini.content import GenerateContentRequest, bare_model
from halfrate.wire.gemini.pages import page, page_size
from halfrate.wire.gemini.responses import GenerateContentResponse

_PIECES = Media("application/json", {"type": "array", "items": {"$ref": f"{REF}GenerateContentResponse"}})
_EVENTS = Media(EVENTS, {"type": "string"})


class ModelRoutes:
    """The models over `halfrate.service.models.Models`."""

    def __init__(self, models: Models, bodies: Bodies) -> None:
        self._models = models
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """Return every route of this resource."""
        one = f"{V}/{{kind:id}}/{{model:model}}"
        return [
            Route(f"{one}:generateContent", self.generate, methods=["POST"]),
            Route(f"{one}:streamGenerateContent", self.stream, methods=["POST"]),
            Route(f"{one}:embedContent", self.embed, methods=["POST"]),
            Route(f"{one}:batchEmbedContents", self.embed_batch, methods=["POST"]),
            Route(f"{one}:countTokens", self.count_tokens, methods=["POST"]),
            Route(f"{V}/models", self.list_page, methods=["GET"]),
            Route(f"{V}/tunedModels", self.list_tuned, methods=["GET"]),
            Route(f"{V}/models/{{model:model}}", self.get, methods=["GET"]),
        ]

    @entry(
        "models.generateContent",
        "Answer one request now",
        description="Ahead of all batches. If the client goes away, the model stops working on it.",
        body=GenerateContentRequest,
        answer=GenerateContentResponse,
        refuses=(404, 504),
        examples=examples.GENERATE,
    )
    async def generate(self, call: Call) -> Response:
        """Answer one Request now. If the client goes away, the Engine stops working on it."""
        model = model_named(call)
        self._models.resolve(model)
        async with self._bodies.whole(call) as body:
            request = wire.parse_generate(body, model=model)
        return await self._answered(call, *await while_present(call, self._models.answer(model, request)))

    @entry(
        "models.streamGenerateContent",
        "Answer one request now, piece by piece",
        description="As events with `alt=sse`, which SDKs send; else as the entries of a list.",
        body=GenerateContentRequest,
        answer=Success((_PIECES, _EVENTS), "The pieces, as the model writes them."),
        query=[Parameter("alt", "`sse` for events.")],
        refuses=(404, 504),
        examples=examples.STREAM,
    )
    async def stream(self, call: Call) -> Response:
        """Answer one Request now, piece by piece as the model writes.

        What fails before the first piece is answered as `generate` does it.
        """
        model = model_named(call)
        answerer = self._models.resolve(model)
        async with self._bodies.whole(call) as body:
            request = wire.parse_generate(body, model=model)
        writing = Writing(call, lambda wrote: self._models.answer(model, request, wrote=wrote))
        as_events = call.query_params.get("alt") == "sse"
        if not await writing.begun() and isinstance((await writing.result())[0], Failed):
            return await self._answered(call, *await writing.result())
        messages = _messages(writing, answerer.version)
        return EventStream(messages) if as_events else ArrayStream(messages)

    async def _answered(self, call: Call, outcome: Outcome, answerer: Model) -> Response:
        if isinstance(outcome, Failed):
            status, said = errors.failure(outcome)
            return Answer(said, status=status)
        assert isinstance(outcome, Answered), "a vector for a Request to write"
        answer = wire.generated(outcome, model_version=answerer.version, response_id=new_response_id())
        return await json_answer(call, answer)

    @entry(
        "models.embedContent",
        "Embed one text",
        body=embeddings.EmbedContentRequest,
        answer=shapes.EmbedContentResponse,
        refuses=(404, 501, 504),
        examples=examples.EMBED,
    )
    async def embed(self, call: Call) -> Response:
        """Make the vector of one text."""
        model = model_named(call)
        self._models.resolve(model)
        async with self._bodies.whole(call) as body:
            embedding = embeddings.parse_embed(body, model=model)
        return await self._embedded(call, model, [embedding], lambda made: embeddings.embedded_body(made[0]))

    @entry(
        "models.batchEmbedContents",
        "Embed several texts",
        body=embeddings.BatchEmbedContentsRequest,
        answer=shapes.BatchEmbedContentsResponse,
        refuses=(404, 501, 504),
        examples=examples.EMBED_BATCH,
    )
    async def embed_batch(self, call: Call) -> Response:
        """Make the vectors of some texts."""
        model = model_named(call)
        self._models.resolve(model)
        async with self._bodies.whole(call) as body:
            asked = embeddings.parse_batch_embed(body, model=model)
        return await self._embedded(call, model, asked, embeddings.batch_embedded_body)

    async def _embedded(
        self,
        call: Call,
        model: str,
        asked: list[Embedding],
        encode: Callable[[list[Embedded]], bytes],
    ) -> Response:
        """Answer with what ``encode`` makes of the vectors, or with the first failure: all or nothing."""
        outcomes = await while_present(call, self._models.embed(model, asked))
        made = [outcome for outcome in outcomes if isinstance(outcome, Embedded)]
        if len(made) == len(asked):
            return await json_answer(call, encode(made))
        failed = next(outcome for outcome in outcomes if isinstance(outcome, Failed))
        status, said = errors.failure(failed)
        return Answer(said, status=status)

    @entry(
        "models.countTokens",
        "Count the tokens of a prompt",
        body=wire.CountTokensRequest,
        answer=shapes.CountTokensResponse,
        refuses=(404,),
        examples=examples.COUNT_TOKENS,
    )
    async def count_tokens(self, call: Call) -> Response:
        """Count the tokens of a prompt."""
        model = model_named(call)
        self._models.resolve(model)
        async with self._bodies.whole(call) as body:
            request = wire.parse_count_tokens(body, model=model)
        counted = await while_present(call, self._models.count_tokens(model, request))
        return await json_answer(call, wire.tokens_counted(counted.total, cached=counted.cached))

    @entry("models.list", "List models", answer=shapes.ModelList, query=paging(default=50, most=1000))
    async def list_page(self, call: Call) -> Response:
        """Show a page of models: each under its own name and every other name that is not a pattern."""
        shown = [
            wire.model_resource(await self._facts(model, name))
            for model in self._models.all()
            for name in (model.name, *(alias for alias in model.aliases if "*" not in alias))
        ]
        size = page_size(parameter(call, "pageSize"), default=50, most=1000)
        start = page_size(call.query_params.get("pageToken"), default=0, most=len(shown))
        stop = start + size
        token = str(stop) if stop < len(shown) else None
        return await json_answer(call, page("models", shown[start:stop], token))

    @entry("models.listTuned", "List tuned models: there are none", answer=shapes.TunedModelList)
    async def list_tuned(self, call: Call) -> Response:
        """Show no models: none are tuned here."""
        return await json_answer(call, page("tunedModels", [], None))

    @entry("models.get", "Show a model", answer=shapes.Model, refuses=(404,))
    async def get(self, call: Call) -> Response:
        """Show one model, under the name the client asked for."""
        name = call.path_params["model"]
        facts = await self._facts(self._models.resolve(name), name)
        return await json_answer(call, wire.model_body(facts))

    async def _facts(self, model: Model, name: str) -> wire.ModelFacts:
        try:
            facts = await self._models.facts(model)
        except Unavailable as error:
            return wire.ModelFacts(name, model.version, "", str(error), None, None, model.kind)
        return wire.ModelFacts(
            name=name,
            version=model.version,
            display_name="",
            description=_description(model, bare_model(name)),
            context_tokens=facts.context_tokens,
            default_temperature=facts.default_temperature,
            kind=model.kind,
            thinks=facts.thinks,
        )


def new_response_id() -> str:
    """Return an id that no other response has."""
    return secrets.token_urlsafe(12)


async def _messages(writing: Writing[tuple[Outcome, Model]], version: str) -> AsyncIterator[bytes]:
    """Yield what a stream says: each piece, and at last how the answer ended and what it took."""
    stream = wire.GeneratedStream(model_version=version, response_id=new_response_id())
    try:
        async for piece in writing.pieces():
            yield b"" if piece is None else stream.piece(piece)
        outcome, _ = await writing.result()
        yield stream.end(outcome)
    finally:
        writing.stop()


def _description(model: Model, name: str) -> str:
    """Say which local model stands behind a name, which names it has, and what its owner says of it."""
    if name != model.name:
        who = f"The local model {model.name}, under the name {name}."
    elif model.aliases:
        who = f"The local model {model.name}. It answers to {', '.join(model.aliases)} too."
    else:
        who = f"The local model {model.name}."
    return f"{who} {model.description}".rstrip()
