"""A Request becomes the body that asks another server for a chat completion, or for a vector."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import (
    Attachment,
    Choice,
    FunctionCall,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)


class Server(StrEnum):
    """The servers whose ways are known. Each has its own names for what the protocol has none for."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMA_SERVER = "llama-server"
    OLLAMA = "ollama"
    LM_STUDIO = "lm-studio"
    TGI = "tgi"
    HALFRATE = "halfrate"
    OPENAI = "openai"
    OTHER = "other"


class ChoiceForm(StrEnum):
    """How an answer that is one of some texts is asked for, and comes."""

    QUOTED = "quoted"  # as a JSON string
    WRAPPED = "wrapped"  # as the only property of an object, where a schema must be of one


@dataclass(frozen=True, slots=True)
class Manner:
    """How one server is asked.

    ``fields`` are added to every body, whatever the Request says. ``thinks`` is whether the model can be told
    how long to think in the protocol's own way. An answer of ``context_tokens`` or more is not bounded at
    all: the context does that, and many servers refuse a bound that they cannot promise.
    """

    model: str
    server: Server = Server.OTHER
    thinks: bool = False
    context_tokens: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def choice_form(self) -> ChoiceForm:
        """How the server is held to a choice."""
        return ChoiceForm.WRAPPED if self.server is Server.OPENAI else ChoiceForm.QUOTED


_NO_TOP_K = {Server.OPENAI, Server.OLLAMA, Server.TGI}
_TEMPLATED = {Server.VLLM, Server.SGLANG, Server.LLAMA_SERVER}
WRAPPED_NAME = "answer"


def chat_body(request: Request, manner: Manner, *, streamed: bool) -> bytes | Failed:
    """Return the body that asks for this, or why that server cannot be asked for it."""
    sampling = request.sampling
    if sampling.top_k is not None and sampling.temperature != 0 and manner.server in _NO_TOP_K:
        return Failed(
            Cause.UNSUPPORTED,
            f"top_k is not known to the server that answers for {manner.model}. Leave it out.",
        )
    body: dict[str, Any] = {"model": manner.model, "messages": messages_of(request)}
    body |= _sampling(sampling, manner)
    body |= _tools(request.functions, manner)
    body |= _thinking(sampling, manner)
    if streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return _encoded(body | dict(manner.fields))


def prompt_body(request: Request, manner: Manner, **more: Any) -> bytes | Failed:
    """Return the body that asks how the prompt of this is rendered, or how long it is."""
    body = {"model": manner.model, "messages": messages_of(request), **more}
    return _encoded(body | _tools(request.functions, manner))


def embeddings_body(embedding: Embedding, manner: Manner) -> bytes | Failed:
    """Return the body that asks for a vector, or why there is none."""
    text = embedding.text if embedding.title is None else f"{embedding.title}\n{embedding.text}"
    body: dict[str, Any] = {"model": manner.model, "input": text, "encoding_format": "base64"}
    if embedding.dimensions is not None:
        body["dimensions"] = embedding.dimensions
    return _encoded(body | dict(manner.fields))


def _encoded(body: dict[str, Any]) -> bytes | Failed:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        return Failed(Cause.INVALID, "The prompt is not valid Unicode: it holds half a surrogate pair.")


# Messages ---------------------------------------------------------------------------------------------


def messages_of(request: Request) -> list[dict[str, Any]]:
    """Return the turns as the protocol has them: what each function gave back is a message of its own."""
    messages: list[dict[str, Any]] = []
    open_calls: list[tuple[str, str]] = []  # the id and the function's name, of what has not come back yet
    for turn, message in enumerate(request.messages):
        match message.role:
            case Role.SYSTEM:
                messages.append({"role": "system", "content": message.text})
            case Role.MODEL:
                said, open_calls = _said(message, turn)
                messages.append(said)
            case Role.USER | Role.TOOL:
                messages += _returned(message, open_calls, turn)
                if message.text or message.attachments or not message.returns:
                    messages.append({"role": "user", "content": _content(message)})
    return messages


def _said(message: Message, turn: int) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    if not message.calls:
        return {"role": "assistant", "content": message.text}, []
    ids = [call.id or f"call_{turn}_{number}" for number, call in enumerate(message.calls)]
    called = [_call(call, id) for call, id in zip(message.calls, ids, strict=True)]
    said = {"role": "assistant", "content": message.text or None, "tool_calls": called}
    return said, [(id, call.name) for call, id in zip(message.calls, ids, strict=True)]


