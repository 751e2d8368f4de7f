"""The Gemini API's dialect: Google's own service, or another halfrate."""

from __future__ import annotations

from collections.abc import Mapping

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.engines.api import Ability, EngineFacts
from halfrate.engines.upstream.dialect import Call, Fetch, Listener, NoReply, Reply
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.engines.upstream.streams import EventListener
from halfrate.wire.gemini.asking import (
    ModelRead,
    StreamHeard,
    body_of,
    count_body,
    counted,
    failure_of,
    model_in,
    models_in,
    outcome_in,
)
from halfrate.wire.gemini.generation_config import LOGPROBS_MAX
from halfrate.wire.rejected import Rejected


class GeminiDialect:
    """``generateContent`` and ``embedContent``. Until `discover` has returned, nothing can be asked."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._model = settings.model or ""

    @property
    def model(self) -> str:
        """The name of the model at the server, without ``models/``."""
        return self._model

    def headers(self) -> Mapping[str, str]:
        """Return who is calling."""
        return {} if self._settings.key is None else {"x-goog-api-key": self._settings.key}

    async def discover(self, fetch: Fetch) -> EngineFacts:
        """Ask what is known of the model."""
        settings = self._settings
        self._model = settings.model or await self._only_one(fetch)
        found = model_in(await self._told(fetch, f"/models/{self._model}"))
        if found is None:
            raise EngineBroken(
                f"{settings.urls[0]}/models/{self._model} is no model. Check the URL: it mostly ends in "
                "/v1beta."
            )
        return EngineFacts(
            model_version=self._model,
            context_tokens=settings.context_tokens or found.input_token_limit or 1 << 20,
            default_temperature=1.0 if found.temperature is None else found.temperature,
            lanes=settings.concurrency_max,
            abilities=frozenset(Ability) if settings.abilities is None else settings.abilities,
            logprobs_max=LOGPROBS_MAX,
            thinks=found.thinking if settings.thinks is None else settings.thinks,
            dimensions=await self._dimensions(fetch) if settings.kind is Kind.EMBEDDING else 0,
        )

    def ask(self, request: AnyRequest, *, streamed: bool) -> Call | Outcome:
        """Return the call that asks for this."""
        verb = "generateContent"
        if isinstance(request, Embedding):
            verb = "embedContent"
        elif streamed:
            verb = "streamGenerateContent?alt=sse"
        body = body_of(request, self._settings.body)
        return body if isinstance(body, Failed) else Call(f"/models/{self._model}:{verb}", body)

    def read(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected:
        """Return what a whole answer says."""
        if reply.status == 200:
            return outcome_in(reply.body, request)
        return self._failed(reply)

    def listener(self, request: AnyRequest) -> Listener:
        """Return who hears the streamed answer to this."""
        return EventListener(StreamHeard(request))

    async def count_tokens(self, request: AnyRequest, fetch: Fetch) -> int:
        """Return the tokens of the prompt, as the server counts them. Raise `EngineBroken` if it does not."""
        path = f"/models/{self._model}:countTokens"
        reply = await fetch(Call(path, count_body(request, model=self._model)))
        if isinstance(reply, NoReply):
            raise EngineBroken(reply.detail)
        tokens = counted(reply.body) if reply.status == 200 else None
        if tokens is None:
            raise EngineBroken(f"{self._settings.urls[0]} counts no tokens: {self._sentence(reply)}")
        return tokens

    def _failed(self, reply: Reply) -> Outcome | Rejected:
        said = failure_of(reply.status, reply.body, reply.headers)
        if isinstance(said, Rejected) or reply.status == 404:
            return Rejected(self._sentence(reply))
        return said

    def _sentence(self, reply: Reply) -> str:
        said = failure_of(reply.status, reply.body)
        why = said.why if isinstance(said, Rejected) else said.detail
        told = f"{self._settings.urls[0]} answered {reply.status}: {why}"
        return f"{told} {_key_advice(self._settings)}" if isinstance(said, Rejected) else told

    async def _told(self, fetch: Fetch, path: str) -> bytes:
        reply = await fetch(Call(path))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        if reply.status == 200:
            return reply.body
        said = failure_of(reply.status, reply.body)
        if isinstance(said, Rejected) or said.cause is Cause.INVALID:
            raise EngineBroken(self._sentence(reply))
        raise Unreachable(self._sentence(reply))

    async def _only_one(self, fetch: Fetch) -> str:
        listed: list[ModelRead] = models_in(await self._told(fetch, "/models?pageSize=1000")) or []
        names = [each.name.removeprefix("models/") for each in listed]
        if len(names) != 1:
            raise EngineBroken(
                f"{self._settings.urls[0]} has the models: {', '.join(names[:20]) or 'none'}. "
                "Name the one to ask in upstream.model."
            )
        return names[0]

    async def _dimensions(self, fetch: Fetch) -> int:
        probe = Embedding("dimensions")
        call = self.ask(probe, streamed=False)
        assert isinstance(call, Call)
        reply = await fetch(call)
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        outcome = self.read(probe, reply)
        if not isinstance(outcome, Embedded):
            raise EngineBroken(f"{self._model} makes no embeddings: {self._sentence(reply)}")
        return len(outcome.values)


def _key_advice(settings: UpstreamSettings) -> str:
    if settings.key_env is None:
        return "Name the environment variable with the key in key_env."
    return f"Check the key in the environment variable {settings.key_env}, and the account behind it."
