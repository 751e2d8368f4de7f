"""OpenAI's dialect, as the many servers speak it that are compatible with it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Delta, Failed, Outcome
from halfrate.domain.request import AnyRequest, Request
from halfrate.engines.api import Ability, EngineFacts
from halfrate.engines.upstream.dialect import Call, Fetch, Listener, NoReply, Reply
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.wire.openai.asking import Manner, Server, chat_body, embeddings_body
from halfrate.wire.openai.faults import names_no_model, out_of_quota, read_fault
from halfrate.wire.openai.heard import Said, completion_outcome, embedding_outcome, failure, unreadable
from halfrate.wire.rejected import Rejected
from halfrate.wire.sse import Events

LOGPROBS_MAX = 20
CONTEXT_TOKENS_UNKNOWN = 1 << 20
"""The context of a model whose server does not tell: nothing is refused for its length before it is asked."""

BYTES_PER_TOKEN = 3.5
MESSAGE_TOKENS = 4
DONE = b"[DONE]"


class OpenAIDialect:
    """Chat completions and embeddings. Until `discover` has returned, nothing can be asked."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._manner = Manner(settings.model or "")

    def headers(self) -> Mapping[str, str]:
        """Return who is calling."""
        return {} if self._settings.key is None else {"Authorization": f"Bearer {self._settings.key}"}

    async def discover(self, fetch: Fetch) -> EngineFacts:
        """Ask which models there are, which server it is, and how long a context it has."""
        listed = await self._list(fetch)
        model = self._chosen(listed)
        server = Server(self._settings.server) if self._settings.server else _server_of(listed)
        self._manner = Manner(
            model, server=server, thinks=bool(self._settings.thinks), fields=self._settings.body
        )
        context = self._settings.context_tokens or _context_of(listed, model) or CONTEXT_TOKENS_UNKNOWN
        dimensions = await self._dimensions(fetch) if self._settings.kind is Kind.EMBEDDING else 0
        abilities = self._settings.abilities
        return EngineFacts(
            model_version=model,
            context_tokens=context,
            default_temperature=1.0,
            lanes=self._settings.concurrency_max,
            abilities=_ABILITIES - _UNABLE.get(server, frozenset()) if abilities is None else abilities,
            logprobs_max=LOGPROBS_MAX,
            thinks=bool(self._settings.thinks),
            dimensions=dimensions,
        )

    def ask(self, request: AnyRequest, *, streamed: bool) -> Call | Outcome:
        """Return the call that asks for this."""
        if isinstance(request, Embedding):
            return Call("/embeddings", embeddings_body(request, self._manner))
        body = chat_body(request, self._manner, streamed=streamed)
        return body if isinstance(body, Failed) else Call("/chat/completions", body)

    def read(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected:
        """Return what a whole answer says."""
        if reply.status != 200:
            return self._failed(reply)
        if isinstance(request, Embedding):
            return embedding_outcome(reply.body)
        return completion_outcome(reply.body, request)

    def listener(self, request: AnyRequest) -> Listener:
        """Return who hears the streamed answer to this."""
        assert isinstance(request, Request), "vectors are not streamed"
        return _Stream(Said(request))

    async def count_tokens(self, request: AnyRequest, fetch: Fetch) -> int:
        """Return an estimate."""
        if isinstance(request, Embedding):
            return 1 + round(len(request.text.encode()) / BYTES_PER_TOKEN)
        chars = sum(len(message.text.encode()) for message in request.messages)
        return MESSAGE_TOKENS * len(request.messages) + round(chars / BYTES_PER_TOKEN)

    def _failed(self, reply: Reply) -> Outcome | Rejected:
        fault = read_fault(reply.body)
        if reply.status == 401 or out_of_quota(reply.status, fault) or names_no_model(reply.status, fault):
            return Rejected(self._refusal(reply))
        return failure(reply.status, fault)

    def _refusal(self, reply: Reply) -> str:
        said = read_fault(reply.body).message
        told = f"{self._settings.urls[0]} answered {reply.status}" + (f": {said}" if said else ".")
        if reply.status not in {401, 403}:
            return told
        if self._settings.key_env is None:
            return f"{told} Name the environment variable with the key in key_env."
        return f"{told} Check the key in the environment variable {self._settings.key_env}."

    async def _list(self, fetch: Fetch) -> list[_Listed]:
        reply = await fetch(Call("/models"))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        if reply.status in {404, 405} and self._settings.model:
            return []  # a server that lists no models is asked for the one it is said to have
        if reply.status in {401, 403, 404, 405}:
            raise EngineBroken(self._refusal(reply))
        if reply.status != 200:
            raise Unreachable(self._refusal(reply))
        try:
            return _LISTED.decode(reply.body).data or []
        except (ValueError, RecursionError) as error:
            raise EngineBroken(
                f"{self._settings.urls[0]}/models is no list of models: {error}. Check the URL: it mostly "
                "ends in /v1."
            ) from None

    def _chosen(self, listed: list[_Listed]) -> str:
        ids = [each.id for each in listed]
        wanted = self._settings.model
        if wanted is None and len(ids) == 1:
            return ids[0]
        if wanted is not None and (not ids or wanted in ids or f"{wanted}:latest" in ids):
            return wanted
        has = f"{self._settings.urls[0]} has the models: {', '.join(ids[:20]) or 'none'}."
        if wanted is None:
            raise EngineBroken(f"{has} Name the one to ask in upstream.model.")
        raise EngineBroken(f"{has} There is no {wanted} among them.")

    async def _dimensions(self, fetch: Fetch) -> int:
        probe = Embedding("dimensions")
        reply = await fetch(Call("/embeddings", embeddings_body(probe, self._manner)))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        outcome = self.read(probe, reply)
        if not isinstance(outcome, Embedded):
            raise EngineBroken(f"{self._manner.model} makes no embeddings: {self._refusal(reply)}")
        return len(outcome.values)


class _Stream:
    """Hears the chunks of a completion."""

    def __init__(self, said: Said) -> None:
        self._said = said
        self._events = Events()
        self._flaw = ""
        self.done = False

    def hear(self, data: bytes) -> list[Delta]:
        """Take bytes as they come, and return the pieces that are complete."""
        return self._told(self._events.feed(data))

    def outcome(self) -> Outcome:
        """Return what all of it says together."""
        self._told(self._events.end())
        return unreadable(self._flaw) if self._flaw else self._said.outcome()

    def _told(self, events: list[bytes]) -> list[Delta]:
        deltas: list[Delta] = []
        for event in events:
            if self.done:
                break
            if event == DONE:
                self.done = True
                break
            try:
                deltas += self._said.add(event)
            except ValueError as error:
                self._flaw, self.done = str(error), True
        return deltas


class _Meta(msgspec.Struct):
    n_ctx: int | None = None


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None
    meta: _Meta | None = None


class _List(msgspec.Struct):
    data: list[_Listed] | None = None


_LISTED = msgspec.json.Decoder(_List)


_OWNERS = {
    "vllm": Server.VLLM,
    "sglang": Server.SGLANG,
    "llamacpp": Server.LLAMA_SERVER,
    "library": Server.OLLAMA,
    "organization_owner": Server.LM_STUDIO,
    "halfrate": Server.HALFRATE,
    "openai": Server.OPENAI,
    "system": Server.OPENAI,
}

_ABILITIES = frozenset(Ability)
_UNABLE = {
    Server.OLLAMA: frozenset({Ability.CANDIDATES, Ability.LOGPROBS}),
    Server.LM_STUDIO: frozenset({Ability.CANDIDATES, Ability.LOGPROBS}),
}


def _server_of(listed: list[_Listed]) -> Server:
    return _OWNERS.get((listed[0].owned_by or "").lower(), Server.OTHER) if listed else Server.OTHER


def _context_of(listed: list[_Listed], model: str) -> int | None:
    found = next((each for each in listed if each.id == model), None)
    if found is None:
        return None
    return found.max_model_len or (found.meta.n_ctx if found.meta is not None else None)
