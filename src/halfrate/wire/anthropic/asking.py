"""A Request becomes the body of a call to Anthropic's Messages API, and what comes back an Outcome."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Raw

from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish, Outcome
from halfrate.domain.request import (
    Choice,
    FunctionCall,
    FunctionDeclaration,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.domain.usage import Usage
from halfrate.wire.gemini.schema import ANY_JSON
from halfrate.wire.rejected import Rejected
from halfrate.wire.retry_after import retry_after_of

VERSION = "2023-06-01"
"""The version of the API that this is written for, in the header ``anthropic-version``."""

BUDGET_MIN = 1_024
"""A model that is to think a given number of tokens must be given at least so many."""

Ttl = Literal["5m", "1h"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How one model is asked.

    ``max_tokens`` bounds answers whose Requests do not, ``max_tokens_limit`` those that do. ``thinks`` are
    the ways to think that it knows: ``enabled`` (a number of tokens), ``adaptive`` (as it likes),
    ``disabled``. With a ``cache_ttl`` what comes before the last Message is to be kept so long. ``fields``
    are added to every body as they are.
    """

    model: str
    max_tokens: int = 8_192
    max_tokens_limit: int | None = None
    thinks: frozenset[str] = frozenset({"enabled", "adaptive", "disabled"})
    cache_ttl: Ttl | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


# What is asked ----------------------------------------------------------------------------------------


def body_of(request: Request, manner: Manner, *, streamed: bool = False) -> bytes | Failed:
    """Return the body of a call that creates a message, or why it cannot be asked for."""
    unable = _inability(request)
    if unable is not None:
        return Failed(Cause.UNSUPPORTED, f"The model {manner.model} {unable}.")
    sampling = request.sampling
    asked = _prompt(request, manner) | {
        "max_tokens": _max_tokens(sampling, manner),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop_sequences": sampling.stop or None,
        "stream": True if streamed else None,
    }
    try:
        return _encoded(asked | dict(manner.fields))
    except UnicodeEncodeError:
        return Failed(Cause.INVALID, "The prompt is not valid Unicode: it holds half a surrogate pair.")


def count_body(request: Request, manner: Manner) -> bytes:
    """Return the body of ``count_tokens``."""
    return _encoded(_prompt(request, manner))


def _encoded(asked: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in asked.items() if value is not None})


_IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


def _inability(request: Request) -> str | None:
    """Return what of the Request the API has no word for."""
    sampling = request.sampling
    if sampling.seed is not None:
        return "takes no seed. Leave it out"
    if sampling.presence_penalty or sampling.frequency_penalty:
        return "knows no penalties. Leave presence_penalty and frequency_penalty out"
    if sampling.json_schema == ANY_JSON:
        return "can be held to a schema, not to JSON of any kind. Give a schema"
    for message in request.messages:
        for attachment in message.attachments:
            if attachment.mime_type not in _IMAGES:
                return f"cannot see {attachment.mime_type}. Send JPEG, PNG or WebP"
    return None


def _prompt(request: Request, manner: Manner) -> dict[str, Any]:
    """Return all that makes up the prompt."""
    system = "\n\n".join([each.text for each in request.messages if each.role is Role.SYSTEM])
    turns = _turns([each for each in request.messages if each.role is not Role.SYSTEM])
    blocks = [{"type": "text", "text": system}] if system else None
    if manner.cache_ttl is not None:
        _mark(blocks, turns, manner.cache_ttl)
    tools, choice = _tools(request)
    return {
        "model": manner.model,
        "system": blocks,
        "messages": turns,
        "tools": tools,
        "tool_choice": choice,
        "thinking": _thinking(request.sampling, manner),
        "output_config": _form(request.sampling),
    }


def _mark(system: list[dict[str, Any]] | None, turns: list[dict[str, Any]], ttl: Ttl) -> None:
    """Mark where what many Requests share may end: after the instruction, and before the last Message."""
    shared = [blocks[-1] for blocks in (system, turns[-2]["content"] if len(turns) > 1 else None) if blocks]
    for block in shared:
        block["cache_control"] = {"type": "ephemeral", "ttl": ttl}


