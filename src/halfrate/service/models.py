"""The models that are served: which Engine answers to a name, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from halfrate.domain.errors import EngineBroken, NotFound, Unavailable
from halfrate.domain.outcome import Outcome
from halfrate.domain.request import Request
from halfrate.engines.api import Engine, EngineFacts, EngineState, Wrote
from halfrate.metering.price import Price


@dataclass(frozen=True, slots=True)
class Model:
    """One model that is served.

    ``version`` names what really answers, in every response. ``aliases`` are further names a client may
    ask for; ``*`` in one stands for anything. ``description`` is the owner's sentence about it.
    """

    name: str
    version: str
    engine: Engine
    price: Price
    aliases: tuple[str, ...]
    description: str = ""

    def answers_to(self, name: str) -> bool:
        """Whether a client may ask for this model as ``name``."""
        return name == self.name or any(fnmatchcase(name, alias) for alias in self.aliases)


class Models:
    """Every model that is served."""

    def __init__(self, models: Sequence[Model]) -> None:
        self._models = tuple(models)

    def all(self) -> tuple[Model, ...]:
        """Return the models, in the order they were configured."""
        return self._models

    def resolve(self, name: str) -> Model:
        """Return the model that answers to ``name``, with or without ``models/`` in front.

        A model's own name goes before another one's alias. Raise `NotFound` if there is none.
        """
        bare = name.removeprefix("models/")
        for model in (*(m for m in self._models if m.name == bare), *self._models):
            if model.answers_to(bare):
                return model
        names = ", ".join(sorted({n for m in self._models for n in (m.name, *m.aliases)}))
        raise NotFound(
            f"models/{bare} is not found. This server answers to: {names}. Call ListModels to see the models."
        )

    def named(self, name: str) -> Model | None:
        """Return the model configured as ``name``, as a Job remembers it; None if it is served no more."""
        return next((model for model in self._models if model.name == name), None)

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
        """Answer one interactive Request, ahead of all Jobs. Raise `NotFound` or `Unavailable`.

        ``wrote`` is called with each piece of the answer as it is written.
        """
        model = self.resolve(name)
        await self._wait_for(model)
        return await model.engine.answer(request, interactive=True, wrote=wrote), model

    async def count_tokens(self, name: str, request: Request) -> int:
        """Count the tokens of a rendered prompt. Raise `NotFound` or `Unavailable`."""
        model = self.resolve(name)
        await self._wait_for(model)
        return await model.engine.count_tokens(request)

    async def _wait_for(self, model: Model) -> EngineFacts:
        try:
            return await model.engine.ready()
        except EngineBroken as error:
            raise Unavailable(str(error)) from None
