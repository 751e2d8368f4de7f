"""An Outcome becomes a chat completion, whole or in chunks."""

from __future__ import annotations

from typing import Any

import msgspec

from halfrate.domain.outcome import Answered, Candidate, Delta, Finish, TokenLogprob
from halfrate.domain.usage import Usage
from halfrate.wire.written import Written

# A call can only be cut in two by the bound on the length.
_FINISHES = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.MALFORMED_CALL: "length",
    Finish.BLOCKED: "content_filter",
    Finish.RECITATION: "content_filter",
    Finish.OTHER: "stop",
}


def completion(answered: Answered, *, id: str, model: str, created: float) -> dict[str, Any]:
    """Return the chat completion that an answer is."""
    return {
        "id": f"chatcmpl-{id}",
        "object": "chat.completion",
        "created": int(created),
        "model": model,
        "choices": [_choice(one, index, id) for index, one in enumerate(answered.candidates)],
        "usage": usage_of(answered),
    }


def completion_body(answered: Answered, *, id: str, model: str, created: float) -> bytes:
    """Return the body that answers ``chat/completions``."""
    return msgspec.json.encode(completion(answered, id=id, model=model, created=created))


class CompletionStream:
    """The events of a stream, which together say what `completion` says at once. Each is one JSON text."""

    DONE = b"[DONE]"

    def __init__(self, *, id: str, model: str, created: float, candidates: int, include_usage: bool) -> None:
        self._id = id
        self._model = model
        self._created = int(created)
        self._candidates = candidates
        self._include_usage = include_usage
        self._written = Written()

    def begin(self) -> list[bytes]:
        """Return the events that say who speaks."""
        return [
            self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
            for index in range(self._candidates)
        ]

    def piece(self, delta: Delta) -> bytes:
        """Return the event for a piece."""
        self._written.add(delta)
        name, text = ("reasoning_content", delta.thought) if delta.thought else ("content", delta.text)
        return self._chunk(delta.index, {name: text})

    def end(self, answered: Answered) -> list[bytes]:
        """Return the events for what no piece has said, why it ends and, if asked for, what it took."""
        events = [
            event
            for index, candidate in enumerate(self._written.left(answered))
            for event in self._last(index, candidate)
        ]
        if self._include_usage:
            events.append(msgspec.json.encode(self._around([]) | {"usage": usage_of(answered)}))
        return events

    def _last(self, index: int, candidate: Candidate) -> list[bytes]:
        events = []
        if candidate.thought:
            events.append(self._chunk(index, {"reasoning_content": candidate.thought}))
        logprobs = _logprobs(candidate)
        if candidate.text or logprobs is not None:
            events.append(self._chunk(index, {"content": candidate.text}, logprobs=logprobs))
        calls = _calls(candidate, index, self._id)
        if calls:
            numbered = [{"index": number} | call for number, call in enumerate(calls)]
            events.append(self._chunk(index, {"tool_calls": numbered}))
        return [*events, self._chunk(index, {}, finish=_finish(candidate))]

    def _chunk(
        self, index: int, delta: dict[str, Any], *, finish: str | None = None, logprobs: Any = None
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return msgspec.json.encode(self._around([choice]))

    def _around(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk: dict[str, Any] = {
            "id": f"chatcmpl-{self._id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        return chunk | {"usage": None} if self._include_usage else chunk


def usage_of(answered: Answered) -> dict[str, Any]:
    """Return what an answer took."""
    usage = answered.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": sum(one.thought_tokens for one in answered.candidates)
        },
    }


def batch_usage(usage: Usage) -> dict[str, Any]:
    """Return what a batch took."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }


def _choice(candidate: Candidate, index: int, id: str) -> dict[str, Any]:
    calls = _calls(candidate, index, id)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls and not candidate.text else candidate.text,
        "refusal": None,
    }
    if candidate.thought:
        message["reasoning_content"] = candidate.thought
    if calls:
        message["tool_calls"] = calls
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(candidate),
        "finish_reason": _finish(candidate),
    }


def _finish(candidate: Candidate) -> str:
    return "tool_calls" if candidate.calls else _FINISHES[candidate.finish]


def _calls(candidate: Candidate, index: int, id: str) -> list[dict[str, Any]]:
    return [
        {
            # A client answers a call by its id: where the model gives none, it gets one of its own.
            "id": call.id or f"call_{id}_{index}_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(candidate.calls)
    ]


def _logprobs(candidate: Candidate) -> dict[str, Any] | None:
    if not candidate.logprobs:
        return None
    content = [
        _likely(step) | {"top_logprobs": [_likely(likely) for likely in step.top]}
        for step in candidate.logprobs
    ]
    return {"content": content, "refusal": None}


def _likely(step: TokenLogprob) -> dict[str, Any]:
    return {
        "token": step.token,
        "logprob": step.logprob,
        "bytes": list(step.token.encode("utf-8", "surrogatepass")),
    }
