"""What tokens cost, in integers that add up exactly."""

from __future__ import annotations

from dataclasses import dataclass

from halfrate.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in micro-USD per million tokens, which is the same as pico-USD per token.

    Prompt tokens taken from the cache cost ``cached_input`` instead of ``input``.
    """

    input: int
    output: int
    cached_input: int

    def cost_picos(self, usage: Usage) -> int:
        """Return what ``usage`` costs in pico-USD. Costs of parts add up to the cost of the sum."""
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        return (
            fresh_tokens * self.input
            + usage.cached_tokens * self.cached_input
            + usage.output_tokens * self.output
        )

    def at_percent(self, percent: int) -> Rates:
        """Return these prices at ``percent`` of their height, each rounded up to a whole micro-USD."""
        return Rates(*(-(-rate * percent // 100) for rate in (self.input, self.output, self.cached_input)))


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, asked interactively and in a Job."""

    interactive: Rates
    batch: Rates

    @classmethod
    def of(cls, *, input: int, output: int, cached_input: int, batch_percent: int = 50) -> Price:
        """Return the price whose batch rates are ``batch_percent`` of the given interactive ones."""
        rates = Rates(input=input, output=output, cached_input=cached_input)
        return cls(interactive=rates, batch=rates.at_percent(batch_percent))
