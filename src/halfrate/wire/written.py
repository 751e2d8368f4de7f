"""What of an answer a client has been sent already."""

from __future__ import annotations

from dataclasses import replace

from halfrate.domain.outcome import Answered, Candidate, Delta


class Written:
    """The pieces of an answer that were sent, by Candidate."""

    def __init__(self) -> None:
        self._so_far: dict[int, Delta] = {}

    def add(self, delta: Delta) -> None:
        """Note a piece."""
        before = self._so_far.get(delta.index, Delta())
        self._so_far[delta.index] = Delta(
            before.text + delta.text, before.thought + delta.thought, delta.index
        )

    def left(self, answered: Answered) -> tuple[Candidate, ...]:
        """Return the Candidates with what no piece has said of them."""
        return tuple(self._left(index, candidate) for index, candidate in enumerate(answered.candidates))

    def _left(self, index: int, candidate: Candidate) -> Candidate:
        so_far = self._so_far.get(index, Delta())
        return replace(
            candidate,
            text=candidate.text[len(so_far.text) :],
            thought=candidate.thought[len(so_far.thought) :],
        )
