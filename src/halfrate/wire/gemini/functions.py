"""Tools and toolConfig become Functions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.request import Choice, FunctionDeclaration, Functions
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.inability import invalid, unsupported
from halfrate.wire.gemini.lenient import ABSENT, given
from halfrate.wire.gemini.schema import json_schema

DECLARATIONS_MAX = 128


class FunctionDeclarationSent(lenient.Message):
    """A function the model may call."""

    name: str | None = None
    description: str | None = None
    parameters: Raw = ABSENT
    parameters_json_schema: Raw = ABSENT
    response: Raw = ABSENT
    response_json_schema: Raw = ABSENT
    behavior: Literal["UNSPECIFIED", "BLOCKING", "NON_BLOCKING"] | None = None


class Tool(lenient.Message):
    """Functions, or something the server itself can do."""

    function_declarations: list[FunctionDeclarationSent] | None = None
    google_search: Raw = ABSENT
    google_search_retrieval: Raw = ABSENT
    url_context: Raw = ABSENT
    code_execution: Raw = ABSENT
    google_maps: Raw = ABSENT
    file_search: Raw = ABSENT
    computer_use: Raw = ABSENT
    mcp_servers: Raw = ABSENT


class FunctionCallingConfig(lenient.Message):
    """Whether functions may or must be called, and which."""

    mode: Literal["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"] | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(lenient.Message):
    """How to use the tools."""

    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Raw = ABSENT
    include_server_side_tool_invocations: bool | None = None


_CHOICES = {
    None: Choice.AUTO,
    "MODE_UNSPECIFIED": Choice.AUTO,
    "AUTO": Choice.AUTO,
    "VALIDATED": Choice.AUTO,  # calls are valid against their schemas in every mode
    "ANY": Choice.ANY,
    "NONE": Choice.NONE,
}
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_SERVER_SIDE = Tool.__struct_fields__[1:]
_BUILT = frozenset({"url_context"})


def reads_urls(tools: list[Tool] | None) -> bool:
    """Whether the pages are to be read that the prompt names."""
    return any(given(tool.url_context) and bytes(tool.url_context) != b"null" for tool in tools or ())


def functions_of(
    tools: list[Tool] | None, config: ToolConfig | None, *, only_functions: bool = False
) -> Functions | None:
    """Return the functions a model is told of, None without any. Raise `Inability` if that cannot be.

    With ``only_functions``, what the server itself can do is refused too.
    """
    calling = (config and config.function_calling_config) or FunctionCallingConfig()
    choice = _CHOICES[calling.mode]
    declarations = tuple(
        _declaration(sent, f"tools[{index}].function_declarations[{number}]")
        for index, tool in enumerate(tools or ())
        for number, sent in enumerate(_functions_in(tool, index, only_functions))
    )
    if not declarations:
        if choice is Choice.ANY or calling.allowed_function_names:
            raise invalid(
                "tool_config.function_calling_config asks for function calls, and tools declares no function."
            )
        return None
    _check_names([each.name for each in declarations])
    allowed = tuple(calling.allowed_function_names or ())
    _check_allowed(allowed, calling.mode, {each.name for each in declarations})
    return Functions(declarations, choice, allowed)


def _functions_in(tool: Tool, index: int, only_functions: bool) -> list[FunctionDeclarationSent]:
    for name in _SERVER_SIDE:
        if given(getattr(tool, name)) and (only_functions or name not in _BUILT):
            raise unsupported(f"tools[{index}].{name} cannot be used yet. Leave it out.")
    return tool.function_declarations or []


def _declaration(sent: FunctionDeclarationSent, place: str) -> FunctionDeclaration:
    if not sent.name or not _NAME.fullmatch(sent.name):
        raise invalid(
            f"{place}.name is {sent.name!r}. It must begin with a letter or an underscore and have up to "
            "128 of a-z, A-Z, 0-9, underscores, dots, colons and dashes."
        )
    openapi, plain = given(sent.parameters), given(sent.parameters_json_schema)
    if openapi and plain:
        raise invalid(f"{place} has both parameters and parameters_json_schema. Set one of them.")
    if not (openapi or plain):
        return FunctionDeclaration(sent.name, sent.description or "")
    field = "parameters" if openapi else "parameters_json_schema"
    parameters = _schema(bytes(getattr(sent, field)), openapi=openapi)
    if isinstance(parameters, ValueError):
        raise invalid(f"{place}.{field}{parameters}")
    return FunctionDeclaration(sent.name, sent.description or "", parameters)


@lru_cache(maxsize=256)  # one Job's Requests mostly share their tools
def _schema(raw: bytes, *, openapi: bool) -> str | ValueError:
    try:
        text = json_schema(raw) if openapi else as_json_schema(raw)
        schema = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError(" is nested too deeply.")
    if schema.get("type", "object") != "object":
        return ValueError(" must describe an object: a function takes its arguments by name.")
    return text


def as_json_schema(raw: bytes) -> str:
    """Return JSON Schema text, spelled one way: equal schemas make equal Requests. Raise `ValueError`."""
    try:
        schema = msgspec.json.decode(raw)
    except ValueError as error:
        raise ValueError(f" is not JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise ValueError(" must be an object.")
    return msgspec.json.encode(schema).decode()


def _check_names(names: list[str]) -> None:
    if len(names) > DECLARATIONS_MAX:
        raise invalid(f"tools declares {len(names)} functions; at most {DECLARATIONS_MAX} are allowed.")
    for position, name in enumerate(names):
        if name in names[:position]:
            raise invalid(f"tools declares the function {name!r} twice. Give each a name of its own.")


def _check_allowed(allowed: tuple[str, ...], mode: str | None, names: set[str]) -> None:
    if not allowed:
        return
    if mode not in {"ANY", "VALIDATED"}:
        raise invalid("allowed_function_names is possible only with the modes ANY and VALIDATED.")
    for name in allowed:
        if name not in names:
            raise invalid(
                f"allowed_function_names has {name!r}, and tools declares only: {', '.join(sorted(names))}."
            )
