"""A generationConfig becomes a Sampling."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.request import Sampling
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.inability import invalid, unsupported
from halfrate.wire.gemini.lenient import ABSENT, given
from halfrate.wire.gemini.schema import ANY_JSON, json_schema


class ThinkingConfig(lenient.Message):
    """How to think before answering. Accepted without effect: no thought stays within any budget."""

    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: (
        Literal["THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"] | None
    ) = None


class GenerationConfig(lenient.Message):
    """How to decode, and in what form to answer."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    candidate_count: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: Raw = ABSENT
    response_json_schema: Raw = ABSENT
    response_modalities: (
        list[Literal["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO", "VIDEO", "DOCUMENT"]] | None
    ) = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None
    media_resolution: str | None = None
    enable_enhanced_civic_answers: bool | None = None
    speech_config: Raw = ABSENT
    image_config: Raw = ABSENT
    audio_transcription_config: Raw = ABSENT
    response_format: Raw = ABSENT


_INT32_MAX = 2**31 - 1
STOP_SEQUENCES_MAX = 5


def sampling_of(config: GenerationConfig) -> Sampling:
    """Return how to decode. Raise `Inability` if that cannot be done."""
    _check_candidates(config)
    _check_logprobs(config)
    _check_form(config)
    stop = tuple(config.stop_sequences or ())
    if len(stop) > STOP_SEQUENCES_MAX:
        raise invalid(
            f"generation_config.stop_sequences has {len(stop)} entries; "
            f"at most {STOP_SEQUENCES_MAX} are allowed."
        )
    if "" in stop:
        raise invalid("generation_config.stop_sequences has an empty entry.")
    return Sampling(
        max_output_tokens=_whole("max_output_tokens", config.max_output_tokens, 1, _INT32_MAX),
        temperature=_within("temperature", config.temperature, 0, 2),
        top_p=_within("top_p", config.top_p, 0, 1),
        top_k=_whole("top_k", config.top_k, 1, _INT32_MAX),
        seed=_whole("seed", config.seed, -_INT32_MAX - 1, _INT32_MAX),
        presence_penalty=_within("presence_penalty", config.presence_penalty, -2, 2),
        frequency_penalty=_within("frequency_penalty", config.frequency_penalty, -2, 2),
        stop=stop,
        json_schema=_schema(config),
    )


def _within(name: str, value: float | None, low: float, high: float) -> float | None:
    if value is None or low <= value <= high:
        return value
    raise invalid(f"generation_config.{name} is {value:g}; it must be from {low} to {high}.")


def _whole(name: str, value: float | None, low: int, high: int) -> int | None:
    if value is None:
        return None
    if math.isfinite(value) and int(value) == value and low <= value <= high:
        return int(value)
    raise invalid(f"generation_config.{name} is {value}; it must be a whole number from {low} to {high}.")


def _check_candidates(config: GenerationConfig) -> None:
    count = config.candidate_count
    if count is None or count == 1:
        return
    if count < 1:
        raise invalid(f"generation_config.candidate_count is {count}; it must be at least 1.")
    raise unsupported(
        f"generation_config.candidate_count is {count}: more than one candidate is not built yet. "
        "Send the request several times, with different seeds."
    )


def _check_logprobs(config: GenerationConfig) -> None:
    if config.response_logprobs:
        raise unsupported("generation_config.response_logprobs: log probabilities are not built yet.")
    if config.logprobs is not None:
        raise invalid("generation_config.logprobs is allowed only when response_logprobs is true.")


def _check_form(config: GenerationConfig) -> None:
    for modality in config.response_modalities or ():
        if modality not in {"TEXT", "MODALITY_UNSPECIFIED"}:
            raise unsupported(
                f"generation_config.response_modalities: {modality} cannot be made here. Ask for TEXT."
            )
    for field in ("speech_config", "image_config", "audio_transcription_config", "response_format"):
        if getattr(config, field) is not ABSENT and given(getattr(config, field)):
            raise unsupported(f"generation_config.{field} is not built yet. Leave it out.")


def _schema(config: GenerationConfig) -> str | None:
    """Return the JSON Schema that the answer must obey, or None for free text."""
    if (config.response_mime_type, config.response_schema, config.response_json_schema) == _FREE_TEXT:
        return None
    openapi, plain = given(config.response_schema), given(config.response_json_schema)
    if openapi and plain:
        raise invalid("generation_config has both response_schema and response_json_schema. Set one of them.")
    mime_type = config.response_mime_type or "text/plain"
    if mime_type == "text/x.enum":
        raise unsupported(
            "generation_config.response_mime_type text/x.enum is not built yet. Use application/json with a "
            "schema of type STRING and enum: the answer is then that word as a JSON string."
        )
    if mime_type == "application/json":
        return _schema_text(config, openapi=openapi, plain=plain)
    if mime_type != "text/plain":
        raise invalid(
            f"generation_config.response_mime_type is {mime_type!r}. Use text/plain or application/json."
        )
    if openapi or plain:
        raise invalid(
            "generation_config has a schema, but response_mime_type is text/plain. "
            "Set it to application/json."
        )
    return None


_FREE_TEXT = (None, ABSENT, ABSENT)


def _schema_text(config: GenerationConfig, *, openapi: bool, plain: bool) -> str:
    if not (openapi or plain):
        return ANY_JSON
    field, raw = (
        ("response_schema", config.response_schema)
        if openapi
        else ("response_json_schema", config.response_json_schema)
    )
    text = _converted(bytes(raw), openapi=openapi)
    if isinstance(text, ValueError):
        raise invalid(f"generation_config.{field}{text}")
    return text


@lru_cache(maxsize=256)  # one Job's Requests mostly share one schema
def _converted(raw: bytes, *, openapi: bool) -> str | ValueError:
    try:
        return json_schema(raw) if openapi else _as_is(raw)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError(" is nested too deeply.")


def _as_is(raw: bytes) -> str:
    try:
        schema = msgspec.json.decode(raw)
    except ValueError as error:
        raise ValueError(f" is not JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise ValueError(" must be an object.")
    return msgspec.json.encode(schema).decode()  # equal schemas make equal Requests
