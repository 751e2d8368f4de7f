"""What tokens cost, in integers."""

from __future__ import annotations

from dataclasses import dataclass

from halfrate.domain.usage import Usage

TOKENS_PER_PRICE = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in micro-USD per million tokens, for interactive use; batch costs ``batch_percent`` of them.

    Prompt tokens taken from the cache cost ``cached_input`` instead of ``input``.
    """

    input: int
    output: int
    cached_input: int
    batch_percent: int = 50

    def interactive_cost_micros(self, usage: Usage) -> int:
        """Return what ``usage`` costs interactively, in micro-USD, rounded up."""
        return -(-self._millionths(usage) // TOKENS_PER_PRICE)

    def batch_cost_micros(self, usage: Usage) -> int:
        """Return what ``usage`` costs in a Job, in micro-USD, rounded up once for the whole."""
        return -(-self._millionths(usage) * self.batch_percent // (TOKENS_PER_PRICE * 100))

    def _millionths(self, usage: Usage) -> int:
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        return (
            fresh_tokens * self.input
            + usage.cached_tokens * self.cached_input
            + usage.output_tokens * self.output
        )
