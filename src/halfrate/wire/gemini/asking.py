"""The client's side: a Request becomes the body of a call, and what comes back an Outcome.

`content.understand` reads every body that is written here as the Request it was written for.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.outcome import Cause, Delta, Failed, Outcome
from halfrate.domain.request import (
    AnyRequest,
    Attachment,
    Choice,
    FunctionCall,
    FunctionDeclaration,
    FunctionReturn,
    Functions,
    Message,
    Request,
    Role,
    Sampling,
)
from halfrate.wire.gemini.generation_config import ENUM
from halfrate.wire.gemini.results import CandidateRead, ResponseRead, outcome_of
from halfrate.wire.gemini.schema import ANY_JSON
from halfrate.wire.rejected import Rejected
from halfrate.wire.retry_after import retry_after_of

_encode = msgspec.json.Encoder().encode

# What is asked ----------------------------------------------------------------------------------------


def body_of(request: AnyRequest, fields: Mapping[str, Any] = {}) -> bytes | Failed:
    """Return the body of ``generateContent`` or ``embedContent``, with ``fields``. The Request is whole."""
    try:
        return _encode(_asked(request) | dict(fields))
    except UnicodeEncodeError:
        return Failed(Cause.INVALID, "The prompt is not valid Unicode: it holds half a surrogate pair.")


def count_body(request: AnyRequest, *, model: str) -> bytes:
    """Return the body of ``countTokens``."""
    if isinstance(request, Embedding):
        return _encode({"contents": [_asked(request)["content"]]})
    return _encode({"generateContentRequest": {"model": f"models/{model}", **_asked(request)}})


def line_of(key: str, body: bytes) -> bytes:
    """Return the line of a batch's input that asks what ``body`` asks, with its line break."""
    return b'{"key":%b,"request":%b}\n' % (_encode(key), body)


def _asked(request: AnyRequest) -> dict[str, Any]:
    if isinstance(request, Embedding):
        return _embedding(request)
    instructions = [message.text for message in request.messages if message.role is Role.SYSTEM]
    asked: dict[str, Any] = {
        "contents": [_content(message) for message in request.messages if message.role is not Role.SYSTEM]
    }
    if instructions:
        asked["systemInstruction"] = {"parts": [{"text": "\n\n".join(instructions)}]}
    config = _config(request.sampling)
    if config:
        asked["generationConfig"] = config
    if request.functions is not None:
        asked |= _tools(request.functions)
    return asked


def _embedding(embedding: Embedding) -> dict[str, Any]:
    asked: dict[str, Any] = {"content": {"parts": [{"text": embedding.text}]}}
    if embedding.purpose is not None:
        asked["taskType"] = embedding.purpose.name
    if embedding.title is not None:
        asked["title"] = embedding.title
    if embedding.dimensions is not None:
        asked["outputDimensionality"] = embedding.dimensions
    return asked


def _content(message: Message) -> dict[str, Any]:
    parts = _said(message)
    parts += [_call(call, nth) for nth, call in enumerate(message.calls)]
    parts += map(_return, message.returns)
    return {"role": "model" if message.role is Role.MODEL else "user", "parts": parts}


def _said(message: Message) -> list[dict[str, Any]]:
    """Cut the text where something stands in it. Parts are read as lines: a break at the cut is in none."""
    text = message.text
    if not message.attachments:
        return [{"text": text}] if text or not (message.calls or message.returns) else []
    parts: list[dict[str, Any]] = []
    said = 0
    for attachment in message.attachments:
        if attachment.at > said:
            parts.append({"text": _line(text, said, attachment.at)})
            said = attachment.at
        parts.append(_inline(attachment))
    if said < len(text):
        parts.append({"text": _line(text, said, len(text))})
    return parts


def _line(text: str, start: int, end: int) -> str:
    return text[start + 1 if start and text[start] == "\n" else start : end]


def _inline(attachment: Attachment) -> dict[str, Any]:
    data = b64encode(attachment.data).decode()
    return {"inlineData": {"mimeType": attachment.mime_type, "data": data}}


UNSIGNED = "skip_thought_signature_validator"
"""Stands for the signature of a thought that was not kept. Models that ask for one take it."""


def _call(call: FunctionCall, nth: int) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": _named(call.name, "args", call.arguments, call.id)}
    return part if nth else {**part, "thoughtSignature": UNSIGNED}


def _return(returned: FunctionReturn) -> dict[str, Any]:
    return {"functionResponse": _named(returned.name, "response", returned.response, returned.id)}


def _named(name: str, field: str, json: str, id_given: str | None) -> dict[str, Any]:
    named: dict[str, Any] = {"name": name, field: Raw(json.encode())}
    return named if id_given is None else {"id": id_given, **named}


_MODES = {Choice.AUTO: "AUTO", Choice.ANY: "ANY", Choice.NONE: "NONE"}