def _turns(messages: list[Message]) -> list[dict[str, Any]]:
    ids = _Ids()
    return [
        {
            "role": "assistant" if message.role is Role.MODEL else "user",
            "content": _content(message, ids),
        }
        for message in messages
    ]


class _Ids:
    """Ids that tie what a function gave back to its call. A Request may have none, or others."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[FunctionCall, str]] = []

    def called(self, call: FunctionCall) -> str:
        self._count += 1
        self._open.append((call, f"call_{self._count}"))
        return self._open[-1][1]

    def returned(self, name: str, id_given: str | None) -> str:
        """Return the id of the call that this is the answer to: the first of its id, or else of its name."""
        for position, (call, _) in enumerate(self._open):
            if call.id == id_given if id_given and call.id else call.name == name:
                return self._open.pop(position)[1]
        self._count += 1
        return f"call_{self._count}"


def _content(message: Message, ids: _Ids) -> list[dict[str, Any]]:
    # What functions gave back goes first: the API wants it there.
    blocks: list[dict[str, Any]] = [
        {
            "type": "tool_result",
            "tool_use_id": ids.returned(each.name, each.id),
            "content": each.response,
        }
        for each in message.returns
    ]
    said = 0
    for attachment in message.attachments:
        blocks += _text(message.text[said : attachment.at])
        said = attachment.at
        data = b64encode(attachment.data).decode()
        source = {"type": "base64", "media_type": attachment.mime_type, "data": data}
        blocks.append({"type": "image", "source": source})
    blocks += _text(message.text[said:])
    for call in message.calls:
        use = {"type": "tool_use", "id": ids.called(call), "name": call.name}
        blocks.append({**use, "input": Raw(call.arguments.encode())})
    return blocks


def _text(text: str) -> list[dict[str, Any]]:
    """Return a block of a text, if it says anything: the API takes no empty one."""
    return [{"type": "text", "text": text}] if text.strip() else []


_CHOICES = {Choice.AUTO: "auto", Choice.ANY: "any", Choice.NONE: "none"}


def _tools(request: Request) -> tuple[list[dict[str, Any]] | None, dict[str, Any] | None]:
    """Return the functions that may be called, and whether one must be."""
    functions = request.functions
    if functions is None:
        # A conversation with calls in it must declare them, also where none is to be called any more.
        names = dict.fromkeys(call.name for message in request.messages for call in message.calls)
        tools = [_tool(FunctionDeclaration(name)) for name in names]
        return (tools, {"type": "none"}) if tools else (None, None)
    declarations = functions.callable or functions.declarations
    choice: dict[str, Any] = {"type": _CHOICES[functions.choice]}
    if functions.choice is Choice.ANY and len(declarations) == 1:
        choice = {"type": "tool", "name": declarations[0].name}
    return [_tool(declaration) for declaration in declarations], choice


def _tool(declaration: FunctionDeclaration) -> dict[str, Any]:
    parameters = declaration.parameters or '{"type":"object","properties":{}}'
    tool: dict[str, Any] = {"name": declaration.name, "input_schema": _typed(parameters)}
    return {**tool, "description": declaration.description} if declaration.description else tool


@lru_cache(maxsize=256)  # one Job's Requests mostly share their tools
def _typed(parameters: str) -> Raw:
    """Return a schema that says that it is of an object, as the API wants."""
    return Raw(msgspec.json.encode({"type": "object", **msgspec.json.decode(parameters)}))


def _max_tokens(sampling: Sampling, manner: Manner) -> int:
    asked = sampling.max_output_tokens or manner.max_tokens
    return asked if manner.max_tokens_limit is None else min(asked, manner.max_tokens_limit)


def _thinking(sampling: Sampling, manner: Manner) -> dict[str, Any] | None:
    """Return how to think. A number is no way to think for models that know only their own measure."""
    budget = sampling.thinking_budget
    if budget is None:
        return None
    budget = min(max(budget, BUDGET_MIN), _max_tokens(sampling, manner) - 1) if budget > 0 else budget
    if budget == 0 or 0 < budget < BUDGET_MIN or not manner.thinks - {"disabled"}:
        return {"type": "disabled"} if "disabled" in manner.thinks else None
    display = "summarized" if sampling.include_thoughts else "omitted"
    if budget < 0 or "enabled" not in manner.thinks:
        if "adaptive" in manner.thinks:
            return {"type": "adaptive", "display": display}
        budget = max(BUDGET_MIN, _max_tokens(sampling, manner) // 2)
    return {"type": "enabled", "budget_tokens": budget, "display": display}


CHOICE = "answer"
"""The one property of the object that an answer is which must be one of some texts."""


def _form(sampling: Sampling) -> dict[str, Any] | None:
    if sampling.json_schema is not None:
        schema: object = Raw(_closed(sampling.json_schema))
    elif sampling.choices:
        schema = {
            "type": "object",
            "properties": {CHOICE: {"type": "string", "enum": sampling.choices}},
            "required": [CHOICE],
            "additionalProperties": False,
        }
    else:
        return None
    return {"format": {"type": "json_schema", "schema": schema}}


@lru_cache(maxsize=256)  # one Job's Requests mostly share one schema
def _closed(schema: str) -> bytes:
    """Return a schema whose objects have no other properties than those it names, as the API wants."""
    return msgspec.json.encode(_without_others(msgspec.json.decode(schema)))


def _without_others(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_others(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        name: value if name in {"enum", "const", "required"} else _without_others(value)
        for name, value in schema.items()
    }
    if isinstance(closed.get("properties"), dict) and "type" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


# What is answered -------------------------------------------------------------------------------------


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int = 0


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Block(msgspec.Struct):
    type: str = "text"
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[_Block] = []
    stop_reason: str | None = None
    usage: _Usage = msgspec.field(default_factory=_Usage)


_decode = msgspec.json.Decoder(_Message).decode
_FINISHES = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "tool_use": Finish.STOP,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "refusal": Finish.BLOCKED,
}


def outcome_in(body: bytes, request: Request) -> Outcome:
    """Return what the body of a successful answer to this says."""
    try:
        message = _decode(body)
    except (ValueError, RecursionError) as error:
        return Failed(Cause.UPSTREAM, f"The upstream's answer cannot be read ({error}). Ask again.")
    if message.stop_reason is None:
        return Failed(Cause.UPSTREAM, "The upstream's answer does not say why it ends. Is it this API?")
    return _answered(message, request)


def _answered(message: _Message, request: Request) -> Answered:
    finish = _FINISHES.get(message.stop_reason or "", Finish.OTHER)
    blocks = message.content
    if finish is Finish.LENGTH and blocks and blocks[-1].type == "tool_use":
        finish, blocks = Finish.MALFORMED_CALL, blocks[:-1]
    text = "".join([block.text for block in blocks if block.type == "text"])
    thoughts = [block.thinking for block in blocks if block.type == "thinking"]
    details = message.usage.output_tokens_details
    candidate = Candidate(
        _chosen(text) if request.sampling.choices else text,
        finish,
        "\n\n".join(thoughts) if request.sampling.include_thoughts else "",
        details.thinking_tokens if details is not None else 0,
        tuple(_call(block) for block in blocks if block.type == "tool_use"),
    )
    return Answered((candidate,), _usage(message.usage))


def _call(block: _Block) -> FunctionCall:
    return FunctionCall(
        block.name, msgspec.json.format(bytes(block.input), indent=-1).decode(), block.id or None
    )


def _chosen(text: str) -> str:
    """Return the choice in an answer that is an object around it. One that was cut off is left as it is."""
    try:
        answer = msgspec.json.decode(text)
    except ValueError:
        return text
    return str(answer.get(CHOICE, text)) if isinstance(answer, dict) else text


def _usage(usage: _Usage) -> Usage:
    cached = usage.cache_read_input_tokens or 0
    whole = (usage.input_tokens or 0) + (usage.cache_creation_input_tokens or 0) + cached
    return Usage(whole, usage.output_tokens or 0, cached)


def counted(body: bytes) -> int | None:
    """Return how many tokens the answer to ``count_tokens`` says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_Usage).input_tokens
    except (ValueError, RecursionError):
        return None


