"""An Outcome becomes a GenerateContentResponse."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from halfrate.domain.outcome import Answered, Candidate, Delta, Finish, TokenLogprob
from halfrate.domain.page import PageStatus, ReadUrl
from halfrate.domain.request import FunctionCall
from halfrate.domain.usage import Usage


class TextPart(msgspec.Struct, gc=False):
    """A part of an answer."""

    text: str


class ThoughtPart(msgspec.Struct, gc=False):
    """What a model thought before it answered."""

    text: str
    thought: bool = True


class FunctionCallSent(msgspec.Struct, omit_defaults=True, gc=False):
    """A function the model wants called."""

    name: str
    args: Raw
    id: str | None = None


class FunctionCallPart(msgspec.Struct, rename="camel", gc=False):
    """A part that is a call and no text."""

    function_call: FunctionCallSent


AnswerPart = TextPart | ThoughtPart | FunctionCallPart


class ModelContent(msgspec.Struct, gc=False):
    """The model's turn."""

    parts: tuple[AnswerPart, ...]
    role: str = "model"


class LogprobsCandidate(msgspec.Struct, rename="camel", gc=False):
    """A token and its natural log probability."""

    token: str
    token_id: int
    log_probability: float


class TopCandidates(msgspec.Struct, gc=False):
    """The likeliest tokens of one step."""

    candidates: tuple[LogprobsCandidate, ...]


class LogprobsResult(msgspec.Struct, rename="camel", gc=False):
    """How likely an answer was, step by step."""

    chosen_candidates: tuple[LogprobsCandidate, ...]
    log_probability_sum: float
    top_candidates: tuple[TopCandidates, ...] | UnsetType = UNSET


class UrlMetadata(msgspec.Struct, rename="camel", gc=False):
    """What came of a URL that was to be read."""

    retrieved_url: str
    url_retrieval_status: str


class UrlContextMetadata(msgspec.Struct, rename="camel", gc=False):
    """What came of each URL that the prompt names."""

    url_metadata: tuple[UrlMetadata, ...]


class CandidateSent(msgspec.Struct, rename="camel", gc=False):
    """One answer, or in a stream a piece of it."""

    content: ModelContent
    finish_reason: str | UnsetType = UNSET
    index: int = 0
    avg_logprobs: float | UnsetType = UNSET
    logprobs_result: LogprobsResult | UnsetType = UNSET
    url_context_metadata: UrlContextMetadata | UnsetType = UNSET


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
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    tool_use_prompt_tokens_details: tuple[ModalityTokens, ...] = ()


class GenerateContentResponse(msgspec.Struct, rename="camel", gc=False):
    """An Answered, as the wire has it."""

    candidates: tuple[CandidateSent, ...]
    usage_metadata: UsageMetadata | UnsetType
    model_version: str
    response_id: str


_FINISH_REASONS = {
    Finish.STOP: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.MALFORMED_CALL: "MALFORMED_FUNCTION_CALL",
    Finish.BLOCKED: "SAFETY",
    Finish.RECITATION: "RECITATION",
    Finish.OTHER: "OTHER",
}


def generate_response(answered: Answered, *, model_version: str, response_id: str) -> GenerateContentResponse:
    """Return the response to a Request that was answered."""
    candidates = tuple([_candidate(one, index) for index, one in enumerate(answered.candidates)])
    thought_tokens = sum([one.thought_tokens for one in answered.candidates])
    usage = usage_metadata(answered.usage, thought_tokens=thought_tokens, tool_tokens=answered.tool_tokens)
    if answered.read:
        said = UrlContextMetadata(tuple(map(_url_metadata, answered.read)))
        for candidate in candidates:
            candidate.url_context_metadata = said
    return GenerateContentResponse(candidates, usage, model_version, response_id)


def piece_response(delta: Delta, *, model_version: str, response_id: str) -> GenerateContentResponse:
    """Return a response of a stream that is not its last."""
    part = ThoughtPart(delta.thought) if delta.thought else TextPart(delta.text)
    candidate = CandidateSent(ModelContent((part,)), index=delta.index)
    return GenerateContentResponse((candidate,), UNSET, model_version, response_id)


def usage_metadata(usage: Usage, *, thought_tokens: int = 0, tool_tokens: int = 0) -> UsageMetadata:
    """Return token counts as the wire has them: zeros are left out, and tools' tokens stand by themselves."""
    input_tokens, output_tokens, cached_tokens = usage.input_tokens, usage.output_tokens, usage.cached_tokens
    prompt_tokens = input_tokens - tool_tokens
    return UsageMetadata(
        prompt_tokens,
        output_tokens - thought_tokens,
        input_tokens + output_tokens,
        cached_tokens,
        (ModalityTokens(prompt_tokens),) if prompt_tokens else (),
        (ModalityTokens(cached_tokens),) if cached_tokens else (),
        thought_tokens,
        tool_tokens,
        (ModalityTokens(tool_tokens),) if tool_tokens else (),
    )


_STATUSES = {status: f"URL_RETRIEVAL_STATUS_{status.name}" for status in PageStatus}


def _url_metadata(read: ReadUrl) -> UrlMetadata:
    return UrlMetadata(read.url, _STATUSES[read.status])


def _candidate(candidate: Candidate, index: int) -> CandidateSent:
    sent = CandidateSent(ModelContent(_parts(candidate)), _FINISH_REASONS[candidate.finish], index)
    if candidate.logprobs:
        chosen = tuple(map(_likely, candidate.logprobs))
        total = sum(step.logprob for step in candidate.logprobs)
        sent.avg_logprobs = total / len(chosen)
        sent.logprobs_result = LogprobsResult(chosen, total, _top(candidate.logprobs))
    return sent


def _parts(candidate: Candidate) -> tuple[AnswerPart, ...]:
    if not (candidate.calls or candidate.thought):
        return (TextPart(candidate.text),)
    parts: list[AnswerPart] = []
    if candidate.thought:
        parts.append(ThoughtPart(candidate.thought))
    if candidate.text or not candidate.calls:
        parts.append(TextPart(candidate.text))
    parts += map(_call_part, candidate.calls)
    return tuple(parts)


def _call_part(call: FunctionCall) -> FunctionCallPart:
    return FunctionCallPart(FunctionCallSent(call.name, Raw(call.arguments.encode()), call.id))


def _likely(step: TokenLogprob) -> LogprobsCandidate:
    return LogprobsCandidate(step.token, step.token_id, step.logprob)


def _top(steps: tuple[TokenLogprob, ...]) -> tuple[TopCandidates, ...] | UnsetType:
    if not any(step.top for step in steps):
        return UNSET
    return tuple(TopCandidates(tuple(map(_likely, step.top))) for step in steps)
