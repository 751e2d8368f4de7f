"""Feeds an encoder, turn by turn: cut what is new into tokens, run texts of one length together, hand out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Cause
from halfrate.domain.usage import Usage
from halfrate.engines.embedded import protocol
from halfrate.engines.embedded.admission import INTERACTIVE_RUN
from halfrate.engines.embedded.bert.encoder import Encoded, Encoder, shortened, together

LANES = 256
"""Texts in flight that keep it busy: enough of each length to be run together."""

_BEAT_SECONDS = 1.0
_MARKS = 2  # tokens of a text that has no word


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A text that waits for its vector."""

    text: Encoded
    dimensions: int | None
    interactive: bool


class Embedder:
    """Owns the encoder. ``send`` is called with every message for the server."""

    def __init__(self, encoder: Encoder, send: Callable[[protocol.FromChild], None]) -> None:
        self._encoder = encoder
        self._send = send
        self._new: list[protocol.Embed] = []
        self._waiting: dict[int, _Waiting] = {}
        self._interactive_in_a_row = 0
        self._steps = 0
        self._beat_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether `turn` has anything to do."""
        return bool(self._new or self._waiting)

    def take(self, message: protocol.ToChild) -> None:
        """Accept one message. Cheap, except a `CountText`, which is answered at once."""
        match message:
            case protocol.Embed():
                self._new.append(message)
            case protocol.CountText(id=id, embedding=embedding):
                self._count(id, embedding)
            case protocol.Cancel(id=id):
                self._waiting.pop(id, None)
                self._new = [ask for ask in self._new if ask.id != id]
            case protocol.Ask(id=id) | protocol.Count(id=id):
                self._send(protocol.Refused(id, Cause.UNSUPPORTED, _WRITES_NOTHING))
            case protocol.Load():
                raise protocol.BadFrame("a second Load")

    def turn(self) -> None:
        """Run one batch."""
        self._encode()
        if self._waiting:
            self._run(self._together())
        self._beat()

    def _encode(self) -> None:
        new, self._new = self._new, []
        if not new:
            return
        for ask, text in zip(new, self._encoder.encode([ask.embedding for ask in new]), strict=True):
            refusal = self._refusal(ask.embedding, text)
            if refusal is None:
                self._waiting[ask.id] = _Waiting(text, ask.embedding.dimensions, ask.interactive)
            else:
                self._send(protocol.Refused(ask.id, Cause.INVALID, refusal))

    def _refusal(self, embedding: Embedding, text: Encoded) -> str | None:
        if len(text.tokens) <= _MARKS:
            return "The text is empty."
        return None

    def _together(self) -> dict[int, _Waiting]:
        """The first one that waits, interactive before others, and those that are run beside it."""
        length = self._first().text.length
        alike = [(id, one) for id, one in self._waiting.items() if one.text.length == length]
        alike.sort(key=lambda each: not each[1].interactive)  # stable: else as they came
        return dict(alike[: together(len(alike), length)])

    def _first(self) -> _Waiting:
        """The one to run next: an interactive one, but now and then the one that waits longest."""
        interactive = next((one for one in self._waiting.values() if one.interactive), None)
        if interactive is None or self._interactive_in_a_row >= INTERACTIVE_RUN:
            self._interactive_in_a_row = 0
            return next(iter(self._waiting.values()))
        self._interactive_in_a_row += 1
        return interactive

    def _run(self, batch: dict[int, _Waiting]) -> None:
        vectors = self._encoder.vectors([one.text for one in batch.values()])
        self._steps += 1
        for (id, one), vector in zip(batch.items(), vectors, strict=True):
            del self._waiting[id]
            packed = shortened(vector, one.dimensions).astype("<f4").tobytes()
            self._send(protocol.Vector(id, packed, Usage(input_tokens=len(one.text.tokens))))

    def _count(self, id: int, embedding: Embedding) -> None:
        (text,) = self._encoder.encode([embedding])
        self._send(protocol.Counted(id, len(text.tokens)))

    def _beat(self) -> None:
        now = time.monotonic()
        if self.busy and now - self._beat_at < _BEAT_SECONDS:
            return
        self._beat_at = now
        self._send(protocol.Beat(self._steps, 0, len(self._waiting) + len(self._new), 0.0))


_WRITES_NOTHING = (
    "This model turns texts into vectors and writes none. Use embedContent, or ask a model that generates."
)