class _Support(msgspec.Struct):
    supported: bool = False


class _ThinkingSupport(msgspec.Struct):
    supported: bool = False
    types: dict[str, _Support] = {}


class _Capabilities(msgspec.Struct):
    image_input: _Support | None = None
    structured_outputs: _Support | None = None
    thinking: _ThinkingSupport | None = None


class ModelRead(msgspec.Struct):
    """What the API says of a model. Older ones of its versions say only the name."""

    id: str = ""
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    capabilities: _Capabilities | None = None

    @property
    def thinks(self) -> frozenset[str] | None:
        """The ways to think it knows, None where that is not said."""
        if self.capabilities is None or self.capabilities.thinking is None:
            return None
        return frozenset(name for name, way in self.capabilities.thinking.types.items() if way.supported)

    @property
    def sees(self) -> bool:
        """Whether it takes images, as far as is said."""
        return self.capabilities is None or _supported(self.capabilities.image_input)

    @property
    def structured(self) -> bool:
        """Whether it can be held to a schema, as far as is said."""
        return self.capabilities is None or _supported(self.capabilities.structured_outputs)


def _supported(support: _Support | None) -> bool:
    return support is None or support.supported


class _ModelsRead(msgspec.Struct):
    data: list[ModelRead] = []


def models_in(body: bytes) -> list[ModelRead] | None:
    """Return what the answer to a question for all models says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_ModelsRead).data
    except (ValueError, RecursionError):
        return None


def model_in(body: bytes) -> ModelRead | None:
    """Return what the answer to a question for a model says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=ModelRead)
    except (ValueError, RecursionError):
        return None


