"""Lines of an output read back, for those who write them in another dialect."""

from __future__ import annotations

from dataclasses import dataclass

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
    token: str
    token_id: int
    log_probability: float


class _Top(_Read):
    candidates: list[_Likely] = []


class _Logprobs(_Read):
    chosen_candidates: list[_Likely] = []
    top_candidates: list[_Top] = []


class _Candidate(_Read):
    content: _Content = msgspec.field(default_factory=_Content)
    finish_reason: str = "STOP"
    logprobs_result: _Logprobs = msgspec.field(default_factory=_Logprobs)


class _Usage(_Read):
    prompt_token_count: int = 0
    candidates_token_count: int = 0
    cached_content_token_count: int = 0
    thoughts_token_count: int = 0
    tool_use_prompt_token_count: int = 0


class _Vector(_Read):
    values: list[float] = []


class _Response(_Read):
    embedding: _Vector | None = None
    candidates: list[_Candidate] = []
    usage_metadata: _Usage = msgspec.field(default_factory=_Usage)
    model_version: str = ""
    response_id: str = ""


class _Error(_Read):
    code: int = 13
    message: str = ""


class _ResultLine(_Read):
    key: str | None = None
    response: _Response | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_ResultLine).decode
_FINISHES = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "MALFORMED_FUNCTION_CALL": Finish.MALFORMED_CALL,
}
_CAUSES = {
    1: Cause.CANCELLED,
    3: Cause.INVALID,
    4: Cause.TIMED_OUT,
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
        return ReadResult(said.key, _outcome(response), response.response_id, response.model_version)
    failed = said.error or _Error(message="The line has neither a response nor an error.")
    cause = _CAUSES.get(failed.code, Cause.INTERNAL)
    if cause is Cause.TIMED_OUT and expired:
        cause = Cause.EXPIRED
    return ReadResult(said.key, Failed(cause, failed.message))


def _outcome(response: _Response) -> Outcome:
    if response.embedding is None:
        return _answered(response)
    return Embedded.of(response.embedding.values, Usage(response.usage_metadata.prompt_token_count))


def _answered(response: _Response) -> Answered:
    usage = response.usage_metadata
    thought_tokens = usage.thoughts_token_count
    candidates = tuple(
        _candidate(candidate, thought_tokens if index == 0 else 0)
        for index, candidate in enumerate(response.candidates)
    )
    return Answered(
        candidates,
        Usage(
            usage.prompt_token_count + usage.tool_use_prompt_token_count,
            usage.candidates_token_count + thought_tokens,
            usage.cached_content_token_count,
        ),
    )


def _candidate(sent: _Candidate, thought_tokens: int) -> Candidate:
    parts = sent.content.parts
    return Candidate(
        "".join(part.text for part in parts if not part.thought),
        _FINISHES.get(sent.finish_reason, Finish.STOP),
        "".join(part.text for part in parts if part.thought),
        thought_tokens,
        tuple(_call(part.function_call) for part in parts if part.function_call is not None),
        _logprobs(sent.logprobs_result),
    )


def _call(sent: _Call) -> FunctionCall:
    return FunctionCall(sent.name, bytes(sent.args).decode(), sent.id)


def _logprobs(sent: _Logprobs) -> tuple[TokenLogprob, ...]:
    tops = [tuple(map(_likely, top.candidates)) for top in sent.top_candidates]
    tops = tops or [()] * len(sent.chosen_candidates)
    return tuple(
        TokenLogprob(chosen.token, chosen.token_id, chosen.log_probability, top)
        for chosen, top in zip(sent.chosen_candidates, tops, strict=True)
    )


def _likely(sent: _Likely) -> TokenLogprob:
    return TokenLogprob(sent.token, sent.token_id, sent.log_probability)
