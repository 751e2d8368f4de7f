"""A GenerateContentRequest becomes a Request."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.outcome import Failed
from halfrate.domain.request import UNASKED, Message, Request, Role
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.generation_config import GenerationConfig, sampling_of
from halfrate.wire.gemini.inability import Inability, invalid, unsupported
from halfrate.wire.gemini.lenient import ABSENT, given


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


def understand(asked: GenerateContentRequest) -> Request | Failed:
    """Return the Request that ``asked`` means, or why it cannot be answered here."""
    try:
        _refuse_what_is_not_built(asked)
        messages = _messages(asked)
        config = asked.generation_config
        return Request(messages, sampling_of(config) if config is not None else UNASKED)
    except Inability as inability:
        return inability.failed


def bare_model(name: str) -> str:
    """Return a model's name without ``models/`` in front."""
    return name.removeprefix("models/")


# Messages ---------------------------------------------------------------------------------------------

_ROLES = {None: Role.USER, "": Role.USER, "user": Role.USER, "model": Role.MODEL}


def _messages(asked: GenerateContentRequest) -> tuple[Message, ...]:
    if not asked.contents:
        raise invalid("contents is empty. Give at least one content with a text part.")
    messages = []
    if asked.system_instruction is not None and asked.system_instruction.parts:
        messages.append(Message(Role.SYSTEM, _text(asked.system_instruction, "system_instruction")))
    for index, content in enumerate(asked.contents):
        role = _ROLES.get(content.role)
        if role is None:
            raise _strange_role(content.role, index)
        messages.append(Message(role, _text(content, "contents", index)))
    if messages[-1].role is Role.MODEL:
        raise unsupported(
            "contents ends with a turn of role 'model', and continuing a model's own turn is not built. "
            "End with a turn of role 'user'."
        )
    return tuple(messages)


def _strange_role(role: str | None, index: int) -> Inability:
    if role == "function":
        return unsupported(f"contents[{index}].role 'function': function calling is not built yet.")
    return invalid(f"contents[{index}].role is {role!r}. Use a valid role: user, model.")


def _text(content: Content, field: str, index: int | None = None) -> str:
    """Return the text of all parts, one below the other. A thought of the model's is left out."""
    parts = content.parts
    if parts and len(parts) == 1 and parts[0].thought is None and _only_text(parts[0]):
        return parts[0].text or ""
    place = field if index is None else f"{field}[{index}]"
    if not parts:
        raise invalid(f"{place}.parts is empty. Give it a text part.")
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


def _strange_part(part: Part, place: str) -> Inability:
    for field, sentence in _PARTS_TO_COME.items():
        if given(getattr(part, field)):
            if part.text is not None:
                return invalid(f"{place} has both text and {field}. A part holds one thing.")
            return unsupported(f"{place}.{field}: {sentence}")
    return invalid(f"{place} is empty. Give it text.")


# What is not built ------------------------------------------------------------------------------------

_NOTHING_SPECIAL = (None, None, ABSENT)


def _refuse_what_is_not_built(asked: GenerateContentRequest) -> None:
    if (asked.tools, asked.cached_content, asked.tool_config) == _NOTHING_SPECIAL:
        return
    if asked.tools:
        raise unsupported(f"tools: {_tool_names(asked.tools)} cannot be used yet. Leave tools out.")
    if asked.cached_content:
        raise unsupported(
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