def _tools(functions: Functions) -> dict[str, Any]:
    calling: dict[str, Any] = {"mode": _MODES[functions.choice]}
    if functions.allowed and functions.choice is not Choice.NONE:
        if functions.choice is Choice.AUTO:
            calling["mode"] = "VALIDATED"  # the mode that may call, and only some
        calling["allowedFunctionNames"] = functions.allowed
    return {
        "tools": [{"functionDeclarations": [_declaration(each) for each in functions.declarations]}],
        "toolConfig": {"functionCallingConfig": calling},
    }


def _declaration(declaration: FunctionDeclaration) -> dict[str, Any]:
    sent: dict[str, Any] = {"name": declaration.name}
    if declaration.description:
        sent["description"] = declaration.description
    if declaration.parameters is not None:
        sent["parametersJsonSchema"] = Raw(declaration.parameters.encode())
    return sent


def _config(sampling: Sampling) -> dict[str, Any]:
    config: dict[str, Any] = {
        "maxOutputTokens": sampling.max_output_tokens,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "stopSequences": sampling.stop or None,
        "candidateCount": sampling.candidates if sampling.candidates > 1 else None,
        "responseLogprobs": True if sampling.logprobs is not None else None,
        "logprobs": sampling.logprobs or None,
        "thinkingConfig": _thinking(sampling),
    }
    if sampling.json_schema is not None:
        config["responseMimeType"] = "application/json"
        if sampling.json_schema != ANY_JSON:
            config["responseJsonSchema"] = Raw(sampling.json_schema.encode())
    elif sampling.choices:
        config["responseMimeType"] = ENUM
        config["responseSchema"] = {"type": "STRING", "enum": sampling.choices}
    return {name: value for name, value in config.items() if value is not None}


def _thinking(sampling: Sampling) -> dict[str, Any] | None:
    thinking: dict[str, Any] = {}
    if sampling.thinking_budget is not None:
        thinking["thinkingBudget"] = sampling.thinking_budget
    if sampling.include_thoughts:
        thinking["includeThoughts"] = True
    return thinking or None


# What is answered -------------------------------------------------------------------------------------

_decode = msgspec.json.Decoder(ResponseRead).decode


def outcome_in(body: bytes, request: AnyRequest) -> Outcome:
    """Return what the body of a successful answer to this says."""
    try:
        said = _decode(body)
    except (ValueError, RecursionError) as error:
        return Failed(Cause.UPSTREAM, f"The upstream's answer cannot be read ({error}). Ask again.")
    return fitting(outcome_of(said), request)


def fitting(outcome: Outcome, request: AnyRequest) -> Outcome:
    """Return the Outcome if it can be one of this Request: a vector, of length 1, where one is asked for."""
    if isinstance(outcome, Failed):
        return outcome
    if isinstance(outcome, Embedded) is not isinstance(request, Embedding):
        return Failed(Cause.UPSTREAM, "The upstream's answer is not what was asked for. Is it this model?")
    return unit(outcome) if isinstance(outcome, Embedded) else outcome


def unit(embedded: Embedded) -> Embedded:
    """Return a vector of length 1: a shortened one may come as it was cut off."""
    values = embedded.values
    length = math.hypot(*values)
    if abs(length - 1) < 1e-4 or not length:
        return embedded
    return Embedded.of((value / length for value in values), embedded.usage)


class _TokensCounted(msgspec.Struct, rename="camel"):
    total_tokens: int = 0


def counted(body: bytes) -> int | None:
    """Return how many tokens the answer to ``countTokens`` says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_TokensCounted).total_tokens
    except (ValueError, RecursionError):
        return None


class ModelRead(msgspec.Struct, rename="camel"):
    """What a server says of a model."""

    name: str = ""
    input_token_limit: int = 0
    output_token_limit: int = 0
    supported_generation_methods: list[str] = []
    temperature: float | None = None
    thinking: bool = False


class _ModelsRead(msgspec.Struct, rename="camel"):
    models: list[ModelRead] = []


def models_in(body: bytes) -> list[ModelRead] | None:
    """Return what the answer to ``models.list`` says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=_ModelsRead).models
    except (ValueError, RecursionError):
        return None


def model_in(body: bytes) -> ModelRead | None:
    """Return what the answer to ``models.get`` says, None if it cannot be read."""
    try:
        return msgspec.json.decode(body, type=ModelRead)
    except (ValueError, RecursionError):
        return None


# What is answered piece by piece ----------------------------------------------------------------------


