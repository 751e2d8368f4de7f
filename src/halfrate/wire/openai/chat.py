"""A chat completion request becomes a Request."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.request import (
    Attachment,
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.wire.gemini.functions import as_json_schema
from halfrate.wire.gemini.inability import Inability
from halfrate.wire.gemini.media import inline_attachment
from halfrate.wire.openai.reading import ABSENT, Reader, Sent, at, given


class ImageUrl(Sent):
    """A picture."""

    url: str
    detail: str | None = None


class Part(Sent):
    """A piece of a message."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    refusal: str | None = None
    input_audio: Raw = ABSENT
    file: Raw = ABSENT


class CalledFunction(Sent):
    """The function of a call. ``arguments`` is JSON text."""

    name: str
    arguments: str = "{}"


class ToolCall(Sent):
    """A call that the model made before."""

    id: str
    function: CalledFunction
    type: str = "function"
    extra_content: Raw = ABSENT
    index: int | None = None


class ChatMessage(Sent):
    """One turn. What a client sends back of an answer without need is passed over."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    annotations: Raw = ABSENT
    audio: Raw = ABSENT
    function_call: Raw = ABSENT
    extra_content: Raw = ABSENT


class DeclaredFunction(Sent):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class Tool(Sent):
    """A tool: only functions are."""

    type: str
    function: DeclaredFunction | None = None


class NamedFunction(Sent):
    """The name of a function."""

    name: str


class NamedTool(Sent):
    """The one tool that is to be called."""

    function: NamedFunction
    type: Literal["function"] = "function"


class NamedSchema(Sent):
    """A JSON Schema and what it is called."""

    name: str | None = None
    schema: Raw = ABSENT
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Sent):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class StreamOptions(Sent):
    """What a stream says besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ThinkingConfig(Sent):
    """How to think, in Gemini's words."""

    thinking_budget: int | None = None
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = None
    include_thoughts: bool | None = None


class Google(Sent):
    """What Gemini's own layer adds to the dialect."""

    cached_content: str | None = None
    thinking_config: ThinkingConfig | None = None
    thought_tag_marker: str | None = None


class ExtraBody(Sent):
    """Where the client library's users put it."""

    google: Google | None = None


