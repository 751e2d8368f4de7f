"""Seeded choice, and the rule that keeps training and held-out material apart."""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tools.pocket.tokenizer import Turn

T = TypeVar("T")


class Split(StrEnum):
    """Which side of the fence an example is on."""

    TRAINING = "training"
    HELD_OUT = "held-out"


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation; the last turn is the model's, and is what the model has to say.

    `required` are the phrases an answer must contain where its exact wording is free.
    """

    task: str
    turns: tuple[Turn, ...]
    required: tuple[str, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """Everything before the last answer."""
        return self.turns[:-1]

    @property
    def answer(self) -> str:
        """The answer to learn, or to compare with."""
        return self.turns[-1].text


class Draw:
    """A seeded source of choices that only ever hands out material of its own split.

    Of every list of words or phrasings the last tenth (at least one) is held out; of made-up
    words, those whose checksum is a multiple of five. `any_of` is for what both sides share.
    """

    def __init__(self, seed: int, split: Split) -> None:
        self.random = random.Random(f"{split}-{seed}")
        self.split = split

    def one_of(self, items: Sequence[T]) -> T:
        """One item of this split's share of `items`, which must number at least two."""
        return self.random.choice(share(items, self.split))

    def some_of(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items of this split's share, or all of them where it has fewer."""
        own = share(items, self.split)
        return self.random.sample(own, min(count, len(own)))

    def any_of(self, items: Sequence[T]) -> T:
        """One item of `items`, whatever the split."""
        return self.random.choice(items)

    def made_up(self, make: Callable[[random.Random], str]) -> str:
        """A made-up word of this split."""
        while True:
            word = make(self.random)
            if is_held_out(word) == (self.split is Split.HELD_OUT):
                return word

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return self.random.randint(low, high)

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order."""
        return self.random.sample(items, len(items))


def share(items: Sequence[T], split: Split) -> Sequence[T]:
    """The part of `items` that belongs to `split`."""
    assert len(items) >= 2, "a list this short has nothing to hold out"
    held_out_count = max(1, len(items) // 10)
    return items[-held_out_count:] if split is Split.HELD_OUT else items[:-held_out_count]


def is_held_out(word: str) -> bool:
    """Whether a made-up word may appear only in held-out examples."""
    return zlib.crc32(word.lower().encode()) % 5 == 0
