"""A generationConfig becomes a Sampling."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Raw

from halfrate.domain.request import Sampling
from halfrate.wire.gemini import lenient
from halfrate.wire.gemini.functions import as_json_schema
from halfrate.wire.gemini.inability import invalid, unsupported
from halfrate.wire.gemini.lenient import ABSENT, given
from halfrate.wire.gemini.schema import ANY_JSON, json_schema


class ThinkingConfig(lenient.Message):
    """How to think before answering, for models that do. A level is a budget by another name."""

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
CANDIDATES_MAX = 8
LOGPROBS_MAX = 20
ENUM = "text/x.enum"


def sampling_of(config: GenerationConfig) -> Sampling:
    """Return how to decode. Raise `Inability` if that cannot be done."""
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
        choices=_choices(config),
        candidates=_whole("candidate_count", config.candidate_count, 1, CANDIDATES_MAX) or 1,
        logprobs=_logprobs(config),
        thinking_budget=_thinking_budget(config.thinking_config),
        include_thoughts=bool(config.thinking_config and config.thinking_config.include_thoughts),
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


def _logprobs(config: GenerationConfig) -> int | None:
    if config.response_logprobs:
        return _whole("logprobs", config.logprobs, 0, LOGPROBS_MAX) or 0
    if config.logprobs is not None:
        raise invalid("generation_config.logprobs is allowed only when response_logprobs is true.")
    return None


_BUDGET_OF_LEVEL = {
    None: None,
    "THINKING_LEVEL_UNSPECIFIED": None,
    "MINIMAL": 0,
    "LOW": 1_024,
    "MEDIUM": 4_096,
    "HIGH": -1,
    "XHIGH": -1,
}


def _thinking_budget(config: ThinkingConfig | None) -> int | None:
    if config is None:
        return None
    if config.thinking_budget is None:
        return _BUDGET_OF_LEVEL[config.thinking_level]
    if config.thinking_level is not None:
        raise invalid(
            "generation_config.thinking_config has both thinking_budget and thinking_level. Set one of them."
        )
    return _whole("thinking_config.thinking_budget", config.thinking_budget, -1, _INT32_MAX)


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
    if mime_type == ENUM:
        return None
    if mime_type == "application/json":
        return _schema_text(config, openapi=openapi, plain=plain)
    if mime_type != "text/plain":
        raise invalid(
            f"generation_config.response_mime_type is {mime_type!r}. "
            f"Use text/plain, application/json or {ENUM}."
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
        return json_schema(raw) if openapi else as_json_schema(raw)
    except (ValueError, RecursionError) as error:
        return error if isinstance(error, ValueError) else ValueError(" is nested too deeply.")


def _choices(config: GenerationConfig) -> tuple[str, ...]:
    """Return the texts of which the answer must be one, if it must."""
    if config.response_mime_type != ENUM:
        return ()
    openapi = given(config.response_schema)
    field, raw = (
        ("response_schema", config.response_schema)
        if openapi
        else ("response_json_schema", config.response_json_schema)
    )
    if not given(raw):
        raise invalid(f"generation_config.response_mime_type is {ENUM}. Give a response_schema with an enum.")
    text = _converted(bytes(raw), openapi=openapi)
    if isinstance(text, ValueError):
        raise invalid(f"generation_config.{field}{text}")
    schema = msgspec.json.decode(text)
    choices = schema.get("enum")
    texts = isinstance(choices, list) and all(isinstance(each, str) and each for each in choices)
    if not choices or not texts or schema.get("type", "string") != "string":
        raise invalid(
            f"generation_config.{field} must be of type STRING and have an enum of words for {ENUM}."
        )
    return tuple(dict.fromkeys(choices))
