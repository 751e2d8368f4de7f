"""A GenerateContentRequest becomes a Request."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.outcome import Failed
from halfrate.domain.request import (
    UNASKED,
    Attachment,
    FunctionCall,
    FunctionReturn,
    Message,
    Request,
    Role,
)
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.functions import Tool, ToolConfig, functions_of, reads_urls
from halfrate.wire.gemini.generation_config import GenerationConfig, sampling_of
from halfrate.wire.gemini.inability import Inability, invalid, unsupported
from halfrate.wire.gemini.lenient import ABSENT, given
from halfrate.wire.gemini.media import attachment, inline_attachment


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


class Call(lenient.Message):
    """A function the model wanted called."""

    id: str | None = None
    name: str | None = None
    args: Raw = ABSENT


class Return(lenient.Message):
    """What a function gave back."""

    id: str | None = None
    name: str | None = None
    response: Raw = ABSENT
    parts: Raw = ABSENT
    scheduling: str | None = None
    will_continue: bool | None = None


class Part(lenient.Message):
    """A piece of a Content: one of the fields up to ``tool_response``, and remarks on it."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: Call | None = None
    function_response: Return | None = None
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
    tools: list[Tool] | None = None
    tool_config: ToolConfig | None = None
    safety_settings: list[SafetySetting] | None = None
    cached_content: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    labels: Raw = ABSENT
    continuation_token: str | None = None


def understand(asked: GenerateContentRequest) -> Request | Failed:
    """Return the Request that ``asked`` means, or why it cannot be answered here."""
    try:
        messages = messages_of(asked.contents, asked.system_instruction)
        if messages[-1].role is Role.MODEL:
            raise unsupported(
                "contents ends with a turn of role 'model', and continuing a model's own turn is not built. "
                "End with a turn of role 'user'."
            )
        config = asked.generation_config
        sampling = sampling_of(config) if config is not None else UNASKED
        if asked.tools is None and asked.cached_content is None and asked.tool_config is None:
            return Request(messages, sampling)  # as most are
        functions = functions_of(asked.tools, asked.tool_config)
        if functions is not None and functions.callable and (sampling.json_schema or sampling.choices):
            raise invalid(
                "Function calling with generation_config.response_mime_type "
                f"{config and config.response_mime_type!r} is not possible: leave one of them out."
            )
        return Request(messages, sampling, functions, _cache(asked), reads_urls(asked.tools))
    except Inability as inability:
        return inability.failed


def _cache(asked: GenerateContentRequest) -> str | None:
    name = asked.cached_content
    if not name:
        return None
    if not _CACHE.fullmatch(name):
        raise invalid(f"cached_content is {name!r}. Name it as cachedContents/ID.")
    for name_of_field in ("system_instruction", "tools", "tool_config"):
        if given(getattr(asked, name_of_field)):
            raise invalid(
                "CachedContent can not be used with GenerateContent request setting system_instruction, "
                f"tools or tool_config. Move {name_of_field} to the cached content, or leave it out."
            )
    return name.removeprefix("cachedContents/")


_CACHE = re.compile(r"cachedContents/[a-z0-9-]{1,64}")


def bare_model(name: str) -> str:
    """Return a model's name without ``models/`` in front."""
    return name.removeprefix("models/")


# Messages ---------------------------------------------------------------------------------------------

_ROLES = {None: Role.USER, "": Role.USER, "user": Role.USER, "model": Role.MODEL, "function": Role.TOOL}


def messages_of(contents: list[Content] | None, system: Content | None) -> tuple[Message, ...]:
    """Return the turns of a conversation, at least one. Raise `Inability` if they cannot be understood."""
    if not contents:
        raise invalid("contents is empty. Give at least one content with a text part.")
    messages = []
    if system is not None and system.parts:
        messages.append(_message(Role.SYSTEM, system, "system_instruction"))
    for index, content in enumerate(contents):
        role = _ROLES.get(content.role)
        if role is None:
            raise invalid(
                f"contents[{index}].role is {content.role!r}. Use a valid role: user, model, function."
            )
        messages.append(_message(role, content, "contents", index))
    return tuple(messages)


