"""A GenerateContentRequest becomes a Request; an Outcome becomes a GenerateContentResponse."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.usage import Usage
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.lenient import ABSENT
from halfrate.wire.gemini.schema import ANY_JSON, json_schema

# What is read -----------------------------------------------------------------------------------------


class Blob(lenient.Message):
    """Bytes inside a request."""

    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class FileData(lenient.Message):
    """A File that a request points at."""

    mime_type: str | None = None
    file_uri: str | None = None
    display_name: str | None = None


class Part(lenient.Message):
    """A piece of a Content: one of the fields up to ``tool_response``, and remarks on it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: Raw = ABSENT
    function_response: Raw = ABSENT
    executable_code: Raw = ABSENT
    code_execution_result: Raw = ABSENT
    tool_call: Raw = ABSENT
    tool_response: Raw = ABSENT
    thought: bool | None = None
    thought_signature: str | None = None
    video_metadata: Raw = ABSENT
    media_resolution: Raw = ABSENT
    part_metadata: Raw = ABSENT
    media_processing: Raw = ABSENT


class Content(lenient.Message):
    """One turn of a conversation."""

    role: str | None = None
    parts: list[Part] | None = None


class SafetySetting(lenient.Message):
    """What to block. Accepted without effect: the models run here have no such filter."""

    category: str | None = None
    threshold: (
        Literal[
            "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
            "BLOCK_LOW_AND_ABOVE",
            "BLOCK_MEDIUM_AND_ABOVE",
            "BLOCK_ONLY_HIGH",
            "BLOCK_NONE",
            "OFF",
        ]
        | None
    ) = None
    method: str | None = None


class ThinkingConfig(lenient.Message):
    """How to think before answering. Accepted without effect: no thought stays within any budget."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: (
        Literal["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None
    ) = None


class GenerationConfig(lenient.Message):
    """How to decode, and in what form to answer."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    candidate_count: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: Raw = ABSENT
    response_json_schema: Raw = ABSENT
    response_modalities: (
        list[Literal["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"]] | None
    ) = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: str | None = None
    enable_enhanced_civic_answers: bool | None = None
    speech_config: Raw = ABSENT
    image_config: Raw = ABSENT
    audio_transcription_config: Raw = ABSENT
    response_format: Raw = ABSENT


class GenerateContentRequest(lenient.Message):
    """What a client asks of a model."""

    model: str | None = None
    contents: list[Content] | None = None
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None
    tools: list[Raw] | None = None
    tool_config: Raw = ABSENT
    safety_settings: list[SafetySetting] | None = None
    cached_content: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    labels: Raw = ABSENT
    continuation_token: str | None = None


class _Inability(Exception):
    """Carries a Failed out of the depths of a request."""

    def __init__(self, cause: Cause, detail: str) -> None:
        super().__init__(detail)
        self.failed = Failed(cause, detail)


def understand(asked: GenerateContentRequest) -> Request | Failed:
    """Return the Request that ``asked`` means, or why it cannot be answered here."""
    try:
        _refuse_what_is_not_built(asked)
        messages = _messages(asked)
        config = asked.generation_config
        return Request(messages, _sampling(config) if config is not None else _DEFAULTS)
    except _Inability as inability:
        return inability.failed


_DEFAULTS = Sampling()


def bare_model(name: str) -> str:
    """Return a model's name without ``models/`` in front."""
    return name.removeprefix("models/")


# Messages ---------------------------------------------------------------------------------------------

_ROLES = {None: Role.USER, "": Role.USER, "user": Role.USER, "model": Role.MODEL}


def _messages(asked: GenerateContentRequest) -> tuple[Message, ...]:
    if not asked.contents:
        raise _invalid("contents is empty. Give at least one content with a text part.")
    messages = []
    if asked.system_instruction is not None and asked.system_instruction.parts:
        messages.append(Message(Role.SYSTEM, _text(asked.system_instruction, "system_instruction")))
    for index, content in enumerate(asked.contents):
        role = _ROLES.get(content.role)
        if role is None:
            raise _strange_role(content.role, index)
        messages.append(Message(role, _text(content, "contents", index)))
    if messages[-1].role is Role.MODEL:
        raise _unsupported(
            "contents ends with a turn of role 'model', and continuing a model's own turn is not built. "
            "End with a turn of role 'user'."
        )
    return tuple(messages)


def _strange_role(role: str | None, index: int) -> _Inability:
    if role == "function":
        return _unsupported(f"contents[{index}].role 'function': function calling is not built yet.")
    return _invalid(f"contents[{index}].role is {role!r}. Use a valid role: user, model.")


def _text(content: Content, field: str, index: int | None = None) -> str:
    """Return the text of all parts, one below the other. A thought of the model's is left out."""
    parts = content.parts
    if parts and len(parts) == 1 and parts[0].thought is None and _only_text(parts[0]):
        return parts[0].text or ""
    place = field if index is None else f"{field}[{index}]"
    if not parts:
        raise _invalid(f"{place}.parts is empty. Give it a text part.")
    texts = []
    for number, part in enumerate(parts):
        if not _only_text(part):
            raise _strange_part(part, f"{place}.parts[{number}]")
        if not part.thought:
            texts.append(part.text or "")
    return "\n".join(texts)


