"""Responses and lines of outputs read back: those of this server, and those of another one."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded
from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Candidate, Cause, Failed, Finish, Outcome, TokenLogprob
from halfrate.domain.request import FunctionCall
from halfrate.domain.usage import Usage


class _Read(msgspec.Struct, rename="camel"):
    """Base of what is read: what is not needed is passed over."""


class _Call(_Read):
    name: str
    args: Raw = Raw(b"{}")
    id: str | None = None


class _Part(_Read):
    text: str = ""
    thought: bool = False
    function_call: _Call | None = None


class _Content(_Read):
    parts: list[_Part] = []


class _Likely(_Read):
    token: str = ""
    token_id: int = 0
    log_probability: float = 0.0


class _Top(_Read):
    candidates: list[_Likely] = []


class _Logprobs(_Read):
    chosen_candidates: list[_Likely] = []
    top_candidates: list[_Top] = []


class CandidateRead(_Read):
    """One answer, or in a stream a piece of it: only the last says why it ends."""

    content: _Content = msgspec.field(default_factory=_Content)
    finish_reason: str = ""
    index: int = 0
    logprobs_result: _Logprobs = msgspec.field(default_factory=_Logprobs)


class _Usage(_Read):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    cached_content_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0


class _Vector(_Read):
    values: list[float] = []


class _PromptFeedback(_Read):
    block_reason: str = ""


class ResponseRead(_Read):
    """What answers a Request. It has no candidates where the prompt was blocked."""

    embedding: _Vector | None = None
    candidates: list[CandidateRead] = []
    prompt_feedback: _PromptFeedback | None = None
    token_count: int | str = 0
    usage_metadata: _Usage = msgspec.field(default_factory=_Usage)
    model_version: str = ""
    response_id: str = ""


class _Error(_Read):
    code: int = 13
    message: str = ""


class _ResultLine(_Read):
    key: str | None = None
    response: ResponseRead | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_ResultLine).decode
_FINISHES = {
    "": Finish.STOP,
    "FINISH_REASON_UNSPECIFIED": Finish.STOP,
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "MALFORMED_FUNCTION_CALL": Finish.MALFORMED_CALL,
    "UNEXPECTED_TOOL_CALL": Finish.MALFORMED_CALL,
    "SAFETY": Finish.BLOCKED,
    "BLOCKLIST": Finish.BLOCKED,
    "PROHIBITED_CONTENT": Finish.BLOCKED,
    "SPII": Finish.BLOCKED,
    "IMAGE_SAFETY": Finish.BLOCKED,
    "IMAGE_PROHIBITED_CONTENT": Finish.BLOCKED,
    "RECITATION": Finish.RECITATION,
    "IMAGE_RECITATION": Finish.RECITATION,
}
_CAUSES = {
    1: Cause.CANCELLED,
    3: Cause.INVALID,
    4: Cause.TIMED_OUT,
    8: Cause.OVERLOADED,
    12: Cause.UNSUPPORTED,
    7: Cause.FORBIDDEN,
    14: Cause.OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a line of an output says. An answer has a ``response_id`` and says which model gave it."""

    key: str | None
    outcome: Outcome
    response_id: str = ""
    model_version: str = ""


def read_result(line: bytes, *, expired: bool) -> ReadResult:
    """Return what a line says. ``expired`` is whether its Job was stopped by its deadline.

    Causes that have one code come back as one of them, a Candidate's thought tokens as the first one's.
    Raise `CorruptData` if it is no line of an output.
    """
    try:
        said = _decode(line)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"A line of an output cannot be read ({error}). Run `halfrate doctor`.") from None
    if said.response is not None:
        response = said.response
        return ReadResult(said.key, outcome_of(response), response.response_id, response.model_version)
    failed = said.error or _Error(message="The line has neither a response nor an error.")
    cause = _CAUSES.get(failed.code, Cause.INTERNAL)
    if cause is Cause.TIMED_OUT and expired:
        cause = Cause.EXPIRED
    return ReadResult(said.key, Failed(cause, failed.message))


def outcome_of(response: ResponseRead) -> Outcome:
    """Return what a response says. A prompt that was blocked is answered with nothing, and blocked."""
    if response.embedding is not None:
        tokens = response.usage_metadata.prompt_token_count or int(response.token_count)
        return Embedded.of(response.embedding.values, Usage(tokens))
    if not response.candidates:
        if response.prompt_feedback is None:
            return Failed(Cause.UPSTREAM, "The answer has no candidates, and no reason why. Ask again.")
        return Answered((Candidate("", Finish.BLOCKED),), _usage(response.usage_metadata))
    thought_tokens = response.usage_metadata.thoughts_token_count
    candidates = tuple(
        _candidate(candidate, thought_tokens if nth == 0 else 0)
        for nth, candidate in enumerate(sorted(response.candidates, key=attrgetter("index")))
    )
    return Answered(candidates, _usage(response.usage_metadata))


def _usage(usage: _Usage) -> Usage:
    return Usage(
        usage.prompt_token_count + usage.tool_use_prompt_token_count,
        usage.candidates_token_count + usage.thoughts_token_count,
        usage.cached_content_token_count,
    )


def _candidate(sent: CandidateRead, thought_tokens: int) -> Candidate:
    parts = sent.content.parts
    return Candidate(
        "".join([part.text for part in parts if not part.thought]),
        _FINISHES.get(sent.finish_reason, Finish.OTHER),
        "".join([part.text for part in parts if part.thought]),
        thought_tokens,
        tuple(_call(part.function_call) for part in parts if part.function_call is not None),
        _logprobs(sent.logprobs_result),
    )


def _call(sent: _Call) -> FunctionCall:
    # Without its line breaks, which would end the line of the Result.
    return FunctionCall(sent.name, msgspec.json.format(bytes(sent.args), indent=-1).decode(), sent.id)


def _logprobs(sent: _Logprobs) -> tuple[TokenLogprob, ...]:
    tops = [tuple(map(_likely, top.candidates)) for top in sent.top_candidates]
    tops += [()] * (len(sent.chosen_candidates) - len(tops))
    return tuple(
        TokenLogprob(chosen.token, chosen.token_id, chosen.log_probability, top)
        for chosen, top in zip(sent.chosen_candidates, tops, strict=False)
    )


def _likely(sent: _Likely) -> TokenLogprob:
    return TokenLogprob(sent.token, sent.token_id, sent.log_probability)