class StreamHeard:
    """One answer to ``streamGenerateContent``, out of the data of its events."""

    def __init__(self, request: AnyRequest) -> None:
        self._request = request
        self._whole = ResponseRead()
        self._candidates: dict[int, CandidateRead] = {}
        self._failed: Failed | Rejected | None = None

    @property
    def done(self) -> bool:
        """Whether all is said: an error, or why every answer ends that was asked for."""
        if self._failed is not None or self._whole.prompt_feedback is not None:
            return True
        asked = self._request.sampling.candidates if isinstance(self._request, Request) else 1
        ends = [candidate.finish_reason for candidate in self._candidates.values()]
        return len(ends) >= asked and all(ends)

    def hear(self, data: bytes) -> list[Delta]:
        """Take the data of one event, and return the pieces in it."""
        if self._failed is not None:
            return []
        error = error_in(data)
        if error is not None:
            self._failed = failure_of(error.code, data)
            return []
        try:
            chunk = _decode(data)
        except (ValueError, RecursionError) as why:
            self._failed = Failed(Cause.UPSTREAM, f"The upstream's stream cannot be read ({why}). Ask again.")
            return []
        self._whole.prompt_feedback = chunk.prompt_feedback or self._whole.prompt_feedback
        if chunk.usage_metadata != _NO_USAGE:
            self._whole.usage_metadata = chunk.usage_metadata
        return [delta for candidate in chunk.candidates for delta in self._add(candidate)]

    def _add(self, piece: CandidateRead) -> list[Delta]:
        whole = self._candidates.setdefault(piece.index, CandidateRead(index=piece.index))
        whole.content.parts += piece.content.parts
        whole.finish_reason = piece.finish_reason or whole.finish_reason
        whole.logprobs_result.chosen_candidates += piece.logprobs_result.chosen_candidates
        whole.logprobs_result.top_candidates += piece.logprobs_result.top_candidates
        return [
            Delta("", part.text, piece.index) if part.thought else Delta(part.text, "", piece.index)
            for part in piece.content.parts
            if part.text
        ]

    def outcome(self) -> Outcome | Rejected | None:
        """Return what all of it says together, None if it was cut off."""
        if self._failed is not None:
            return self._failed
        if not self.done:
            return None
        self._whole.candidates = list(self._candidates.values())
        return fitting(outcome_of(self._whole), self._request)


_NO_USAGE = ResponseRead().usage_metadata


# What is refused --------------------------------------------------------------------------------------


class _Detail(msgspec.Struct):
    kind: str = msgspec.field(name="@type", default="")
    reason: str = ""
    retry_delay: str = msgspec.field(name="retryDelay", default="")


class ErrorRead(msgspec.Struct):
    """The error that a server answers with."""

    code: int = 0
    message: str = ""
    status: str = ""
    details: list[_Detail] = []


class _Error(msgspec.Struct):
    error: ErrorRead | None = None


_decode_error = msgspec.json.Decoder(_Error).decode
_decode_errors = msgspec.json.Decoder(list[_Error]).decode


def error_in(body: bytes) -> ErrorRead | None:
    """Return the error in a body, None if there is none."""
    try:
        return _decode_error(body).error
    except (ValueError, RecursionError):
        pass
    try:
        errors = _decode_errors(body)
    except (ValueError, RecursionError):
        return None
    return errors[0].error if errors else None


_CAUSES = {
    400: Cause.INVALID,
    404: Cause.INVALID,
    408: Cause.TIMED_OUT,
    413: Cause.TOO_LONG,
    429: Cause.OVERLOADED,
    499: Cause.OVERLOADED,
    501: Cause.UNSUPPORTED,
    503: Cause.OVERLOADED,
    504: Cause.TIMED_OUT,
}
_TOO_LONG = re.compile(r"exceeds the maximum number of tokens|(fits? the|in the|'s) context\b", re.IGNORECASE)


def failure_of(status: int, body: bytes, headers: Mapping[str, str] = {}) -> Failed | Rejected:
    """Return what an answer with an error status says. The names in ``headers`` are in lower case."""
    error = error_in(body) or ErrorRead(message=body[:200].decode(errors="replace").strip())
    message = error.message or f"The upstream answered with status {status}, and no more."
    if _rejects(status, error):
        return Rejected(message)
    cause = _CAUSES.get(status, Cause.UPSTREAM)
    return Failed(exactly(cause, message), message, _retry_after(error, headers))


def exactly(cause: Cause, message: str) -> Cause:
    """Return the Cause that a message tells, where its status has one word for two."""
    return Cause.TOO_LONG if cause is Cause.INVALID and _TOO_LONG.search(message) else cause


def _rejects(status: int, error: ErrorRead) -> bool:
    """Whether it is the caller that is not taken, and not what it asks: its key, its bill, its model."""
    if status in {401, 402, 403} or error.status == "FAILED_PRECONDITION":
        return True
    return any(detail.reason.startswith("API_KEY_") for detail in error.details)


def _retry_after(error: ErrorRead, headers: Mapping[str, str]) -> float | None:
    for detail in error.details:
        if detail.kind.endswith("google.rpc.RetryInfo"):
            try:
                return float(detail.retry_delay.removesuffix("s"))
            except ValueError:
                break
    return retry_after_of(headers)
