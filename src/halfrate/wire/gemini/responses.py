"""An Outcome becomes a GenerateContentResponse."""

from __future__ import annotations

import msgspec

from halfrate.domain.outcome import Answered, Finish
from halfrate.domain.usage import Usage


class TextPart(msgspec.Struct, gc=False):
    """A part of an answer."""

    text: str


class ModelContent(msgspec.Struct, gc=False):
    """The model's turn."""

    parts: tuple[TextPart, ...]
    role: str = "model"


class Candidate(msgspec.Struct, rename="camel", gc=False):
    """One answer."""

    content: ModelContent
    finish_reason: str
    index: int = 0


class ModalityTokens(msgspec.Struct, rename="camel", gc=False):
    """Tokens of one kind of input."""

    token_count: int
    modality: str = "TEXT"


class UsageMetadata(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """Token counts of one answer."""

    prompt_token_count: int = 0
    candidates_token_count: int = 0
    total_token_count: int = 0
    cached_content_token_count: int = 0
    prompt_tokens_details: tuple[ModalityTokens, ...] = ()
    cache_tokens_details: tuple[ModalityTokens, ...] = ()


class GenerateContentResponse(msgspec.Struct, rename="camel", gc=False):
    """An Answered, as the wire has it."""

    candidates: tuple[Candidate, ...]
    usage_metadata: UsageMetadata
    model_version: str
    response_id: str


_FINISH_REASONS = {Finish.STOP: "STOP", Finish.LENGTH: "MAX_TOKENS"}


def generate_response(answered: Answered, *, model_version: str, response_id: str) -> GenerateContentResponse:
    """Return the response to a Request that was answered."""
    content = ModelContent((TextPart(answered.text),))
    candidate = Candidate(content, _FINISH_REASONS[answered.finish])
    return GenerateContentResponse((candidate,), usage_metadata(answered.usage), model_version, response_id)


def usage_metadata(usage: Usage) -> UsageMetadata:
    """Return token counts as the wire has them: zeros are left out."""
    input_tokens, output_tokens, cached_tokens = usage.input_tokens, usage.output_tokens, usage.cached_tokens
    return UsageMetadata(
        input_tokens,
        output_tokens,
        input_tokens + output_tokens,
        cached_tokens,
        (ModalityTokens(input_tokens),) if input_tokens else (),
        (ModalityTokens(cached_tokens),) if cached_tokens else (),
    )