class ChatRequest(Sent):
    """A chat completion request."""

    model: str
    messages: list[ChatMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    extra_body: ExtraBody | None = None
    google: Google | None = None
    parallel_tool_calls: bool | None = None
    # Without effect here:
    service_tier: str | None = None
    user: str | None = None
    store: bool | None = None
    metadata: Raw = ABSENT
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    # Known, and not possible here:
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: Raw = ABSENT
    prediction: Raw = ABSENT
    web_search_options: Raw = ABSENT
    verbosity: str | None = None
    functions: Raw = ABSENT
    function_call: Raw = ABSENT

    @property
    def include_usage(self) -> bool:
        """Whether a stream is to say at its end what the answer took."""
        return bool(self.stream_options and self.stream_options.include_usage)


_READER = Reader(ChatRequest)

CANDIDATES_MAX = 8
STOPS_MAX = 5
TOP_LOGPROBS_MAX = 20
TOOLS_MAX = 128
_INT32_MAX = 2**31 - 1


def read_chat(raw: bytes | Raw) -> ChatRequest:
    """Return the request in ``raw``. Raise `InvalidArgument` if it cannot be read."""
    return _READER.read(raw)


def understand(asked: ChatRequest) -> Request:
    """Return the Request that ``asked`` means. Raise `InvalidArgument` if it cannot be answered here."""
    _check_possible(asked)
    messages = _messages(asked.messages)
    sampling = _sampling(asked)
    functions = _functions(asked)
    if functions is not None and functions.callable and sampling.json_schema:
        raise at("response_format", "Tools and a response_format of JSON exclude each other: leave one out.")
    return Request(messages, sampling, functions, _cache(asked, messages, functions))


def _check_possible(asked: ChatRequest) -> None:
    if asked.logit_bias:
        raise at("logit_bias", "logit_bias is not possible here. Leave it out.")
    for modality in asked.modalities or ():
        if modality != "text":
            raise at("modalities", f"modalities: {modality!r} cannot be made here. Ask for text.")
    if asked.verbosity not in {None, "medium"}:
        raise at("verbosity", "verbosity is not possible here. Say in a message how long to answer.")
    for name in ("audio", "prediction", "web_search_options"):
        if given(getattr(asked, name)):
            raise at(name, f"{name} is not possible here. Leave it out.")
    for name, instead in (("functions", "tools"), ("function_call", "tool_choice")):
        if given(getattr(asked, name)):
            raise at(name, f"{name} is given up by the protocol. Use {instead}.")


# Messages ---------------------------------------------------------------------------------------------


def _messages(sent: list[ChatMessage]) -> tuple[Message, ...]:
    """Return the turns. What system and developer say, wherever, is one instruction and goes first."""
    if not sent:
        raise at("messages", "messages is empty. Give at least one message.")
    instructions: list[str] = []
    turns: list[Message] = []
    names: dict[str, str] = {}
    for index, message in enumerate(sent):
        place = f"messages[{index}]"
        if message.role in {"system", "developer"}:
            instructions.append(_text(message, place))
        elif message.role == "tool":
            _add_return(turns, _returned(message, names, place))
        else:
            turns.append(_turn(message, names, place))
    if not turns:
        raise at("messages", "messages has instructions only. End with a message of role 'user'.")
    if turns[-1].role is Role.MODEL:
        raise at("messages", "messages ends with role 'assistant'. End with a message of role 'user'.")
    system = (Message(Role.SYSTEM, "\n\n".join(instructions)),) if instructions else ()
    return (*system, *turns)


def _turn(message: ChatMessage, names: dict[str, str], place: str) -> Message:
    if message.role == "user":
        text, attachments = _content(message, place)
        return Message(Role.USER, text, attachments=attachments)
    calls = tuple(
        _call(call, names, f"{place}.tool_calls[{n}]") for n, call in enumerate(message.tool_calls or ())
    )
    if message.content is None and not calls and message.refusal is None:
        raise at(f"{place}.content", f"{place} has neither content nor tool_calls.")
    text = _text(message, place) if message.content is not None else message.refusal or ""
    return Message(Role.MODEL, text, calls)


def _text(message: ChatMessage, place: str) -> str:
    text, attachments = _content(message, place)
    if attachments:
        raise at(f"{place}.content", f"{place} has an image. Only a message of role 'user' may have one.")
    return text


def _content(message: ChatMessage, place: str) -> tuple[str, tuple[Attachment, ...]]:
    """Return the text, and what stands beside it."""
    if message.content is None:
        raise at(f"{place}.content", f"{place}.content is missing. Give it text.")
    if isinstance(message.content, str):
        return message.content, ()
    texts: list[str] = []
    attachments: list[Attachment] = []
    for number, part in enumerate(message.content):
        said = _part(part, at_char=len("\n".join(texts)), place=f"{place}.content[{number}]")
        if isinstance(said, str):
            texts.append(said)
        else:
            attachments.append(said)
    if not texts and not attachments:
        raise at(f"{place}.content", f"{place}.content is empty. Give it text.")
    return "\n".join(texts), tuple(attachments)


_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,(.*)", re.DOTALL)


def _part(part: Part, *, at_char: int, place: str) -> str | Attachment:
    if part.type == "text" and part.text is not None:
        return part.text
    if part.type == "refusal" and part.refusal is not None:
        return part.refusal
    if part.type != "image_url" or part.image_url is None:
        raise at(
            f"{place}.type", f"{place} of type {part.type!r} cannot be understood. Use text or image_url."
        )
    match = _DATA_URL.fullmatch(part.image_url.url)
    field = f"{place}.image_url.url"
    if match is None:
        raise at(
            field, f"{field} must be a data URL in base64: this server fetches nothing from other places."
        )
    try:
        return inline_attachment(match[1], match[2], at=at_char, place=field)
    except Inability as inability:
        raise at(field, inability.failed.detail) from None


def _call(call: ToolCall, names: dict[str, str], place: str) -> FunctionCall:
    if call.type != "function":
        raise at(f"{place}.type", f"{place}.type is {call.type!r}; it must be 'function'.")
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        field = f"{place}.function.arguments"
        raise at(field, f"{field} must be the JSON text of an object.")
    names[call.id] = call.function.name
    return FunctionCall(call.function.name, msgspec.json.encode(arguments).decode(), call.id)


def _returned(message: ChatMessage, names: dict[str, str], place: str) -> FunctionReturn:
    name = names.get(message.tool_call_id or "", message.name)
    if name is None:
        field = f"{place}.tool_call_id"
        raise at(field, f"{field} is {message.tool_call_id!r}, and no message before has a call of that id.")
    text = _text(message, place)
    try:
        response = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        response = text
    if not isinstance(response, dict):
        response = {"result": response}
    return FunctionReturn(name, msgspec.json.encode(response).decode(), message.tool_call_id)


def _add_return(turns: list[Message], returned: FunctionReturn) -> None:
    """Add what a function gave back to the turn of those before it: a message holds only one."""
    if turns and turns[-1].role is Role.TOOL:
        turns[-1] = Message(Role.TOOL, "", returns=(*turns[-1].returns, returned))
    else:
        turns.append(Message(Role.TOOL, "", returns=(returned,)))


# How to decode ----------------------------------------------------------------------------------------


def _sampling(asked: ChatRequest) -> Sampling:
    budget, include_thoughts = _thinking(asked)
    limit = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    return Sampling(
        max_output_tokens=_whole("max_tokens", limit, 1, _INT32_MAX),
        temperature=_within("temperature", asked.temperature, 0, 2),
        top_p=_within("top_p", asked.top_p, 0, 1),
        seed=None if asked.seed is None else asked.seed % (_INT32_MAX + 1),  # here it has 31 bits
        presence_penalty=_within("presence_penalty", asked.presence_penalty, -2, 2),
        frequency_penalty=_within("frequency_penalty", asked.frequency_penalty, -2, 2),
        stop=_stop(asked.stop),
        json_schema=_schema(asked.response_format),
        candidates=_whole("n", asked.n, 1, CANDIDATES_MAX) or 1,
        logprobs=_logprobs(asked),
        thinking_budget=budget,
        include_thoughts=include_thoughts,
    )


def _within(name: str, value: float | None, low: float, high: float) -> float | None:
    if value is None or (math.isfinite(value) and low <= value <= high):
        return value
    raise at(name, f"Invalid '{name}': {value:g} is not from {low} to {high}.")


def _whole(name: str, value: int | None, low: int, high: int) -> int | None:
    if value is None or low <= value <= high:
        return value
    raise at(name, f"Invalid '{name}': {value} is not from {low} to {high}.")


def _stop(sent: str | list[str] | None) -> tuple[str, ...]:
    stop = (sent,) if isinstance(sent, str) else tuple(sent or ())
    if len(stop) > STOPS_MAX or "" in stop:
        raise at("stop", f"Invalid 'stop': give at most {STOPS_MAX} strings, none of them empty.")
    return stop


def _logprobs(asked: ChatRequest) -> int | None:
    if asked.logprobs:
        return _whole("top_logprobs", asked.top_logprobs, 0, TOP_LOGPROBS_MAX) or 0
    if asked.top_logprobs:
        raise at("top_logprobs", "top_logprobs is allowed only when logprobs is true.")
    return None


_BUDGETS = {"none": 0, "minimal": 0, "low": 1_024, "medium": 4_096, "high": -1, "xhigh": -1}


def _thinking(asked: ChatRequest) -> tuple[int | None, bool]:
    """Return how long to think, and whether to tell the thoughts."""
    effort = asked.reasoning_effort
    config = _google(asked).thinking_config or ThinkingConfig()
    ways = [way for way in (effort, config.thinking_budget, config.thinking_level) if way is not None]
    if len(ways) > 1:
        raise at(
            "reasoning_effort",
            "reasoning_effort, thinking_budget and thinking_level say the same. Set one of them.",
        )
    level = effort or config.thinking_level
    budget = (
        _BUDGETS[level]
        if level is not None
        else _whole("thinking_budget", config.thinking_budget, -1, _INT32_MAX)
    )
    return budget, bool(config.include_thoughts)


def _google(asked: ChatRequest) -> Google:
    inner = asked.extra_body.google if asked.extra_body is not None else None
    if inner is not None and asked.google is not None:
        raise at("google", "google is given twice, by itself and in extra_body. Leave one out.")
    return inner or asked.google or Google()


_CACHE = re.compile(r"cachedContents/[a-z0-9-]{1,64}")


def _cache(asked: ChatRequest, messages: tuple[Message, ...], functions: Functions | None) -> str | None:
    name = _google(asked).cached_content
    if not name:
        return None
    if not _CACHE.fullmatch(name):
        raise at("google.cached_content", f"cached_content is {name!r}. Name it as cachedContents/ID.")
    if functions is not None or messages[0].role is Role.SYSTEM:
        raise at(
            "google.cached_content",
            "A request with cached_content has no tools and no system message: the cached content has them.",
        )
    return name.removeprefix("cachedContents/")


_ANY_OBJECT = '{"type":"object"}'


def _schema(form: ResponseFormat | None) -> str | None:
    """Return the JSON Schema that the answer must obey, None for free text."""
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return _ANY_OBJECT
    field = "response_format.json_schema.schema"
    if form.json_schema is None or not given(form.json_schema.schema):
        raise at(field, f"Missing required parameter: '{field}'.")
    return _schema_text(bytes(form.json_schema.schema), field)


def _schema_text(raw: bytes, field: str) -> str:
    text = _converted(raw)
    if isinstance(text, ValueError):
        raise at(field, f"{field}{text}")
    return text


@lru_cache(maxsize=256)  # one Job's Requests mostly share their schemas
def _converted(raw: bytes) -> str | ValueError:
    try:
        return as_json_schema(raw)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError(" is nested too deeply.")


# Functions --------------------------------------------------------------------------------------------

_NAME = re.compile(r"[a-zA-Z0-9_.:-]{1,128}")
_CHOICES = {None: Choice.AUTO, "auto": Choice.AUTO, "none": Choice.NONE, "required": Choice.ANY}


def _functions(asked: ChatRequest) -> Functions | None:
    if not asked.tools:
        if isinstance(asked.tool_choice, NamedTool) or asked.tool_choice == "required":
            raise at("tool_choice", "tool_choice asks for a call, and tools is empty.")
        return None
    if len(asked.tools) > TOOLS_MAX:
        raise at("tools", f"tools has {len(asked.tools)} entries; at most {TOOLS_MAX} are allowed.")
    declared = tuple(_declaration(tool, f"tools[{index}]") for index, tool in enumerate(asked.tools))
    names = [each.name for each in declared]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise at("tools", f"tools has the function {name!r} twice. Give each a name of its own.")
    several = asked.parallel_tool_calls is not False
    if not isinstance(asked.tool_choice, NamedTool):
        return Functions(declared, _CHOICES[asked.tool_choice], several=several)
    chosen = asked.tool_choice.function.name
    if chosen not in names:
        raise at("tool_choice", f"tool_choice is {chosen!r}, and tools has only: {', '.join(names)}.")
    return Functions(declared, Choice.ANY, (chosen,), several)


def _declaration(tool: Tool, place: str) -> FunctionDeclaration:
    if tool.type != "function" or tool.function is None:
        raise at(f"{place}.type", f"{place}.type is {tool.type!r}. Only functions can be called here.")
    function = tool.function
    if not _NAME.fullmatch(function.name):
        field = f"{place}.function.name"
        raise at(field, f"{field} is {function.name!r}; use 1 to 128 letters, digits, dashes, underscores.")
    if not given(function.parameters):
        return FunctionDeclaration(function.name, function.description or "")
    field = f"{place}.function.parameters"
    parameters = _schema_text(bytes(function.parameters), field)
    if msgspec.json.decode(parameters).get("type", "object") != "object":
        raise at(field, f"{field} must describe an object: a function takes its arguments by name.")
    return FunctionDeclaration(function.name, function.description or "", parameters)