# What is answered piece by piece ----------------------------------------------------------------------


class _Piece(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Piece | None = None
    usage: _Usage | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class StreamHeard:
    """One streamed answer, out of the data of its events."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._message = _Message()
        self._inputs: dict[int, str] = {}
        self._failed: Failed | Rejected | None = None
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether all is said."""
        return self._ended or self._failed is not None

    def hear(self, data: bytes) -> list[Delta]:
        """Take the data of one event, and return the pieces in it."""
        if self.done:
            return []
        try:
            event = _decode_event(data)
        except (ValueError, RecursionError) as why:
            self._failed = Failed(Cause.UPSTREAM, f"The upstream's stream cannot be read ({why}). Ask again.")
            return []
        return self._take(event, data)

    def _take(self, event: _Event, data: bytes) -> list[Delta]:
        whole = self._message
        if event.type == "message_start" and event.message is not None:
            whole.usage = event.message.usage
        elif event.type == "content_block_start" and event.content_block is not None:
            return self._begin(event.content_block)
        elif event.type == "content_block_delta" and event.delta is not None and whole.content:
            return self._add(event.delta)
        elif event.type == "message_delta":
            if event.delta is not None:
                whole.stop_reason = event.delta.stop_reason or whole.stop_reason
            if event.usage is not None:
                whole.usage = _later(whole.usage, event.usage)
        elif event.type == "message_stop":
            self._ended = True
        elif event.type == "error":
            self._failed = failure_of(0, data)
        return []

    def _begin(self, block: _Block) -> list[Delta]:
        again = block.type == "thinking" and any(one.type == "thinking" for one in self._message.content)
        self._message.content.append(block)
        said = self._said(block.text, block.thinking)
        return [*self._said("", "\n\n"), *said] if again else said

    def _add(self, piece: _Piece) -> list[Delta]:
        block = self._message.content[-1]
        block.text += piece.text
        block.thinking += piece.thinking
        if piece.partial_json:
            number = len(self._message.content) - 1
            self._inputs[number] = self._inputs.get(number, "") + piece.partial_json
        return self._said(piece.text, piece.thinking)

    def _said(self, text: str, thought: str) -> list[Delta]:
        sampling = self._request.sampling
        if sampling.choices:  # what comes is an object around the answer
            text = ""
        if not sampling.include_thoughts:
            thought = ""
        return [Delta(text, thought)] if text or thought else []

    def outcome(self) -> Outcome | Rejected | None:
        """Return what all of it says together, None if it was cut off."""
        if self._failed is not None:
            return self._failed
        if not self._ended or self._message.stop_reason is None:
            return None
        for number, text in self._inputs.items():
            self._message.content[number].input = Raw(text.encode())
        try:
            return _answered(self._message, self._request)
        except ValueError as error:
            return Failed(
                Cause.UPSTREAM, f"The upstream called a function with no JSON ({error}). Ask again."
            )


def _later(before: _Usage, now: _Usage) -> _Usage:
    """Return counts of which the later ones hold, where they are told again."""
    told = {name: value for name in now.__struct_fields__ if (value := getattr(now, name)) is not None}
    return msgspec.structs.replace(before, **told)


# What is refused --------------------------------------------------------------------------------------


class _ErrorSaid(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Error(msgspec.Struct):
    error: _ErrorSaid | None = None


_decode_error = msgspec.json.Decoder(_Error).decode
_REJECTING = {"authentication_error", "billing_error", "permission_error", "not_found_error"}
_CAUSES = {
    "invalid_request_error": Cause.INVALID,
    "request_too_large": Cause.TOO_LONG,
    "rate_limit_error": Cause.OVERLOADED,
    "overloaded_error": Cause.OVERLOADED,
    "timeout_error": Cause.TIMED_OUT,
    "api_error": Cause.UPSTREAM,
}
_CAUSES_OF_STATUS = {
    400: Cause.INVALID,
    413: Cause.TOO_LONG,
    408: Cause.TIMED_OUT,
    429: Cause.OVERLOADED,
    503: Cause.OVERLOADED,
    504: Cause.TIMED_OUT,
    529: Cause.OVERLOADED,
}
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (the )?(model's )?context|context (limit|window)", re.I)


def failure_of(status: int, body: bytes, headers: Mapping[str, str] = {}) -> Failed | Rejected:
    """Return what an answer with an error status says. The names in ``headers`` are in lower case."""
    try:
        said = _decode_error(body).error
    except (ValueError, RecursionError):
        said = None
    error = said or _ErrorSaid(message=body[:200].decode(errors="replace").strip())
    message = error.message or f"The upstream answered with status {status}, and no more."
    if error.type in _REJECTING or status in {401, 402, 403}:
        return Rejected(message)
    cause = _CAUSES.get(error.type) or _CAUSES_OF_STATUS.get(status, Cause.UPSTREAM)
    if cause is Cause.INVALID and _TOO_LONG.search(message):
        cause = Cause.TOO_LONG
    return Failed(cause, message, _retry_after(headers) if cause is Cause.OVERLOADED else None)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how long to stay away: as it says itself, or until what is used up is there again."""
    told = retry_after_of(headers)
    return _reset_in(headers) if told is None else told


def _reset_in(headers: Mapping[str, str]) -> float | None:
    resets = []
    for name, value in headers.items():
        if name.startswith("anthropic-ratelimit-") and name.endswith("-remaining") and value.strip() == "0":
            resets.append(headers.get(name.removesuffix("remaining") + "reset", ""))
    try:
        now = parsedate_to_datetime(headers.get("date", ""))
        waits = [(datetime.fromisoformat(reset) - now).total_seconds() for reset in resets]
    except (ValueError, TypeError):
        return None
    return max(0.0, *waits) if waits else None
