"""Models as resources, and the interactive calls on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Answered, Delta, Failed, Outcome
from halfrate.domain.request import Request
from halfrate.wire.gemini.content import Content, GenerateContentRequest, bare_model, understand
from halfrate.wire.gemini.errors import failure
from halfrate.wire.gemini.lenient import Message, Reader
from halfrate.wire.gemini.responses import ModalityTokens, generate_response, piece_response
from halfrate.wire.written import Written

# What is read -----------------------------------------------------------------------------------------


class CountTokensRequest(Message):
    """The body of ``countTokens``: contents alone, or a whole request."""

    contents: list[Content] | None = None
    generate_content_request: GenerateContentRequest | None = None


_GENERATE = Reader(GenerateContentRequest)
_COUNT = Reader(CountTokensRequest)


def parse_generate(body: bytes, *, model: str) -> Request:
    """Return the Request in a ``generateContent`` call to ``model``.

    Raise `InvalidArgument` if it cannot be read, understood or done.
    """
    return _understood(_GENERATE.read_body(body), model)


def parse_count_tokens(body: bytes, *, model: str) -> Request:
    """Return the Request whose tokens a ``countTokens`` call asks for. Raises as `parse_generate` does."""
    asked = _COUNT.read_body(body)
    if asked.contents and asked.generate_content_request is not None:
        raise InvalidArgument("contents and generate_content_request cannot both be set.")
    return _understood(
        asked.generate_content_request or GenerateContentRequest(contents=asked.contents), model
    )


def _understood(asked: GenerateContentRequest, model: str) -> Request:
    if asked.model and bare_model(asked.model) != bare_model(model):
        raise InvalidArgument(f"model is {asked.model!r}, but the URL names {bare_model(model)!r}.")
    request = understand(asked)
    if isinstance(request, Failed):
        raise InvalidArgument(request.detail)
    return request


# What is written --------------------------------------------------------------------------------------


def generated(answered: Answered, *, model_version: str, response_id: str) -> bytes:
    """Return the body that answers ``generateContent``."""
    response = generate_response(answered, model_version=model_version, response_id=response_id)
    return msgspec.json.encode(response)


class GeneratedStream:
    """The bodies of ``streamGenerateContent``, which together say what `generated` says at once."""

    def __init__(self, *, model_version: str, response_id: str) -> None:
        self._model_version = model_version
        self._response_id = response_id
        self._written = Written()

    def piece(self, delta: Delta) -> bytes:
        """Return the body for a piece."""
        self._written.add(delta)
        return msgspec.json.encode(
            piece_response(delta, model_version=self._model_version, response_id=self._response_id)
        )

    def end(self, outcome: Outcome) -> bytes:
        """Return the last body: what no piece has said yet, why it ends, and what it took; or the error."""
        if isinstance(outcome, Failed):
            return failure(outcome)[1]
        assert isinstance(outcome, Answered), "a vector for a Request to write"
        return generated(
            replace(outcome, candidates=self._written.left(outcome)),
            model_version=self._model_version,
            response_id=self._response_id,
        )


def tokens_counted(tokens: int, *, cached: int = 0) -> bytes:
    """Return the body that answers ``countTokens``. ``cached`` of them are those of a cached content."""
    shown: dict[str, Any] = {"totalTokens": tokens, "promptTokensDetails": (ModalityTokens(tokens),)}
    if cached:
        shown |= {"cachedContentTokenCount": cached, "cacheTokensDetails": (ModalityTokens(cached),)}
    return msgspec.json.encode(shown)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a client may know of a model. Limits are None while its Engine has not said."""

    name: str
    version: str
    display_name: str
    description: str
    context_tokens: int | None
    default_temperature: float | None
    kind: Kind = Kind.GENERATION
    thinks: bool = False


_METHODS = {
    Kind.GENERATION: ["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"],
    Kind.EMBEDDING: ["embedContent", "batchEmbedContents", "countTokens", "asyncBatchEmbedContent"],
}


def model_resource(facts: ModelFacts) -> dict[str, Any]:
    """Return a model as clients see it."""
    name = bare_model(facts.name)
    writes = facts.kind is Kind.GENERATION
    shown = {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": facts.version,
        "displayName": facts.display_name or name,
        "description": facts.description,
        "inputTokenLimit": facts.context_tokens,
        "outputTokenLimit": facts.context_tokens if writes else 1,
        "supportedGenerationMethods": _METHODS[facts.kind],
        "temperature": facts.default_temperature if writes else None,
        "maxTemperature": 2.0 if writes else None,
        "thinking": True if facts.thinks else None,
    }
    return {name: value for name, value in shown.items() if value is not None and value != ""}


def model_body(facts: ModelFacts) -> bytes:
    """Return the body that shows one model."""
    return msgspec.json.encode(model_resource(facts))
