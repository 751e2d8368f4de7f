"""Anthropic's dialect: the Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from halfrate.domain.embedding import Embedding
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest, Request
from halfrate.engines.api import Ability, EngineFacts
from halfrate.engines.upstream.dialect import Call, Fetch, Listener, NoReply, Reply
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.engines.upstream.streams import EventListener
from halfrate.wire.anthropic.asking import (
    VERSION,
    Manner,
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
from halfrate.wire.rejected import Rejected

CONTEXT_TOKENS = 200_000
"""The context of a model of which the server does not say it."""

_ABILITIES = frozenset({Ability.FUNCTIONS, Ability.IMAGES, Ability.CHOICES})


class AnthropicDialect:
    """The Messages API. Until `discover` has returned, nothing can be asked."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._manner = Manner(
            settings.model or "",
            max_tokens=settings.max_tokens,
            cache_ttl=settings.cache_ttl,
            fields=settings.body,
        )
        self._structured = True

    def headers(self) -> Mapping[str, str]:
        """Return who is calling."""
        key = {} if self._settings.key is None else {"x-api-key": self._settings.key}
        return {"anthropic-version": VERSION, **key}

    async def discover(self, fetch: Fetch) -> EngineFacts:
        """Ask what is known of the model."""
        settings = self._settings
        name = settings.model or await self._only_one(fetch)
        found = await self._model(fetch, name)
        thinks = found.thinks
        self._structured = found.structured
        self._manner = replace(
            self._manner,
            model=name,
            max_tokens_limit=found.max_tokens,
            thinks=self._manner.thinks if thinks is None else thinks,
        )
        abilities = _ABILITIES - (set() if found.sees else {Ability.IMAGES})
        abilities -= set() if found.structured else {Ability.CHOICES}
        return EngineFacts(
            model_version=name,
            context_tokens=settings.context_tokens or found.max_input_tokens or CONTEXT_TOKENS,
            default_temperature=1.0,
            lanes=settings.concurrency_max,
            abilities=abilities if settings.abilities is None else settings.abilities,
            thinks=bool(self._manner.thinks - {"disabled"}) if settings.thinks is None else settings.thinks,
        )

    def ask(self, request: AnyRequest, *, streamed: bool) -> Call | Outcome:
        """Return the call that asks for this, or why it cannot be asked."""
        if isinstance(request, Embedding):
            return Failed(Cause.UNSUPPORTED, f"The model {self._manner.model} makes no embeddings.")
        if request.sampling.json_schema is not None and not self._structured:
            return Failed(
                Cause.UNSUPPORTED, f"The model {self._manner.model} cannot be held to a schema. Leave it out."
            )
        body = body_of(request, self._manner, streamed=streamed)
        return body if isinstance(body, Failed) else Call("/messages", body)

    def read(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected:
        """Return what a whole answer says."""
        if reply.status == 200:
            assert isinstance(request, Request), "no vector was asked for"
            return outcome_in(reply.body, request)
        said = failure_of(reply.status, reply.body, reply.headers)
        return Rejected(self._sentence(reply)) if isinstance(said, Rejected) else said

    def listener(self, request: AnyRequest) -> Listener:
        """Return who hears the streamed answer to this."""
        assert isinstance(request, Request), "vectors are not streamed"
        return EventListener(StreamHeard(request))

    async def count_tokens(self, request: AnyRequest, fetch: Fetch) -> int:
        """Return the tokens of the prompt, as the server counts them. Raise `EngineBroken` if it does not."""
        if isinstance(request, Embedding):
            raise EngineBroken(f"The model {self._manner.model} makes no embeddings.")
        reply = await fetch(Call("/messages/count_tokens", count_body(request, self._manner)))
        if isinstance(reply, NoReply):
            raise EngineBroken(reply.detail)
        tokens = counted(reply.body) if reply.status == 200 else None
        if tokens is None:
            raise EngineBroken(f"{self._settings.urls[0]} counts no tokens: {self._sentence(reply)}")
        return tokens

    async def _model(self, fetch: Fetch, name: str) -> ModelRead:
        """Return what is said of a model. A server that knows no models has the one that is asked."""
        reply = await self._answered(fetch, f"/models/{name}")
        if reply.status == 200:
            return model_in(reply.body) or ModelRead()
        said = failure_of(reply.status, reply.body)
        if reply.status == 404 and b"not_found_error" not in reply.body:
            return ModelRead()
        if isinstance(said, Rejected) or said.cause is Cause.INVALID:
            raise EngineBroken(self._sentence(reply))
        raise Unreachable(self._sentence(reply))

    async def _only_one(self, fetch: Fetch) -> str:
        reply = await self._answered(fetch, "/models?limit=1000")
        names = [each.id for each in models_in(reply.body) or []] if reply.status == 200 else []
        if len(names) != 1:
            raise EngineBroken(
                f"{self._settings.urls[0]} has the models: {', '.join(names[:20]) or 'none'}. "
                "Name the one to ask in upstream.model."
            )
        return names[0]

    async def _answered(self, fetch: Fetch, path: str) -> Reply:
        reply = await fetch(Call(path))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        return reply

    def _sentence(self, reply: Reply) -> str:
        said = failure_of(reply.status, reply.body)
        why = said.why if isinstance(said, Rejected) else said.detail
        told = f"{self._settings.urls[0]} answered {reply.status}: {why}"
        if reply.status not in {401, 402, 403}:
            return told
        if self._settings.key_env is None:
            return f"{told} Name the environment variable with the key in key_env."
        return f"{told} Check the key in the environment variable {self._settings.key_env}."
