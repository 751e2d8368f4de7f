"""An EmbedContentRequest becomes an Embedding, and its vector a response."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded, Embedding, Purpose
from halfrate.domain.errors import InvalidArgument, Unimplemented
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.usage import Usage
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.content import Content, Part, bare_model
from halfrate.wire.gemini.inability import Inability, invalid, unsupported
from halfrate.wire.gemini.lenient import Reader, given
from halfrate.wire.gemini.responses import UsageMetadata, usage_metadata

BATCH_MAX = 100
"""Texts in one ``batchEmbedContents``."""

# What is read -----------------------------------------------------------------------------------------


class EmbedContentRequest(lenient.Message):
    """What a client asks of an embedding model."""

    model: str | None = None
    content: Content | None = None
    task_type: (
        Literal[
            "TASK_TYPE_UNSPECIFIED",
            "RETRIEVAL_QUERY",
            "RETRIEVAL_DOCUMENT",
            "SEMANTIC_SIMILARITY",
            "CLASSIFICATION",
            "CLUSTERING",
            "QUESTION_ANSWERING",
            "FACT_VERIFICATION",
            "CODE_RETRIEVAL_QUERY",
        ]
        | None
    ) = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(lenient.Message):
    """Some of them, to be answered in one call."""

    requests: list[EmbedContentRequest] | None = None


_ONE = Reader(EmbedContentRequest)
_MANY = Reader(BatchEmbedContentsRequest)


def understand_embedding(asked: EmbedContentRequest) -> Embedding | Failed:
    """Return the Embedding that ``asked`` means, or why there is none."""
    try:
        return _embedding(asked)
    except Inability as inability:
        return inability.failed


def parse_embed(body: bytes, *, model: str) -> Embedding:
    """Return the Embedding in an ``embedContent`` call to ``model``.

    Raise `InvalidArgument` if it cannot be read or understood, `Unimplemented` if it cannot be done.
    """
    return _understood(_ONE.read_body(body), model, "")


def parse_batch_embed(body: bytes, *, model: str) -> list[Embedding]:
    """Return the Embeddings in a ``batchEmbedContents`` call, at least one. Raises as `parse_embed` does."""
    requests = _MANY.read_body(body).requests or []
    if not requests:
        raise InvalidArgument("* BatchEmbedContentsRequest.requests: is empty: give at least one request.")
    if len(requests) > BATCH_MAX:
        raise InvalidArgument(
            f"* BatchEmbedContentsRequest.requests: at most {BATCH_MAX} requests can be in one batch, and "
            f"there are {len(requests)}. Send them in several calls, or as a batch of asyncBatchEmbedContent."
        )
    return [_understood(asked, model, f"requests[{index}].") for index, asked in enumerate(requests)]


def _understood(asked: EmbedContentRequest, model: str, place: str) -> Embedding:
    if asked.model and bare_model(asked.model) != bare_model(model):
        raise InvalidArgument(f"{place}model is {asked.model!r}, but the URL names {bare_model(model)!r}.")
    embedding = understand_embedding(asked)
    if isinstance(embedding, Failed):
        error = Unimplemented if embedding.cause is Cause.UNSUPPORTED else InvalidArgument
        raise error(place + embedding.detail)
    return embedding


def _embedding(asked: EmbedContentRequest) -> Embedding:
    purpose = None
    if asked.task_type not in {None, "TASK_TYPE_UNSPECIFIED"}:
        purpose = Purpose[str(asked.task_type)]
    if asked.title and purpose is not Purpose.RETRIEVAL_DOCUMENT:
        raise invalid("title: only a text with task_type RETRIEVAL_DOCUMENT may have one.")
    dimensions = asked.output_dimensionality or None  # 0 is what the field is where it is not set
    if dimensions is not None and dimensions < 0:
        raise invalid(f"output_dimensionality is {dimensions}. It must be at least 1.")
    return Embedding(_text(asked.content), purpose, asked.title or None, dimensions)


def _text(content: Content | None) -> str:
    """Return the texts of all parts, one below the other."""
    if content is None or not content.parts:
        raise invalid("content has no parts. Give it a text part.")
    texts = [_text_of(part, f"content.parts[{number}]") for number, part in enumerate(content.parts)]
    text = "\n".join(texts)
    if not text or text.isspace():
        raise invalid("content is empty. There is nothing to embed.")
    return text


def _text_of(part: Part, place: str) -> str:
    for field in Part.__struct_fields__[1:]:
        if given(getattr(part, field)):
            raise unsupported(f"{place}.{field}: only text can be embedded.")
    return part.text or ""


# What is written --------------------------------------------------------------------------------------


class ContentEmbedding(msgspec.Struct, gc=False):
    """A vector."""

    values: Raw


class EmbedContentResponse(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """An Embedded, as Results have it. SDKs read the count of tokens in one place or in the other.

    The protocol has no ``model_version`` here: it is given where another model answered than the batch's.
    """

    embedding: ContentEmbedding
    token_count: str
    usage_metadata: UsageMetadata
    model_version: str | None = None


class _Embedded(msgspec.Struct, rename="camel"):
    embedding: ContentEmbedding
    usage_metadata: UsageMetadata


class _BatchEmbedded(msgspec.Struct, rename="camel"):
    embeddings: list[ContentEmbedding]
    usage_metadata: UsageMetadata


def embed_response(embedded: Embedded, *, model_version: str | None = None) -> EmbedContentResponse:
    """Return the response to a text in a batch."""
    usage = embedded.usage
    return EmbedContentResponse(
        _vector(embedded), str(usage.input_tokens), usage_metadata(usage), model_version
    )


def embedded_body(embedded: Embedded) -> bytes:
    """Return the body that answers ``embedContent``."""
    return msgspec.json.encode(_Embedded(_vector(embedded), usage_metadata(embedded.usage)))


def batch_embedded_body(embedded: Sequence[Embedded]) -> bytes:
    """Return the body that answers ``batchEmbedContents``."""
    usage = sum((each.usage for each in embedded), start=Usage())
    return msgspec.json.encode(_BatchEmbedded([_vector(each) for each in embedded], usage_metadata(usage)))


def _vector(embedded: Embedded) -> ContentEmbedding:
    """Return its numbers with nine digits: they tell any two apart, and take half the room."""
    values = tuple(embedded.values)
    return ContentEmbedding(Raw(("[" + ",".join(["%.9g"] * len(values)) + "]") % values))