def _only_text(part: Part) -> bool:
    return part.text is not None and msgspec.structs.astuple(part)[1:_DATA_FIELDS] == _NO_OTHER_DATA


_DATA_FIELDS = Part.__struct_fields__.index("thought")
_NO_OTHER_DATA = msgspec.structs.astuple(Part())[1:_DATA_FIELDS]

_PARTS_TO_COME = {
    "inline_data": "Only text parts are understood: put the text itself into a text part.",
    "file_data": "Only text parts are understood: put the file's text into a text part.",
    "function_call": "Function calling is not built yet.",
    "function_response": "Function calling is not built yet.",
    "executable_code": "Code execution is not built yet.",
    "code_execution_result": "Code execution is not built yet.",
    "tool_call": "Server-side tools are not built yet.",
    "tool_response": "Server-side tools are not built yet.",
}


def _strange_part(part: Part, place: str) -> _Inability:
    for field, sentence in _PARTS_TO_COME.items():
        if _given(getattr(part, field)):
            if part.text is not None:
                return _invalid(f"{place} has both text and {field}. A part holds one thing.")
            return _unsupported(f"{place}.{field}: {sentence}")
    return _invalid(f"{place} is empty. Give it text.")


def _given(value: object) -> bool:
    """Whether a field was sent with something other than null in it."""
    return value is not None and not (isinstance(value, Raw) and bytes(value) in {b"", b"null"})


# What is not built ------------------------------------------------------------------------------------

_NOTHING_SPECIAL = (None, None, ABSENT)


def _refuse_what_is_not_built(asked: GenerateContentRequest) -> None:
    if (asked.tools, asked.cached_content, asked.tool_config) == _NOTHING_SPECIAL:
        return
    if asked.tools:
        raise _unsupported(f"tools: {_tool_names(asked.tools)} cannot be used yet. Leave tools out.")
    if asked.cached_content:
        raise _unsupported(
            "cached_content: explicit caches are not built yet. Put the cached text in front of the prompt: "
            "equal beginnings are computed once anyway."
        )


def _tool_names(tools: list[Raw]) -> str:
    names: list[str] = []
    for tool in tools:
        try:
            names.extend(msgspec.json.decode(tool, type=dict[str, Raw]))
        except (ValueError, RecursionError):
            names.append("a tool")
    return ", ".join(names) or "an empty tool"


# Sampling ---------------------------------------------------------------------------------------------

_INT32_MAX = 2**31 - 1
STOP_SEQUENCES_MAX = 5


def _sampling(config: GenerationConfig) -> Sampling:
    _check_candidates(config)
    _check_logprobs(config)
    _check_form(config)
    stop = tuple(config.stop_sequences or ())
    if len(stop) > STOP_SEQUENCES_MAX:
        raise _invalid(
            f"generation_config.stop_sequences has {len(stop)} entries; "
            f"at most {STOP_SEQUENCES_MAX} are allowed."
        )
    if "" in stop:
        raise _invalid("generation_config.stop_sequences has an empty entry.")
    return Sampling(
        max_output_tokens=_whole("max_output_tokens", config.max_output_tokens, 1, _INT32_MAX),
        temperature=_within("temperature", config.temperature, 0, 2),
        top_p=_within("top_p", config.top_p, 0, 1),
        top_k=_whole("top_k", config.top_k, 1, _INT32_MAX),
        seed=_whole("seed", config.seed, -_INT32_MAX - 1, _INT32_MAX),
        presence_penalty=_within("presence_penalty", config.presence_penalty, -2, 2),
        frequency_penalty=_within("frequency_penalty", config.frequency_penalty, -2, 2),
        stop=stop,
        json_schema=_schema(config),
    )


def _within(name: str, value: float | None, low: float, high: float) -> float | None:
    if value is None or low <= value <= high:
        return value
    raise _invalid(f"generation_config.{name} is {value:g}; it must be from {low} to {high}.")


def _whole(name: str, value: float | None, low: int, high: int) -> int | None:
    if value is None:
        return None
    if math.isfinite(value) and int(value) == value and low <= value <= high:
        return int(value)
    raise _invalid(f"generation_config.{name} is {value}; it must be a whole number from {low} to {high}.")


def _check_candidates(config: GenerationConfig) -> None:
    count = config.candidate_count
    if count is None or count == 1:
        return
    if count < 1:
        raise _invalid(f"generation_config.candidate_count is {count}; it must be at least 1.")
    raise _unsupported(
        f"generation_config.candidate_count is {count}: more than one candidate is not built yet. "
        "Send the request several times, with different seeds."
    )


def _check_logprobs(config: GenerationConfig) -> None:
    if config.response_logprobs:
        raise _unsupported("generation_config.response_logprobs: log probabilities are not built yet.")
    if config.logprobs is not None:
        raise _invalid("generation_config.logprobs is allowed only when response_logprobs is true.")


