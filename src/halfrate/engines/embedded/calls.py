"""Function calls as text: the form models write them in, and the form in which they are told of them. Pure.

The form is the one that most open models were taught: a JSON object between two marks. Models whose chat
template has it are told of functions by their template; all others by a system text that explains it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from halfrate.domain.request import (
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
)

BEGIN, END = "<tool_call>", "</tool_call>"
NO_PARAMETERS = '{"type":"object","properties":{},"additionalProperties":false}'

_EXPLAINED = """# Functions

You may call functions. They are described by JSON Schema, one a line:
<tools>
{declarations}
</tools>

To call one, write its name and its arguments as JSON between these marks, and nothing after the calls:
<tool_call>
{{"name": "the name", "arguments": {{"the parameter": "the value"}}}}
</tool_call>"""
_REQUIRED = "\n\nCall a function now."
_FORBIDDEN = "\n\nDo not call a function now: answer in words."
_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer says beside the calls in it, and those. ``broken`` is whether it ends in half a call."""

    text: str
    calls: tuple[FunctionCall, ...] = ()
    broken: bool = False


def read(answer: str) -> Said:
    """Tell calls from text. An answer that goes on says what this one says, and perhaps more."""
    pieces: list[str] = []
    calls: list[FunctionCall] = []
    at = 0
    while (begin := answer.find(BEGIN, at)) >= 0:
        pieces.append(answer[at:begin])
        read_call = _call(answer, begin + len(BEGIN))
        if read_call is None:
            return Said(_joined(pieces), tuple(calls), broken=True)
        call, at = read_call
        calls.append(call)
    rest = answer[at:]
    if calls and BEGIN.startswith(rest.strip()):
        rest = ""  # the answer was cut where one more call would have begun
    return Said(_joined([*pieces, rest]), tuple(calls))


def before_repeat(made: Sequence[FunctionCall]) -> tuple[FunctionCall, ...]:
    """The calls up to the first that was made before, arguments and all."""
    repeat = next((place for place, call in enumerate(made) if call in made[:place]), len(made))
    return tuple(made[:repeat])


def opening(declaration: FunctionDeclaration) -> str:
    """How a call of this function begins, up to its arguments."""
    return f'{BEGIN}\n{{"name": {json.dumps(declaration.name)}, "arguments": '


CLOSING = f"}}\n{END}"
"""How a call ends, after its arguments."""


def described(declaration: FunctionDeclaration) -> dict[str, object]:
    """A function as chat templates want it."""
    function = {"name": declaration.name, "description": declaration.description}
    parameters = json.loads(declaration.parameters or NO_PARAMETERS)
    return {"type": "function", "function": {**function, "parameters": parameters}}


def told(functions: Functions | None) -> tuple[FunctionDeclaration, ...]:
    """The functions a model is told of: those it may call, or all where it may call none."""
    return () if functions is None else functions.callable or functions.declarations


def in_words(request: Request) -> tuple[Message, ...]:
    """The Messages for a model that knows no functions: declarations, calls and returns are text in them."""
    messages = tuple(_in_words(message) for message in request.messages)
    if request.functions is None:
        return messages
    explained = _explained(request.functions)
    if messages[0].role is not Role.SYSTEM:
        return (Message(Role.SYSTEM, explained), *messages)
    system, *rest = messages
    return (replace(system, text=f"{system.text}\n\n{explained}"), *rest)


def _call(answer: str, at: int) -> tuple[FunctionCall, int] | None:
    """The call whose mark ends here, and where its closing mark ends; None if it is not whole."""
    try:
        begin = answer.index("{", at)
        value, end = _decoder.raw_decode(answer, begin)
        closed = answer.index(END, end) + len(END)
        arguments = msgspec.json.decode(answer[begin:end], type=_Call).arguments
        return FunctionCall(value["name"], msgspec.json.format(bytes(arguments), indent=-1).decode()), closed
    except (ValueError, RecursionError):
        return None


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


def _joined(pieces: Sequence[str]) -> str:
    return "\n".join(piece for piece in map(str.strip, pieces) if piece)


def _explained(functions: Functions) -> str:
    lines = "\n".join(json.dumps(described(each), ensure_ascii=False) for each in told(functions))
    endings = {Choice.AUTO: "", Choice.ANY: _REQUIRED, Choice.NONE: _FORBIDDEN}
    return _EXPLAINED.format(declarations=lines) + endings[functions.choice]


def _in_words(message: Message) -> Message:
    if message.calls:
        return Message(message.role, _joined([message.text, *map(_written, message.calls)]))
    if message.returns:
        return Message(Role.USER, _joined([*map(_returned, message.returns), message.text]))
    return message


def _written(call: FunctionCall) -> str:
    return f'{BEGIN}\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n{END}'


def _returned(returned: FunctionReturn) -> str:
    return f"<tool_response>\n{returned.response}\n</tool_response>"
