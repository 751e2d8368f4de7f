"""What one line of a client's file came to when it was parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import AnyRequest, Message, Request, Role, Sampling

MODEL_CHARS_MAX = 200
"""How long a model's name may be that a line gives."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that could be read.

    ``model`` is the model the line itself names, if it does, without ``models/`` in front. ``request`` is a
    `Failed` where the line is well-formed and asks for something that can never be answered here. ``kind`` is
    what it asks for.
    """

    key: str | None
    metadata: bytes | None
    model: str | None
    request: AnyRequest | Failed
    kind: Kind = Kind.GENERATION

    @classmethod
    def naming(
        cls, model: str, key: str | None, metadata: bytes | None, request: AnyRequest | Failed, kind: Kind
    ) -> Line:
        """Return a Line that names ``model``, an empty text for none. One that is too long makes it fail."""
        if len(model) > MODEL_CHARS_MAX:
            detail = f"The model's name has {len(model):,} characters; it may have {MODEL_CHARS_MAX}."
            return cls(key, metadata, None, Failed(Cause.INVALID, detail), kind)
        return cls(key, metadata, model or None, request, kind)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A line that cannot be read. ``message`` says why and where in the line, without the line's number."""

    message: str


@dataclass(frozen=True, slots=True)
class Texts:
    """Lines that each ask one user's text of a model, as columns of equal length.

    Most of ten million lines are like that, and an object for each would cost more than reading it.
    """

    keys: list[str | None]
    texts: list[str]
    samplings: list[Sampling]


class Plain(NamedTuple):
    """A line of texts and nothing out of the way, not made a `Line` yet.

    Whoever only sorts ten million of them saves the time that takes.
    """

    key: str | None
    turns: tuple[tuple[Role, str], ...]
    sampling: Sampling

    def line(self) -> Line:
        """Return the Line it is."""
        messages = tuple([Message(role, text) for role, text in self.turns])
        return Line(self.key, None, None, Request(messages, self.sampling))
