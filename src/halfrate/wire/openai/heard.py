"""Another server's answer becomes an Outcome: a chat completion, whole or in chunks, or a vector."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from halfrate.domain.embedding import Embedded
from halfrate.domain.outcome import Answered, Candidate, Cause, Delta, Failed, Finish, Outcome, TokenLogprob
from halfrate.domain.request import Choice, FunctionCall, Request
from halfrate.domain.usage import Usage
from halfrate.wire.openai.asking import WRAPPED_NAME
from halfrate.wire.openai.faults import Fault, cause_of, fault_of

NO_TOKEN_ID = -1
"""Of a token in log probabilities: the protocol tells its text only, though some servers tell more."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None  # vLLM, SGLang, llama-server, DeepSeek
    reasoning: str | None = None  # newer vLLM, Ollama, OpenRouter
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Likely(msgspec.Struct):
    token: str
    logprob: float
    id: int | None = None  # llama-server
    top_logprobs: list[_Likely] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Likely] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_COMPLETION = msgspec.json.Decoder(_Completion)


def completion_outcome(body: bytes, request: Request) -> Outcome:
    """Return what a whole chat completion says."""
    said = Said(request)
    try:
        said.add(body)
    except ValueError as error:
        return unreadable(str(error))
    return said.outcome()


@dataclass(slots=True)
class _Spoken:
    """What one Candidate has said so far."""

    text: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    calls: dict[int, _ToolCall] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str | None = None


