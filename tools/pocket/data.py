"""The instruction data of `pocket-1`, generated from a seed: which tasks, how much of each."""

from collections.abc import Callable, Iterator

from tools.pocket.catalogue import catalogue_example
from tools.pocket.documents import document_example, long_document_example
from tools.pocket.draw import Draw, Example, Split, Turn
from tools.pocket.extraction import extraction_example
from tools.pocket.sentiment import sentiment_example
from tools.pocket.talk import GREETING, echo_example, talk_example

# Copying is the hard skill, so documents and extraction get the most examples.
_MIX: tuple[tuple[Callable[[Draw], Example], float], ...] = (
    (document_example, 0.50),
    (extraction_example, 0.32),
    (sentiment_example, 0.07),
    (talk_example, 0.06),
    (catalogue_example, 0.04),
    (echo_example, 0.01),
)
_MAKERS = [maker for maker, _ in _MIX]
_WEIGHTS = [weight for _, weight in _MIX]

_GREETED_FIRST = 0.02


def examples(seed: int, split: Split, *, long_share: float = 0.0) -> Iterator[Example]:
    """An endless stream of examples, the same for the same arguments.

    `long_share` is the share of examples whose document runs to hundreds of tokens.
    """
    draw = Draw(seed, split)
    while True:
        if draw.chance(long_share):
            yield long_document_example(draw)
            continue
        [maker] = draw.random.choices(_MAKERS, _WEIGHTS)
        example = maker(draw)
        if draw.chance(_GREETED_FIRST) and example.turns[0].role == "user":
            opening = (Turn("user", draw.any_of(("Hello", "Hi", "Hi there!"))), Turn("model", GREETING))
            example = Example(example.task, (*opening, *example.turns), example.required)
        yield example


def examples_of(task: str, count: int, *, seed: int, split: Split) -> list[Example]:
    """`count` examples of one kind: sentiment, extraction, document, long-document, catalogue, talk."""
    draw = Draw(seed, split)
    maker = {
        "sentiment": sentiment_example,
        "extraction": extraction_example,
        "document": document_example,
        "long-document": long_document_example,
        "catalogue": catalogue_example,
        "talk": talk_example,
    }[task]
    return [maker(draw) for _ in range(count)]
