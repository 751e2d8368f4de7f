"""What a client asks of an embedding model, in no dialect, and the vector it gets."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from halfrate.domain.usage import Usage


class Purpose(StrEnum):
    """What a vector is for. A model may embed the same text differently for each."""

    RETRIEVAL_QUERY = "retrieval_query"
    RETRIEVAL_DOCUMENT = "retrieval_document"
    SEMANTIC_SIMILARITY = "semantic_similarity"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    QUESTION_ANSWERING = "question_answering"
    FACT_VERIFICATION = "fact_verification"
    CODE_RETRIEVAL_QUERY = "code_retrieval_query"


@dataclass(frozen=True, slots=True)
class Embedding:
    """One text to turn into a vector: a Request to an embedding model.

    ``title`` is that of a document, given only with `Purpose.RETRIEVAL_DOCUMENT`. ``dimensions`` of the
    vector are wanted, at least 1; None leaves it as long as the model makes it.
    """

    text: str
    purpose: Purpose | None = None
    title: str | None = None
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of a text, of length 1. ``packed`` is its numbers as 32-bit floats, little-endian."""

    packed: bytes
    usage: Usage

    @classmethod
    def of(cls, values: Iterable[float], usage: Usage) -> Self:
        """Return the vector with these numbers, each rounded to 32 bits."""
        return cls(_little_endian(array("f", values)).tobytes(), usage)

    @property
    def values(self) -> array[float]:
        """Return the numbers."""
        values = array("f")
        values.frombytes(self.packed)
        return _little_endian(values)


def _little_endian(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
