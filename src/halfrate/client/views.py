"""What a server says of its Jobs, Files and models, as values. Unknown fields are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from halfrate.domain.job import Counts
from halfrate.domain.kind import Kind
from halfrate.domain.usage import Usage

_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a Job failed. ``code`` is a gRPC status number."""

    code: int
    message: str

    def __str__(self) -> str:
        return f"{self.message} (code {self.code})"


@dataclass(frozen=True, slots=True)
class PromiseView:
    """By when a Job is to be done. ``holds`` is None while the server cannot tell."""

    by: str
    holds: bool | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class JobView:
    """One Job as the server described it.

    ``state`` is the wire's state without its prefix. What only a halfrate server says is None where
    another server answered: ``waiting_code`` and ``waiting`` (why the Job is not moving), ``eta_seconds``
    and its range, ``deadline`` (when it expires), ``retry_of`` (the name of the Job whose failed Requests it
    tries again), ``promise``, ``results_expire``, ``usage``, and the two costs. ``raw`` is the Operation as
    it came.
    """

    name: str
    display_name: str
    model: str
    state: str
    counts: Counts
    created: str
    updated: str
    ended: str | None
    responses_file: str | None
    error: JobError | None
    waiting_code: str | None
    waiting: str | None
    eta_seconds: float | None
    deadline: str | None
    retry_of: str | None
    eta_earliest: str | None
    eta_latest: str | None
    promise: PromiseView | None
    results_expire: str | None
    usage: Usage | None
    cost_usd: Decimal | None
    interactive_cost_usd: Decimal | None
    raw: Mapping[str, Any]

    @property
    def final(self) -> bool:
        """Whether the Job will never move again."""
        return self.state in _FINAL

    @classmethod
    def of(cls, operation: Mapping[str, Any]) -> Self:
        """Read an Operation of the wire."""
        metadata = _mapping(operation, "metadata")
        extra = _mapping(metadata, "halfrate")
        stats = _mapping(metadata, "batchStats")
        error = _mapping(operation, "error")
        return cls(
            name=str(operation.get("name", "")),
            display_name=str(metadata.get("displayName", "")),
            model=str(metadata.get("model", "")).removeprefix("models/"),
            state=_state(str(metadata.get("state", ""))),
            counts=Counts(
                requests=_int(stats.get("requestCount")) or 0,
                succeeded=_int(stats.get("successfulRequestCount")) or 0,
                failed=_int(stats.get("failedRequestCount")) or 0,
            ),
            created=str(metadata.get("createTime", "")),
            updated=str(metadata.get("updateTime", "")),
            ended=metadata.get("endTime"),
            responses_file=_mapping(metadata, "output").get("responsesFile"),
            error=JobError(_int(error.get("code")) or 0, str(error.get("message", ""))) if error else None,
            waiting_code=extra.get("waitingCode"),
            waiting=extra.get("waitingReason"),
            eta_seconds=_seconds(extra.get("eta")),
            deadline=extra.get("deadline"),
            retry_of=extra.get("retryOf"),
            eta_earliest=_mapping(extra, "etaRange").get("earliest"),
            eta_latest=_mapping(extra, "etaRange").get("latest"),
            promise=_promise(_mapping(extra, "promise")),
            results_expire=extra.get("resultsExpireTime"),
            usage=_usage(_mapping(extra, "usage")),
            cost_usd=_amount(extra.get("costUsd")),
            interactive_cost_usd=_amount(extra.get("interactiveCostUsd")),
            raw=operation,
        )


@dataclass(frozen=True, slots=True)
class FileView:
    """One File as the server described it."""

    name: str
    display_name: str
    mime_type: str
    size_bytes: int
    state: str

    @classmethod
    def of(cls, file: Mapping[str, Any]) -> Self:
        """Read a File resource of the wire."""
        return cls(
            name=str(file.get("name", "")),
            display_name=str(file.get("displayName", "")),
            mime_type=str(file.get("mimeType", "")),
            size_bytes=_int(file.get("sizeBytes")) or 0,
            state=str(file.get("state", "")),
        )


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as the server described it."""

    name: str
    display_name: str
    description: str
    version: str
    input_tokens_max: int
    kind: Kind

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> Self:
        """Read a Model resource of the wire."""
        return cls(
            name=str(model.get("name", "")).removeprefix("models/"),
            display_name=str(model.get("displayName", "")),
            description=str(model.get("description", "")),
            version=str(model.get("version", "")),
            input_tokens_max=_int(model.get("inputTokenLimit")) or 0,
            kind=_kind(model.get("supportedGenerationMethods")),
        )


def _kind(methods: object) -> Kind:
    embeds = isinstance(methods, list) and "embedContent" in methods and "generateContent" not in methods
    return Kind.EMBEDDING if embeds else Kind.GENERATION


def _state(wire: str) -> str:
    return wire.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_") or "UNSPECIFIED"


def _mapping(parent: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = parent.get(field)
    return value if isinstance(value, Mapping) else {}


def _int(value: object) -> int | None:
    """Read an int64, which the wire writes as a string and leaves out when it is 0."""
    try:
        return int(value) if isinstance(value, str | int) else None
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    """Read a duration: decimal seconds and an ``s``."""
    try:
        return float(value.removesuffix("s")) if isinstance(value, str) else None
    except ValueError:
        return None


def _amount(value: object) -> Decimal | None:
    try:
        return Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None


def _promise(promise: Mapping[str, Any]) -> PromiseView | None:
    if not promise:
        return None
    return PromiseView(str(promise.get("by", "")), promise.get("holds"), promise.get("reason"))


def _usage(usage: Mapping[str, Any]) -> Usage | None:
    if not usage:
        return None
    return Usage(
        input_tokens=_int(usage.get("promptTokenCount")) or 0,
        output_tokens=_int(usage.get("candidatesTokenCount")) or 0,
        cached_tokens=_int(usage.get("cachedContentTokenCount")) or 0,
    )
