"""What a client asks of a model, in no dialect: messages and how to decode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. A system instruction is a first Message of role SYSTEM."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. ``None`` leaves the choice to the model's own default.

    Bounds, checked where a dialect is parsed: ``temperature`` 0 to 2 (0 is greedy), ``top_p`` 0 to 1,
    ``top_k`` at least 1, ``max_output_tokens`` at least 1, at most 5 ``stop`` strings.
    ``json_schema`` is JSON Schema text; the answer is then valid against it by construction.
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

    def fixed(self, *, default_temperature: float) -> bool:
        """Whether the same prompt must get the same answer: greedy, or sampled from a given seed."""
        temperature = default_temperature if self.temperature is None else self.temperature
        return temperature == 0 or self.seed is not None


UNASKED = Sampling()
"""How to decode where a client asks for nothing in particular."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to answer: at least one Message, the last of them not from the model."""

    messages: tuple[Message, ...]
    sampling: Sampling = UNASKED