def _check_form(config: GenerationConfig) -> None:
    for modality in config.response_modalities or ():
        if modality not in {"TEXT", "MODALITY_UNSPECIFIED"}:
            raise _unsupported(
                f"generation_config.response_modalities: {modality} cannot be made here. Ask for TEXT."
            )
    for field in ("speech_config", "image_config", "audio_transcription_config", "response_format"):
        if getattr(config, field) is not ABSENT and _given(getattr(config, field)):
            raise _unsupported(f"generation_config.{field} is not built yet. Leave it out.")


def _schema(config: GenerationConfig) -> str | None:
    """Return the JSON Schema that the answer must obey, or None for free text."""
    if (config.response_mime_type, config.response_schema, config.response_json_schema) == _FREE_TEXT:
        return None
    openapi, plain = _given(config.response_schema), _given(config.response_json_schema)
    if openapi and plain:
        raise _invalid(
            "generation_config has both response_schema and response_json_schema. Set one of them."
        )
    mime_type = config.response_mime_type or "text/plain"
    if mime_type == "text/x.enum":
        raise _unsupported(
            "generation_config.response_mime_type text/x.enum is not built yet. Use application/json with a "
            "schema of type STRING and enum: the answer is then that word as a JSON string."
        )
    if mime_type == "application/json":
        return _schema_text(config, openapi=openapi, plain=plain)
    if mime_type != "text/plain":
        raise _invalid(
            f"generation_config.response_mime_type is {mime_type!r}. Use text/plain or application/json."
        )
    if openapi or plain:
        raise _invalid(
            "generation_config has a schema, but response_mime_type is text/plain. "
            "Set it to application/json."
        )
    return None


_FREE_TEXT = (None, ABSENT, ABSENT)


def _schema_text(config: GenerationConfig, *, openapi: bool, plain: bool) -> str:
    if not (openapi or plain):
        return ANY_JSON
    field, raw = (
        ("response_schema", config.response_schema)
        if openapi
        else ("response_json_schema", config.response_json_schema)
    )
    text = _converted(bytes(raw), openapi=openapi)
    if isinstance(text, ValueError):
        raise _invalid(f"generation_config.{field}{text}")
    return text


@lru_cache(maxsize=256)  # one Job's Requests mostly share one schema
def _converted(raw: bytes, *, openapi: bool) -> str | ValueError:
    try:
        return json_schema(raw) if openapi else _as_is(raw)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError(" is nested too deeply.")


def _as_is(raw: bytes) -> str:
    try:
        schema = msgspec.json.decode(raw)
    except ValueError as error:
        raise ValueError(f" is not JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise ValueError(" must be an object.")
    return msgspec.json.encode(schema).decode()  # equal schemas make equal Requests


def _invalid(detail: str) -> _Inability:
    return _Inability(Cause.INVALID, detail)


def _unsupported(detail: str) -> _Inability:
    return _Inability(Cause.UNSUPPORTED, detail)


# What is written --------------------------------------------------------------------------------------


class TextPart(msgspec.Struct):
    """A part of an answer."""

    text: str


class ModelContent(msgspec.Struct):
    """The model's turn."""

    parts: tuple[TextPart, ...]
    role: str = "model"


class Candidate(msgspec.Struct, rename="camel"):
    """One answer."""

    content: ModelContent
    finish_reason: str
    index: int = 0


class ModalityTokens(msgspec.Struct, rename="camel"):
    """Tokens of one kind of input."""

    token_count: int
    modality: str = "TEXT"


class UsageMetadata(msgspec.Struct, rename="camel", omit_defaults=True):
    """Token counts of one answer."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    total_token_count: int = 0
    cached_content_token_count: int = 0
    prompt_tokens_details: tuple[ModalityTokens, ...] = ()
    cache_tokens_details: tuple[ModalityTokens, ...] = ()


class GenerateContentResponse(msgspec.Struct, rename="camel"):
    """An Answered, as the wire has it."""

    candidates: tuple[Candidate, ...]
    usage_metadata: UsageMetadata
    model_version: str
    response_id: str


_FINISH_REASONS = {Finish.STOP: "STOP", Finish.LENGTH: "MAX_TOKENS"}


def generate_response(answered: Answered, *, model_version: str, response_id: str) -> GenerateContentResponse:
    """Return the response to a Request that was answered."""
    content = ModelContent((TextPart(answered.text),))
    candidate = Candidate(content, _FINISH_REASONS[answered.finish])
    return GenerateContentResponse((candidate,), usage_metadata(answered.usage), model_version, response_id)


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Return token counts as the wire has them: zeros are left out."""
    return UsageMetadata(
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        _text_tokens(usage.input_tokens),
        _text_tokens(usage.cached_tokens),
    )


def _text_tokens(count: int) -> tuple[ModalityTokens, ...]:
    return (ModalityTokens(count),) if count > 0 else ()
