"""What a model makes of a Request."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a model makes of a Request, and what all Requests of one Job are for."""

    GENERATION = "generation"
    EMBEDDING = "embedding"


def stranger(kind: Kind) -> str:
    """Say of a line of this kind that it has come into a Job of the other one."""
    if kind is Kind.EMBEDDING:
        return (
            "the line asks for an embedding (content), and this is a batch of generateContent: "
            "create the batch with asyncBatchEmbedContent"
        )
    return (
        "the line asks for a text (contents), and this is a batch of embedContent: "
        "create the batch with batchGenerateContent, or write content"
    )