class Said:
    """Puts an answer together from a whole completion, or from its chunks as they come."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._spoken: dict[int, _Spoken] = {}
        self._usage: _Usage | None = None
        self._failed: Failed | None = None

    def add(self, text: bytes) -> list[Delta]:
        """Take a completion or one chunk of it, and return what it adds. Raise `ValueError` if it is none."""
        try:
            completion = _COMPLETION.decode(text)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if completion.error is not None and not completion.choices:
            self._failed = _failed_inside(fault_of({"error": completion.error}))
        self._usage = completion.usage or self._usage
        return [delta for choice in completion.choices or () for delta in self._choice(choice)]

    def outcome(self) -> Outcome:
        """Return what has been said, all of it together."""
        if self._failed is not None:
            return self._failed
        if not self._spoken or any(one.finish is None for one in self._spoken.values()):
            return Failed(Cause.UPSTREAM, "The server's answer ends before it is complete.")
        if any(one.finish in _BROKEN_OFF for one in self._spoken.values()):
            return Failed(Cause.UPSTREAM, "The server broke the answer off.")
        candidates = [self._candidate(one) for _, one in sorted(self._spoken.items())]
        if self._must_call() and any(one.finish is Finish.STOP and not one.calls for one in candidates):
            return Failed(
                Cause.UNSUPPORTED,
                "The server did not have its model call a function, as it was told to. Let the model choose.",
            )
        usage = _usage(self._usage)
        details = self._usage.completion_tokens_details if self._usage is not None else None
        return Answered(
            self._with_thoughts(candidates, usage, details.reasoning_tokens if details else None), usage
        )

    def _must_call(self) -> bool:
        functions = self._request.functions
        return functions is not None and functions.choice is Choice.ANY

    def _choice(self, choice: _Choice) -> list[Delta]:
        spoken = self._spoken.setdefault(choice.index, _Spoken())
        spoken.finish = choice.finish_reason or spoken.finish
        if choice.logprobs is not None:
            spoken.logprobs += map(_logprob, choice.logprobs.content or ())
        message = choice.message or choice.delta
        if message is None:
            return []
        for number, call in enumerate(message.tool_calls or ()):
            _add_call(spoken.calls, number if call.index is None else call.index, call)
        text = _text(message)
        thought = message.reasoning_content or message.reasoning or ""
        spoken.text.append(text)
        spoken.thought.append(thought)
        sampling = self._request.sampling
        deltas = []
        if thought and sampling.include_thoughts:
            deltas.append(Delta(thought=thought, index=choice.index))
        if text and not sampling.choices:  # those come in JSON: only the whole of it is the text
            deltas.append(Delta(text, index=choice.index))
        return deltas

    def _candidate(self, spoken: _Spoken) -> Candidate:
        text = "".join(spoken.text)
        if self._request.sampling.choices:
            text = _chosen(text)
        calls, broken = _calls(spoken.calls)
        finish = _FINISHES.get(spoken.finish or "", Finish.STOP)
        return Candidate(
            text,
            Finish.MALFORMED_CALL if broken else finish,
            thought="".join(spoken.thought),
            calls=calls,
            logprobs=tuple(spoken.logprobs),
        )

    def _with_thoughts(
        self, candidates: Sequence[Candidate], usage: Usage, thought_tokens: int | None
    ) -> tuple[Candidate, ...]:
        """Share the tokens of all thoughts out by their length, and leave out thoughts nobody asked for."""
        thought_chars = sum(len(one.thought) for one in candidates)
        if thought_tokens is None:
            # Servers mostly do not tell: an estimate from the part of the answer that thoughts are.
            chars = thought_chars + sum(len(one.text) for one in candidates)
            thought_tokens = round(usage.output_tokens * thought_chars / chars) if chars else 0
        told = self._request.sampling.include_thoughts
        shares = _shared(thought_tokens, [len(one.thought) for one in candidates])
        return tuple(
            replace(one, thought=one.thought if told else "", thought_tokens=share)
            for one, share in zip(candidates, shares, strict=True)
        )


_FINISHES = {"length": Finish.LENGTH, "content_filter": Finish.BLOCKED}
_BROKEN_OFF = {"abort", "error"}


def failure(status: int, fault: Fault, *, retry_after_seconds: float | None = None) -> Failed:
    """Return what an error means for the Request that got it."""
    told = f"The server answered {status}" + (f": {fault.message}" if fault.message else ".")
    return Failed(cause_of(status, fault), told, retry_after_seconds)


def _failed_inside(fault: Fault) -> Failed:
    """Return what an error means that came in an answer of status 200, as in the middle of a stream."""
    is_status = fault.code.isdecimal() and 400 <= int(fault.code[:9]) < 600
    return failure(int(fault.code) if is_status else 500, fault)


def unreadable(why: str) -> Failed:
    """Return that an answer is not what it should be."""
    return Failed(Cause.UPSTREAM, f"The server's answer cannot be read: {why}.")


def _text(message: _Message) -> str:
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    return content or message.refusal or ""


def _add_call(calls: dict[int, _ToolCall], index: int, more: _ToolCall) -> None:
    """Add a call, or a piece of one: names and ids come once, arguments bit by bit."""
    call = calls.setdefault(index, _ToolCall())
    call.id = call.id or more.id
    call.function.name = call.function.name or more.function.name
    arguments = more.function.arguments
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    call.function.arguments = f"{call.function.arguments or ''}{arguments or ''}"


def _calls(said: dict[int, _ToolCall]) -> tuple[tuple[FunctionCall, ...], bool]:
    """Return the calls that are whole, and whether one was cut off."""
    calls: list[FunctionCall] = []
    for _, call in sorted(said.items()):
        try:
            arguments = msgspec.json.decode(str(call.function.arguments or "") or "{}")
        except (ValueError, RecursionError):
            return tuple(calls), True
        if not call.function.name or not isinstance(arguments, dict):
            return tuple(calls), True
        calls.append(FunctionCall(call.function.name, msgspec.json.encode(arguments).decode(), call.id))
    return tuple(calls), False


def _chosen(text: str) -> str:
    """Return the choice in its JSON; what was cut off, or is not JSON, as it is."""
    try:
        chosen = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(chosen, dict):
        chosen = chosen.get(WRAPPED_NAME)
    return chosen if isinstance(chosen, str) else text


def _logprob(step: _Likely) -> TokenLogprob:
    top = tuple(map(_logprob, step.top_logprobs or ()))
    return TokenLogprob(step.token, NO_TOKEN_ID if step.id is None else step.id, step.logprob, top)


def _usage(told: _Usage | None) -> Usage:
    if told is None:
        return Usage()
    cached = told.prompt_cache_hit_tokens
    if told.prompt_tokens_details is not None:
        cached = told.prompt_tokens_details.cached_tokens or cached
    prompt_tokens = told.prompt_tokens or 0
    return Usage(prompt_tokens, told.completion_tokens or 0, min(cached or 0, prompt_tokens))


def _shared(total: int, weights: Sequence[int]) -> list[int]:
    """Share ``total`` out by weight; all of it to the first where there is none."""
    whole = sum(weights)
    if not whole:
        return [total, *[0] * (len(weights) - 1)]
    ends = [total * sum(weights[: n + 1]) // whole for n in range(len(weights))]
    return [end - before for end, before in zip(ends, [0, *ends], strict=False)]


# Vectors ----------------------------------------------------------------------------------------------


class _Vector(msgspec.Struct):
    embedding: str | list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage | None = None


_VECTORS = msgspec.json.Decoder(_Vectors)


def embedding_outcome(body: bytes) -> Outcome:
    """Return the one vector in an answer, made of length 1: servers do not all do that."""
    try:
        said = _VECTORS.decode(body)
        values = _values(said.data[0].embedding)
    except (ValueError, IndexError, RecursionError) as error:
        return unreadable(str(error))
    length = math.hypot(*values)
    if not values or not math.isfinite(length) or not length:
        return unreadable("it is no vector")
    return Embedded.of((value / length for value in values), _usage(said.usage))


def _values(sent: str | list[float]) -> Sequence[float]:
    """Return the numbers of a vector, which may come in spite of what was asked as a list."""
    if isinstance(sent, list):
        return sent
    try:
        packed = base64.b64decode(sent, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a vector is not base64 ({error})") from None
    return Embedded(packed[: len(packed) // 4 * 4], Usage()).values
