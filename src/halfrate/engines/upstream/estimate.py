"""About how many tokens a call takes, before that is known."""

from __future__ import annotations

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.outcome import Answered, Outcome
from halfrate.domain.request import AnyRequest

CHARS_A_TOKEN = 4.0
OUTPUT_TOKENS = 256.0
"""What is supposed before the first answer."""


class Estimate:
    """Learns from what calls took how many characters a token has here, and how long answers are."""

    def __init__(self) -> None:
        self._chars_a_token = CHARS_A_TOKEN
        self._output_tokens = OUTPUT_TOKENS

    def tokens(self, request: AnyRequest) -> int:
        """Return about how many tokens this takes, prompt and answer together."""
        tokens = _chars(request) / self._chars_a_token
        if not isinstance(request, Embedding):
            most = request.sampling.max_output_tokens
            tokens += self._output_tokens if most is None else min(most, self._output_tokens)
        return int(tokens) + 1

    def correct(self, request: AnyRequest, outcome: Outcome) -> int | None:
        """Learn from an answer, and return what it took; None if that is not known."""
        if not isinstance(outcome, Answered | Embedded) or not outcome.usage.total_tokens:
            return None
        if isinstance(outcome, Answered):
            self._output_tokens += (outcome.usage.output_tokens - self._output_tokens) / 16
        if outcome.usage.input_tokens:
            chars = _chars(request) / outcome.usage.input_tokens
            self._chars_a_token += (max(chars, 0.1) - self._chars_a_token) / 16
        return outcome.usage.total_tokens


def _chars(request: AnyRequest) -> int:
    if isinstance(request, Embedding):
        return len(request.text)
    return sum(len(message.text) for message in request.messages)
