"""From messages to the tokens the model reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halfrate.domain.embedding import Embedding
from halfrate.domain.request import AnyRequest, FunctionCall, Message, Request, Role
from halfrate.engines.embedded import calls, native, thinking
from halfrate.engines.embedded.loading import reason

if TYPE_CHECKING:
    from openvino_genai import Tokenizer

# No text of this many bytes per token of context can fit: English has four or five, and runs of spaces, the
# worst there is, seldom more than twenty. What is longer is refused before anyone spends time on it.
BYTES_PER_TOKEN_MAX = 32

_SPEAKER = {Role.SYSTEM: "system", Role.USER: "user", Role.MODEL: "assistant", Role.TOOL: "tool"}
_PLAIN_SPEAKER = {Role.USER: "User: ", Role.MODEL: "Assistant: ", Role.SYSTEM: "", Role.TOOL: "Tool: "}


class BadPrompt(Exception):
    """The model's chat template does not accept these messages."""


def prompt_bytes(request: AnyRequest) -> int:
    """The size of what is said, in UTF-8 bytes. Raise `UnicodeEncodeError` for half a surrogate pair."""
    if isinstance(request, Embedding):
        return len(request.text.encode()) + len((request.title or "").encode())
    return sum(len(text.encode()) for text in _texts(request))


def _texts(request: Request) -> Iterator[str]:
    for message in request.messages:
        yield message.text
        yield from (call.arguments for call in message.calls)
        yield from (returned.response for returned in message.returns)
    for declaration in calls.told(request.functions):
        yield declaration.description
        yield declaration.parameters or ""


def plain(messages: tuple[Message, ...]) -> str:
    """The prompt for a model without a chat template: who speaks, what they say, and the model's turn."""
    return "".join(f"{_PLAIN_SPEAKER[m.role]}{m.text}\n\n" for m in messages) + "Assistant:"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model will read, and whether what it writes next is a thought."""

    tokens: list[int]
    thinking: bool = False


class Prompts:
    """Renders with the model's own chat template, and encodes."""

    def __init__(self, tokenizer: Tokenizer, template_options: dict[str, bool | str]) -> None:
        self._tokenizer = tokenizer
        self._options = template_options
        self._has_template = bool(tokenizer.chat_template)
        self.end_of_thought = _end_of_thought(tokenizer)
        self._knows_functions = "tools" in tokenizer.chat_template and calls.BEGIN in tokenizer.chat_template

    @property
    def thinks(self) -> bool:
        """Whether the model thinks before it answers, when it is told to."""
        return self.end_of_thought is not None

    def prompt(self, request: Request) -> Prompt:
        """The prompt the model will read. Raise `BadPrompt`."""
        text, is_thought = self._text_of(request), False
        if self.thinks:
            text, is_thought = thinking.opened(text, thinking.wanted(request.sampling), self._options)
        return Prompt(self.encoded(text), is_thought)

    def encoded(self, text: str) -> list[int]:
        """These tokens, as a part of a prompt."""
        # A template writes the special tokens it wants; without one the tokenizer adds its own.
        encoded = self._tokenizer.encode(text, add_special_tokens=not self._has_template)
        tokens: list[int] = encoded.input_ids.data[0].tolist()
        return tokens

    def text(self, tokens: list[int]) -> str:
        """What the model wrote. Decoded at once, so that no character is cut in two."""
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def marked_text(self, tokens: list[int]) -> str:
        """What the model wrote, with the marks around function calls, which some tokenizers call special."""
        end = self._tokenizer.get_eos_token_id()
        written = [token for token in tokens if token != end]
        text: str = self._tokenizer.decode(written, skip_special_tokens=False)
        return text

    def _text_of(self, request: Request) -> str:
        options = dict(self._options)
        want = thinking.wanted(request.sampling)
        if self.thinks and want is not None:
            options[thinking.SWITCH] = want
        if self._knows_functions:
            tools = [calls.described(each) for each in calls.told(request.functions)]
            return self._rendered(request.messages, tools, options)
        messages = calls.in_words(request)
        return self._rendered(messages, [], options) if self._has_template else plain(messages)

    def _rendered(
        self, messages: tuple[Message, ...], tools: list[dict[str, object]], options: dict[str, bool | str]
    ) -> str:
        try:
            return self._render(messages, tools, options)
        except native.ERRORS as error:
            if messages[0].role is not Role.SYSTEM or len(messages) < 2:
                raise BadPrompt(f"the model's chat template refuses the messages: {reason(error)}") from error
        # Some templates know no system role. What it says then opens what the user says.
        system, first, *rest = messages
        return self._rendered((Message(first.role, f"{system.text}\n\n{first.text}"), *rest), tools, options)

    def _render(
        self, messages: tuple[Message, ...], tools: list[dict[str, object]], options: dict[str, bool | str]
    ) -> str:
        history = [turn for message in messages for turn in _turns(message)]
        text: str = self._tokenizer.apply_chat_template(
            history, add_generation_prompt=True, tools=tools, extra_context=options
        )
        return text


def _end_of_thought(tokenizer: Tokenizer) -> int | None:
    """The token that ends a thought, None for a model that does not think."""
    if thinking.BEGIN not in tokenizer.chat_template and thinking.SWITCH not in tokenizer.chat_template:
        return None
    token: int | None = tokenizer.get_vocab().get(thinking.END.encode())
    return token


def _turns(message: Message) -> Iterator[dict[str, object]]:
    """A Message as chat templates want it: what a function returned is a turn of its own."""
    for returned in message.returns:
        yield {"role": "tool", "name": returned.name, "content": returned.response}
    if message.calls:
        called = [_called(call) for call in message.calls]
        yield {"role": "assistant", "content": message.text, "tool_calls": called}
    elif message.text or not message.returns:
        role = Role.USER if message.returns else message.role
        yield {"role": _SPEAKER[role], "content": message.text}


def _called(call: FunctionCall) -> dict[str, object]:
    return {"type": "function", "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
