"""How much prompts have in common with the one before, in the order to run them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sharing:
    """Bytes of prompts, those shared with the prompt before, and how many prompts share less than half.

    The last are where a group begins of prompts that are alike for the most part.
    """

    prompt_bytes: int = 0
    shared_bytes: int = 0
    groups: int = 0

    @property
    def part(self) -> float:
        """How much of all prompts is shared, from 0 to less than 1."""
        return self.shared_bytes / self.prompt_bytes if self.prompt_bytes else 0.0

    @property
    def times_less(self) -> float:
        """By which factor there is less of prompts to compute when nothing shared is computed twice."""
        return 1 / (1 - self.part)

    def __add__(self, other: Sharing) -> Sharing:
        return Sharing(
            self.prompt_bytes + other.prompt_bytes,
            self.shared_bytes + other.shared_bytes,
            self.groups + other.groups,
        )

    def times(self, factor: float) -> Sharing:
        """Return what a whole comes to of which this is a sample."""
        return Sharing(
            round(self.prompt_bytes * factor), round(self.shared_bytes * factor), round(self.groups * factor)
        )
