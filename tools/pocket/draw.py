"""Examples, seeded choice, and the rule that keeps training and held-out material apart."""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Split(StrEnum):
    """Which side of the fence an example is on; held-out examples come in two strengths."""

    TRAINING = "training"
    NEW_WORDS = "new words"
    NEW_WORDS_AND_PHRASINGS = "new words and phrasings"

    @property
    def has_new_words(self) -> bool:
        """Whether names, products, materials and the like are ones that training never uses."""
        return self is not Split.TRAINING

    @property
    def has_new_phrasings(self) -> bool:
        """Whether instructions, statements and questions are ones that training never uses."""
        return self is Split.NEW_WORDS_AND_PHRASINGS


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user or model."""

    role: str
    text: str


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
    words, those whose checksum is a multiple of five. `any_of` is for what all splits share.
    """

    def __init__(self, seed: int, split: Split) -> None:
        self.random = random.Random(f"{split}-{seed}")
        self.split = split

    def one_of(self, words: Sequence[T]) -> T:
        """One of this split's share of `words`, which must number at least two."""
        return self.random.choice(share(words, held_out=self.split.has_new_words))

    def some_of(self, words: Sequence[T], count: int) -> list[T]:
        """`count` different items of this split's share of `words`, or all where it has fewer."""
        own = share(words, held_out=self.split.has_new_words)
        return self.random.sample(own, min(count, len(own)))

    def phrasing_of(self, phrasings: Sequence[T]) -> T:
        """One of this split's share of `phrasings`, which must number at least two."""
        return self.random.choice(share(phrasings, held_out=self.split.has_new_phrasings))

    def any_of(self, items: Sequence[T]) -> T:
        """One item of `items`, whatever the split."""
        return self.random.choice(items)

    def made_up(self, make: Callable[[random.Random], str]) -> str:
        """A made-up word of this split."""
        while True:
            word = make(self.random)
            if is_held_out(word) == self.split.has_new_words:
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


def share(items: Sequence[T], *, held_out: bool) -> Sequence[T]:
    """The part of `items` that is held out of training, or the rest."""
    assert len(items) >= 2, "a list this short has nothing to hold out"
    held_out_count = max(1, len(items) // 10)
    return items[-held_out_count:] if held_out else items[:-held_out_count]


def is_held_out(word: str) -> bool:
    """Whether a made-up word may appear only in held-out examples."""
    return zlib.crc32(word.lower().encode()) % 5 == 0
