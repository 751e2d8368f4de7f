"""An embeddings request becomes Embeddings, and their vectors a list."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.usage import Usage
from halfrate.wire.openai.reading import Reader, Sent, at

INPUTS_MAX = 2_048


class EmbeddingsRequest(Sent):
    """An embeddings request."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


_READER = Reader(EmbeddingsRequest)


@dataclass(frozen=True, slots=True)
class NewEmbeddings:
    """Texts to embed, at least one, and whether their vectors are wanted as base64."""

    model: str
    embeddings: tuple[Embedding, ...]
    as_base64: bool


def read_embeddings(raw: bytes | Raw) -> NewEmbeddings:
    """Return what is to be embedded. Raise `InvalidArgument` if it cannot be."""
    asked = _READER.read(raw)
    if asked.dimensions is not None and asked.dimensions < 1:
        raise at("dimensions", f"Invalid 'dimensions': {asked.dimensions} is not from 1 on.")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not 0 < len(texts) <= INPUTS_MAX:
        raise at("input", f"Invalid 'input': give 1 to {INPUTS_MAX} texts.")
    embeddings = tuple(_embedding(text, asked.dimensions) for text in texts)
    return NewEmbeddings(asked.model, embeddings, asked.encoding_format == "base64")


def _embedding(text: str | int | list[int], dimensions: int | None) -> Embedding:
    if not isinstance(text, str):
        raise at("input", "Invalid 'input': give texts. Models here do not share tokens with others.")
    if not text or text.isspace():
        raise at("input", "Invalid 'input': a text is empty. There is nothing to embed.")
    return Embedding(text, dimensions=dimensions)


def embeddings(embedded: Sequence[Embedded], *, model: str, as_base64: bool = False) -> dict[str, Any]:
    """Return the list that answers."""
    tokens = sum((each.usage for each in embedded), start=Usage()).input_tokens
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                # Packed as this dialect wants them: 32-bit floats, little-endian.
                "embedding": base64.b64encode(each.packed).decode() if as_base64 else list(each.values),
            }
            for index, each in enumerate(embedded)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def embeddings_body(embedded: Sequence[Embedded], *, model: str, as_base64: bool) -> bytes:
    """Return the body that answers ``embeddings``."""
    return msgspec.json.encode(embeddings(embedded, model=model, as_base64=as_base64))