@dataclass(slots=True)
class _Turn:
    """What the parts of one Content come to. A thought of the model's is left out."""

    texts: list[str] = field(default_factory=list)
    calls: list[FunctionCall] = field(default_factory=list)
    returns: list[FunctionReturn] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    @property
    def at(self) -> int:
        """Where in the text what comes now is."""
        return sum(map(len, self.texts)) + max(0, len(self.texts) - 1)


def _message(role: Role, content: Content, name: str, index: int | None = None) -> Message:
    parts = content.parts
    if role is not Role.TOOL and parts and len(parts) == 1 and _plain(parts[0]):
        return Message(role, parts[0].text or "")
    place = name if index is None else f"{name}[{index}]"
    if not parts:
        raise invalid(f"{place}.parts is empty. Give it a text part.")
    turn = _Turn()
    for number, part in enumerate(parts):
        _take(part, turn, f"{place}.parts[{number}]")
    if turn.calls and role is not Role.MODEL:
        raise invalid(f"{place} calls a function, and its role is not 'model'.")
    if turn.returns:
        if role not in {Role.USER, Role.TOOL}:
            raise invalid(f"{place} has a function_response: its role must be 'user' or 'function'.")
        role = Role.TOOL
    elif role is Role.TOOL:
        raise invalid(f"{place}.role is 'function', and it has no function_response.")
    if turn.attachments and role is not Role.USER:
        raise invalid(f"{place} has a file or an image. Only a turn of role 'user' may have one.")
    return Message(
        role, "\n".join(turn.texts), tuple(turn.calls), tuple(turn.returns), tuple(turn.attachments)
    )


def _take(part: Part, turn: _Turn, place: str) -> None:
    """Add what one part says."""
    held = [name for name in _DATA_FIELDS if given(getattr(part, name))]
    if len(held) > 1:
        raise invalid(f"{place} has both {held[0]} and {held[1]}. A part holds one thing.")
    if not held:
        raise invalid(f"{place} is empty. Give it text.")
    if part.text is not None:
        if not part.thought:
            turn.texts.append(part.text)
    elif part.function_call is not None:
        turn.calls.append(_call(part.function_call, f"{place}.function_call"))
    elif part.function_response is not None:
        turn.returns.append(_return(part.function_response, f"{place}.function_response"))
    elif part.inline_data is not None:
        blob = part.inline_data
        attached = inline_attachment(blob.mime_type, blob.data, at=turn.at, place=f"{place}.inline_data")
        if isinstance(attached, str):
            turn.texts.append(attached)
        else:
            turn.attachments.append(attached)
    elif part.file_data is not None:
        file = part.file_data
        where = f"{place}.file_data"
        turn.attachments.append(attachment(file.mime_type, file.file_uri, at=turn.at, place=where))
    else:
        raise unsupported(f"{place}.{held[0]}: {_TO_COME[held[0]]}")


def _call(sent: Call, place: str) -> FunctionCall:
    return FunctionCall(_name(sent.name, place), _json_object(sent.args, f"{place}.args"), sent.id or None)


def _return(sent: Return, place: str) -> FunctionReturn:
    if given(sent.parts):
        raise unsupported(f"{place}.parts: only the response itself is read. Put what it says there.")
    return FunctionReturn(
        _name(sent.name, place), _json_object(sent.response, f"{place}.response"), sent.id or None
    )


def _name(name: str | None, place: str) -> str:
    if not name:
        raise invalid(f"{place}.name is missing. Name the function.")
    return name


def _json_object(raw: Raw, place: str) -> str:
    """Return JSON text of an object, spelled one way."""
    if not given(raw):
        return "{}"
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{place} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise invalid(f"{place} must be an object.")
    return msgspec.json.encode(value).decode()


_FIELDS = Part.__struct_fields__
_DATA_FIELDS = _FIELDS[: _FIELDS.index("thought")]
_NO_OTHER_DATA = msgspec.structs.astuple(Part())[1 : len(_DATA_FIELDS)]

_TO_COME = {
    "executable_code": "Code execution is not built yet.",
    "code_execution_result": "Code execution is not built yet.",
    "tool_call": "Server-side tools are not built yet.",
    "tool_response": "Server-side tools are not built yet.",
}


def _plain(part: Part) -> bool:
    """Whether a part is nothing but text, as most are."""
    if part.text is None or part.thought is not None:
        return False
    return msgspec.structs.astuple(part)[1 : len(_DATA_FIELDS)] == _NO_OTHER_DATA