def _call(call: FunctionCall, id: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _returned(message: Message, open_calls: list[tuple[str, str]], turn: int) -> list[dict[str, Any]]:
    returned = []
    for number, each in enumerate(message.returns):
        # The protocol goes by ids. Where a client gave none, the oldest open call of that name is meant.
        id = each.id or next((id for id, name in open_calls if name == each.name), f"call_{turn}_{number}")
        open_calls[:] = [call for call in open_calls if call[0] != id]
        returned.append({"role": "tool", "tool_call_id": id, "name": each.name, "content": each.response})
    return returned


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.attachments:
        return message.text
    parts: list[dict[str, Any]] = []
    at = 0
    for attachment in message.attachments:
        parts += _text_part(message.text[at : attachment.at].strip("\n"))
        parts.append(_image(attachment))
        at = attachment.at
    return parts + _text_part(message.text[at:].strip("\n"))


def _text_part(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []


def _image(attachment: Attachment) -> dict[str, Any]:
    data = base64.b64encode(attachment.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{attachment.mime_type};base64,{data}"}}


# How to decode ----------------------------------------------------------------------------------------


def _sampling(sampling: Sampling, manner: Manner) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
        value = getattr(sampling, name)
        if value is not None:
            asked[name] = value
    if sampling.top_k is not None and sampling.temperature != 0:
        asked["top_k"] = sampling.top_k
    most = sampling.max_output_tokens
    if most is not None and (manner.context_tokens is None or most < manner.context_tokens):
        # OpenAI's own newer models know only the newer name, most other servers only the older one.
        newer = manner.server is Server.OPENAI
        asked["max_completion_tokens" if newer else "max_tokens"] = most
    if sampling.stop:
        asked["stop"] = sampling.stop
    if sampling.candidates > 1:
        asked["n"] = sampling.candidates
    if sampling.logprobs is not None:
        asked["logprobs"] = True
        asked["top_logprobs"] = sampling.logprobs
    if sampling.json_schema is not None:
        asked["response_format"] = _schema_format(sampling.json_schema)
    elif sampling.choices:
        asked["response_format"] = _choice_format(sampling.choices, manner.choice_form)
    return asked


_ANY_OBJECT = '{"type":"object"}'


@lru_cache(maxsize=256)  # one Job's Requests mostly share their schemas
def _schema_format(schema: str) -> Raw:
    if schema == _ANY_OBJECT:
        return Raw(b'{"type":"json_object"}')
    return _format(Raw(schema.encode()))


@lru_cache(maxsize=256)
def _choice_format(choices: tuple[str, ...], form: ChoiceForm) -> Raw:
    schema: dict[str, Any] = {"type": "string", "enum": choices}
    if form is ChoiceForm.WRAPPED:
        schema = {
            "type": "object",
            "properties": {WRAPPED_NAME: schema},
            "required": [WRAPPED_NAME],
            "additionalProperties": False,
        }
    return _format(schema)


def _format(schema: Raw | dict[str, Any]) -> Raw:
    named = {"name": "answer", "schema": schema, "strict": True}
    return Raw(msgspec.json.encode({"type": "json_schema", "json_schema": named}))


# Thinking ---------------------------------------------------------------------------------------------

_LOW_TOKENS, _MEDIUM_TOKENS = 1_024, 4_096


def _thinking(sampling: Sampling, manner: Manner) -> dict[str, Any]:
    budget = sampling.thinking_budget
    if budget is None:
        return {}
    asked: dict[str, Any] = {}
    if manner.server in _TEMPLATED:
        # Templates know one of these names, or neither: what they do not know they pass over.
        asked["chat_template_kwargs"] = {"enable_thinking": budget != 0, "thinking": budget != 0}
    if manner.thinks:
        asked["reasoning_effort"] = _effort(budget)
    return asked


def _effort(budget: int) -> str:
    if budget == 0:
        return "none"
    if 0 < budget <= _LOW_TOKENS:
        return "low"
    return "medium" if 0 < budget <= _MEDIUM_TOKENS else "high"


# Functions --------------------------------------------------------------------------------------------


def _tools(functions: Functions | None, manner: Manner) -> dict[str, Any]:
    if functions is None:
        return {}
    told = functions.callable or functions.declarations
    return {"tools": [_tool(each.name, each.description, each.parameters) for each in told]} | {
        "tool_choice": _tool_choice(functions, manner)
    }


def _tool_choice(functions: Functions, manner: Manner) -> str | dict[str, Any]:
    if functions.choice is not Choice.ANY:
        return functions.choice.value
    # llama-server knows no function by its name here. Only what may be called is declared, so it is that one.
    if len(functions.callable) == 1 and manner.server is not Server.LLAMA_SERVER:
        return {"type": "function", "function": {"name": functions.callable[0].name}}
    return "required"


@lru_cache(maxsize=256)  # one Job's Requests mostly share their tools
def _tool(name: str, description: str, parameters: str | None) -> Raw:
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    function["parameters"] = Raw((parameters or '{"type":"object","properties":{}}').encode())
    return Raw(msgspec.json.encode({"type": "function", "function": function}))
