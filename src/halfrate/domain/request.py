"""What a client asks of a model, in no dialect: messages and how to decode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from halfrate.domain.embedding import Embedding


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    MODEL = "model"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The model wants a function called. ``arguments`` is the JSON text of an object."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionReturn:
    """What a function that was called gave back. ``response`` is JSON text."""

    name: str
    response: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something beside the text, which stands before the character ``at`` of its Message.

    It is here as ``data``, or it is a File at ``uri``, which is looked up before a Request reaches an Engine:
    what then is still attached is an image.
    """

    at: int
    mime_type: str
    data: bytes = b""
    uri: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. A system instruction is a first Message of role SYSTEM.

    Only a turn of the MODEL has ``calls``, and only one of role TOOL has ``returns``.
    """

    role: Role
    text: str
    calls: tuple[FunctionCall, ...] = ()
    returns: tuple[FunctionReturn, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class Choice(StrEnum):
    """Whether the model may, must or must not call a function."""

    AUTO = "auto"
    ANY = "any"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FunctionDeclaration:
    """A function the model may call. ``parameters`` is JSON Schema text, None if it takes none."""

    name: str
    description: str = ""
    parameters: str | None = None


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions a model knows of, at least one, no two of one name.

    ``allowed`` are the names it may call where there is a choice to restrict; empty means all of them.
    Unless ``several``, an answer has one call at most.
    """

    declarations: tuple[FunctionDeclaration, ...]
    choice: Choice = Choice.AUTO
    allowed: tuple[str, ...] = ()
    several: bool = True

    @property
    def callable(self) -> tuple[FunctionDeclaration, ...]:
        """The declarations of what may be called."""
        if self.choice is Choice.NONE:
            return ()
        return tuple(each for each in self.declarations if not self.allowed or each.name in self.allowed)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. ``None`` leaves the choice to the model's own default.

    Bounds, checked where a dialect is parsed: ``temperature`` 0 to 2 (0 is greedy), ``top_p`` 0 to 1,
    ``top_k`` at least 1, ``max_output_tokens`` at least 1, at most 5 ``stop`` strings.

    ``json_schema`` is JSON Schema text; the answer is then valid against it by construction. With ``choices``
    the answer is one of these texts. At most one of the two is given.
    ``candidates`` is how many answers to make, 1 to 8. ``logprobs`` is how many tokens to give the log
    probability of at each step, besides the one that was chosen: 0 to 20.
    ``thinking_budget`` bounds the tokens a model thinks before it answers: 0 is not at all, -1 as it likes.
    ``include_thoughts`` asks to be told what it thought.
    """

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    json_schema: str | None = None
    choices: tuple[str, ...] = ()
    candidates: int = 1
    logprobs: int | None = None
    thinking_budget: int | None = None
    include_thoughts: bool = False

    def fixed(self, *, default_temperature: float) -> bool:
        """Whether the same prompt must get the same answer: greedy, or sampled from a given seed."""
        temperature = default_temperature if self.temperature is None else self.temperature
        return temperature == 0 or self.seed is not None


UNASKED = Sampling()
"""How to decode where a client asks for nothing in particular."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to answer: at least one Message, the last of them not from the model.

    ``cache`` names a cached content whose Messages and Functions go before these, and with ``reads_urls`` the
    pages that the users' turns name are to be read; both are looked up before a Request reaches an Engine.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = UNASKED
    functions: Functions | None = None
    cache: str | None = None
    reads_urls: bool = False


AnyRequest = Request | Embedding
"""What one line asks: a text to be written, or a vector."""
