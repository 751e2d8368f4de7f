"""OpenAI's dialect, as the many servers speak it that are compatible with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard, TypeVar

import msgspec

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Delta, Failed, Outcome
from halfrate.domain.request import AnyRequest, Message, Request, Role
from halfrate.engines.api import Ability, EngineFacts
from halfrate.engines.upstream.dialect import Call, Fetch, Instead, Listener, NoReply, Reply
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.wire.openai.asking import Manner, Server, chat_body, embeddings_body, prompt_body
from halfrate.wire.openai.faults import bound_too_large, locked_out, names_no_model, out_of_quota, read_fault
from halfrate.wire.openai.heard import Said, completion_outcome, embedding_outcome, failure, unreadable
from halfrate.wire.rejected import Rejected
from halfrate.wire.retry_after import retry_after_of
from halfrate.wire.sse import Events

LOGPROBS_MAX = 20
CONTEXT_TOKENS_UNKNOWN = 1 << 20
"""The context of a model whose server does not tell: nothing is refused for its length before it is asked."""

BYTES_PER_TOKEN = 3.5
MESSAGE_TOKENS = 4
MODELS_TOLD = 20
DONE = b"[DONE]"


class OpenAIDialect:
    """Chat completions and embeddings. Until `discover` has returned, nothing can be asked."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._url = settings.urls[0]
        self._manner = Manner(settings.model or "")
        self._counts_exactly = False

    def headers(self) -> Mapping[str, str]:
        """Return who is calling."""
        return {} if self._settings.key is None else {"Authorization": f"Bearer {self._settings.key}"}

    async def discover(self, fetch: Fetch) -> EngineFacts:
        """Ask which models there are, which server it is, and how long a context it has."""
        listed = await self._list(fetch)
        model = self._chosen(listed)
        server = Server(self._settings.server) if self._settings.server else _server_of(listed)
        props = await self._props(fetch) if server is Server.LLAMA_SERVER else None
        context = self._settings.context_tokens or _context_of(listed, model, props)
        self._manner = Manner(
            model,
            server=server,
            thinks=bool(self._settings.thinks),
            context_tokens=context,
            fields=self._settings.body,
        )
        self._counts_exactly = await self._count(_PROBE, fetch) is not None
        embeds = self._settings.kind is Kind.EMBEDDING
        abilities = self._settings.abilities
        return EngineFacts(
            model_version=model,
            context_tokens=context or CONTEXT_TOKENS_UNKNOWN,
            default_temperature=self._temperature(props),
            lanes=self._settings.concurrency_max,
            abilities=_abilities(server, props) if abilities is None else abilities,
            logprobs_max=LOGPROBS_MAX,
            thinks=bool(self._settings.thinks),
            dimensions=await self._dimensions(fetch) if embeds else 0,
            counts_exactly=self._counts_exactly,
        )

    def ask(self, request: AnyRequest, *, streamed: bool) -> Call | Outcome:
        """Return the call that asks for this."""
        if isinstance(request, Embedding):
            path, body = "/embeddings", embeddings_body(request, self._manner)
        else:
            path, body = "/chat/completions", chat_body(request, self._manner, streamed=streamed)
        return body if isinstance(body, Failed) else Call(path, body)

    def read(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected | Instead:
        """Return what a whole answer says."""
        if reply.status != 200:
            return self._failed(request, reply)
        if isinstance(request, Embedding):
            return embedding_outcome(reply.body)
        return completion_outcome(reply.body, request)

    def listener(self, request: AnyRequest) -> Listener:
        """Return who hears the streamed answer to this."""
        assert isinstance(request, Request), "vectors are not streamed"
        return _Stream(Said(request))

    async def count_tokens(self, request: AnyRequest, fetch: Fetch) -> int:
        """Ask vLLM and llama-server; of all others, estimate by the length of the text."""
        counted = await self._count(request, fetch) if self._counts_exactly else None
        return _estimate(request) if counted is None else counted

    # --- what failed

    def _failed(self, request: AnyRequest, reply: Reply) -> Outcome | Rejected | Instead:
        fault = read_fault(reply.body)
        if locked_out(reply.status, fault) or out_of_quota(reply.status, fault):
            return Rejected(self._told(reply))
        if names_no_model(reply.status, fault):
            return Rejected(self._told(reply))
        if _is_bounded(request) and bound_too_large(reply.status, fault):
            # Without a bound of ours the server stops where the context ends, which is nearer.
            return Instead(replace(request, sampling=replace(request.sampling, max_output_tokens=None)))
        return failure(reply.status, fault, retry_after_seconds=retry_after_of(reply.headers))

    def _told(self, reply: Reply) -> str:
        """Return what the server said, and what to do where that is known."""
        said = read_fault(reply.body).message.rstrip(".")
        told = f"{self._url} answered {reply.status}" + (f": {said}." if said else ".")
        if reply.status not in {401, 403}:
            return told
        if self._settings.key_env is None:
            return f"{told} Name the environment variable that has the key in key_env."
        return f"{told} Check the key in the environment variable {self._settings.key_env}."

    # --- what the server is

    async def _list(self, fetch: Fetch) -> list[_Listed]:
        reply = await fetch(Call("/models"))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        if reply.status in {404, 405} and self._settings.model:
            return []  # a server that lists no models is asked for the one it is said to have
        if reply.status in {401, 403, 404, 405}:
            raise EngineBroken(self._told(reply))
        if reply.status != 200:
            raise Unreachable(self._told(reply))
        try:
            return _LISTED.decode(reply.body).data or []
        except (ValueError, RecursionError) as error:
            raise EngineBroken(
                f"{self._url}/models is no list of models: {error}. Check the URL: it mostly ends in /v1."
            ) from None

    def _chosen(self, listed: list[_Listed]) -> str:
        ids = [each.id for each in listed]
        wanted = self._settings.model
        if wanted is None and len(ids) == 1:
            return ids[0]
        if wanted is not None and (not ids or wanted in ids or f"{wanted}:latest" in ids):
            return wanted
        has = f"{self._url} has the models: {', '.join(ids[:MODELS_TOLD]) or 'none'}."
        if wanted is None:
            raise EngineBroken(f"{has} Name the one to ask in upstream.model.")
        raise EngineBroken(f"{has} There is no {wanted} among them.")

    async def _props(self, fetch: Fetch) -> _Props | None:
        """Return what llama-server tells of itself."""
        reply = await fetch(Call("/props", from_root=True))
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        if reply.status in {401, 403}:  # unlike the list of models, these are for those with a key
            raise EngineBroken(self._told(reply))
        return _read(_PROPS, reply)

    async def _dimensions(self, fetch: Fetch) -> int:
        probe = Embedding("dimensions")
        call = self.ask(probe, streamed=False)
        assert isinstance(call, Call), "it is a plain text"
        reply = await fetch(call)
        if isinstance(reply, NoReply):
            raise Unreachable(reply.detail)
        outcome = self.read(probe, reply)
        if not isinstance(outcome, Embedded):
            raise EngineBroken(f"{self._manner.model} makes no embeddings. {self._told(reply)}")
        return len(outcome.values)

    def _temperature(self, props: _Props | None) -> float:
        """Return what a Request without a temperature is decoded with."""
        configured = self._settings.body.get("temperature")
        if isinstance(configured, int | float):
            return float(configured)
        return 1.0 if props is None else props.default_generation_settings.params.temperature

    # --- how long a prompt is

    async def _count(self, request: AnyRequest, fetch: Fetch) -> int | None:
        """Return what the server counts, None if it does not."""
        if isinstance(request, Embedding):
            return None
        match self._manner.server:
            case Server.VLLM:
                return await self._count_by_vllm(request, fetch)
            case Server.LLAMA_SERVER:
                return await self._count_by_llama_server(request, fetch)
            case _:
                return None

    async def _count_by_vllm(self, request: Request, fetch: Fetch) -> int | None:
        asked = prompt_body(request, self._manner, add_generation_prompt=True)
        if isinstance(asked, Failed):
            return None
        counted = _read(_COUNTED, await fetch(Call("/tokenize", asked, from_root=True)))
        return counted.count if counted is not None else None

    async def _count_by_llama_server(self, request: Request, fetch: Fetch) -> int | None:
        asked = prompt_body(request, self._manner)
        if isinstance(asked, Failed):
            return None
        rendered = _read(_RENDERED, await fetch(Call("/apply-template", asked, from_root=True)))
        if rendered is None:
            return None
        text = msgspec.json.encode({"content": rendered.prompt, "add_special": True, "parse_special": True})
        tokens = _read(_TOKENS, await fetch(Call("/tokenize", text, from_root=True)))
        return len(tokens.tokens) if tokens is not None else None


def _is_bounded(request: AnyRequest) -> TypeGuard[Request]:
    return isinstance(request, Request) and request.sampling.max_output_tokens is not None


_PROBE = Request((Message(Role.USER, "Hello"),))


def _estimate(request: AnyRequest) -> int:
    if isinstance(request, Embedding):
        return 1 + round(len(request.text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN)
    said = [message.text for message in request.messages]
    said += [call.name + call.arguments for message in request.messages for call in message.calls]
    said += [each.response for message in request.messages for each in message.returns]
    declared = request.functions.declarations if request.functions is not None else ()
    said += [f"{each.name}{each.description}{each.parameters or ''}" for each in declared]
    size = sum(len(text.encode(errors="surrogatepass")) for text in said)
    return MESSAGE_TOKENS * len(request.messages) + round(size / BYTES_PER_TOKEN)


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


# What servers say of themselves -----------------------------------------------------------------------


class _Listed(msgspec.Struct):
    id: str
    owned_by: str | None = None
    max_model_len: int | None = None


class _List(msgspec.Struct):
    data: list[_Listed] | None = None


class _Params(msgspec.Struct):
    temperature: float = 1.0


class _Settings(msgspec.Struct):
    params: _Params = msgspec.field(default_factory=_Params)
    n_ctx: int | None = None  # of one slot: it shares the whole out among them


class _Modalities(msgspec.Struct):
    vision: bool = False


class _Props(msgspec.Struct):
    default_generation_settings: _Settings = msgspec.field(default_factory=_Settings)
    modalities: _Modalities = msgspec.field(default_factory=_Modalities)


class _Counted(msgspec.Struct):
    count: int


class _Rendered(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


_LISTED = msgspec.json.Decoder(_List)
_PROPS = msgspec.json.Decoder(_Props)
_COUNTED = msgspec.json.Decoder(_Counted)
_RENDERED = msgspec.json.Decoder(_Rendered)
_TOKENS = msgspec.json.Decoder(_Tokens)

S = TypeVar("S")


def _read(decoder: msgspec.json.Decoder[S], reply: Reply | NoReply) -> S | None:
    """Return what a server says of itself, None if it does not say that."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    try:
        return decoder.decode(reply.body)
    except (ValueError, RecursionError):
        return None


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

_UNABLE = {
    # It makes them, and counts the tokens of one only.
    Server.LLAMA_SERVER: {Ability.CANDIDATES},
    Server.OLLAMA: {Ability.CANDIDATES, Ability.LOGPROBS},
    Server.LM_STUDIO: {Ability.CANDIDATES, Ability.LOGPROBS},
}


def _server_of(listed: list[_Listed]) -> Server:
    return _OWNERS.get((listed[0].owned_by or "").lower(), Server.OTHER) if listed else Server.OTHER


def _context_of(listed: list[_Listed], model: str, props: _Props | None) -> int | None:
    if props is not None:
        return props.default_generation_settings.n_ctx
    return next((each.max_model_len for each in listed if each.id == model), None)


def _abilities(server: Server, props: _Props | None) -> frozenset[Ability]:
    """Return what such a server can do. What nobody tells, it is asked for, and refuses it itself."""
    unable = set(_UNABLE.get(server, ()))
    if props is not None and not props.modalities.vision:
        unable.add(Ability.IMAGES)
    return frozenset(Ability) - unable
