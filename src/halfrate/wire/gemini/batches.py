"""Jobs as the API's batches: what a create call says, and the Operation that shows a Job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import output_file_id
from halfrate.domain.job import Job, JobChange, JobState, Notify
from halfrate.domain.kind import Kind
from halfrate.domain.line import Rejection
from halfrate.domain.outlook import Eta, Outlook, Promise
from halfrate.wire.gemini.content import GenerateContentRequest, bare_model
from halfrate.wire.gemini.embeddings import EmbedContentRequest
from halfrate.wire.gemini.files import parse_file_name
from halfrate.wire.gemini.lenient import (
    ABSENT,
    FAULTS_MAX,
    Fault,
    Message,
    Reader,
    Unreadable,
    given,
    refusal,
)
from halfrate.wire.gemini.lines import check_metadata
from halfrate.wire.gemini.masks import in_camel_case, parse_paths
from halfrate.wire.gemini.times import timestamp
from halfrate.wire.gemini.webhooks import WebhookConfig, config_shown, notify_of

# What is read -----------------------------------------------------------------------------------------


class InlinedRequest(Message):
    """One inline request."""

    request: GenerateContentRequest | None = None
    metadata: Raw = ABSENT


class InlinedEmbedding(Message):
    """One inline text to embed."""

    request: EmbedContentRequest | None = None
    metadata: Raw = ABSENT


class InlinedRequests(Message):
    """The list of inline requests, each read by itself."""

    requests: list[Raw] | None = None


class InputConfig(Message):
    """Where a batch's requests are: in a File, or here."""

    file_name: str | None = None
    requests: InlinedRequests | None = None


class GenerateContentBatch(Message):
    """A batch as a client sends it. What only the server can know is read over."""

    model: str | None = None
    name: str | None = None
    display_name: str | None = None
    input_config: InputConfig | None = None
    priority: int | None = None
    webhook_config: WebhookConfig | None = None
    output: Raw = ABSENT
    create_time: Raw = ABSENT
    end_time: Raw = ABSENT
    update_time: Raw = ABSENT
    batch_stats: Raw = ABSENT
    state: Raw = ABSENT


class CreateBatchRequest(Message):
    """The body of a create call."""

    batch: GenerateContentBatch | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """What a create call asks for: a File by id, or inline requests as lines of a file."""

    display_name: str
    priority: int
    file_id: str | None
    lines: tuple[bytes, ...]
    notify: Notify = Notify()


_CREATE = Reader(CreateBatchRequest)
_INLINED: dict[Kind, Reader[Any]] = {
    Kind.GENERATION: Reader(InlinedRequest),
    Kind.EMBEDDING: Reader(InlinedEmbedding),
}
_ITEMS = "batch.input_config.requests.requests"
_INT64_MAX = 2**63 - 1


def parse_create(body: bytes, *, model: str, kind: Kind = Kind.GENERATION) -> NewBatch:
    """Return what a create call for ``model`` asks, the one for Requests of this ``kind``.

    Raise `Refusal` if it cannot be read or done.
    """
    batch = _CREATE.read_body(body).batch or GenerateContentBatch()
    _check_batch(batch, model)
    config = batch.input_config or InputConfig()
    file_name, inlined = config.file_name, config.requests
    if (file_name is None) == (inlined is None):
        raise _bad("batch.input_config", "must have either file_name or requests")
    return NewBatch(
        display_name=batch.display_name or "",
        priority=batch.priority or 0,
        file_id=None if file_name is None else parse_file_name(file_name),
        lines=() if inlined is None else _lines(inlined.requests or [], kind),
        notify=notify_of(batch.webhook_config, "batch.webhook_config"),
    )


def _check_batch(batch: GenerateContentBatch, model: str) -> None:
    if batch.model and bare_model(batch.model) != bare_model(model):
        raise _bad("batch.model", f"is {batch.model!r}, but the URL names {bare_model(model)!r}")
    _check_priority(batch.priority or 0, "batch.priority")


def _check_priority(priority: int, field: str) -> None:
    if abs(priority) > _INT64_MAX:
        raise _bad(field, "is out of range")


def _lines(items: list[Raw], kind: Kind) -> tuple[bytes, ...]:
    """Return inline requests as lines, each checked. Raise `InvalidArgument` with the faults of all."""
    if not items:
        raise _bad(_ITEMS, "is empty: give at least one request")
    faults: list[Fault] = []
    lines: list[bytes] = []
    for index, item in enumerate(items):
        fault = _faults_of(item, f"{_ITEMS}[{index}]", _INLINED[kind])
        if fault:
            faults.extend(fault)
        else:
            lines.append(msgspec.json.format(item, indent=-1))
    if faults:
        raise _refusal_of(faults)
    return tuple(lines)


def _refusal_of(faults: Sequence[Fault]) -> InvalidArgument:
    told = refusal(tuple(faults[:FAULTS_MAX]))
    untold = len(faults) - FAULTS_MAX
    if untold <= 0:
        return told
    return InvalidArgument(f"{told}\n... and {untold} more.", told.violations)


def _faults_of(item: Raw, path: str, reader: Reader[Any]) -> tuple[Fault, ...]:
    read = reader.read(item, path=path)
    if isinstance(read, Unreadable):
        return read.faults
    if read.metadata is not ABSENT:
        metadata = check_metadata(read.metadata)
        if isinstance(metadata, Rejection):
            place = f"{path}.metadata"
            return (Fault(metadata.message, f"Invalid value at '{place}': {metadata.message}.", place),)
    return ()


def _bad(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"* CreateBatchRequest.{field}: {what}.", ((field, what),))


# What is changed --------------------------------------------------------------------------------------

_UPDATE = Reader(GenerateContentBatch)
_FIXED = {
    "inputConfig": "the requests of a batch stay as they were given. Cancel it, and create another",
    "model": "a batch stays with its model. Cancel it, and create another",
}
_WRITABLE = ("displayName", "priority", "webhookConfig")


def parse_update(body: bytes, mask: str | None) -> JobChange:
    """Return what an update asks: of the fields in ``mask``, or without one of those that are given.

    A field in the mask that is not given gets its default. Raise `Refusal` if it cannot be read or done.
    """
    batch = _UPDATE.read_body(body)
    wanted = _masked(mask) if mask and mask.strip() else _given(batch)
    _check_writable(wanted)
    _check_priority(batch.priority or 0, "batch.priority")
    return JobChange(
        display_name=(batch.display_name or "") if "displayName" in wanted else None,
        priority=(batch.priority or 0) if "priority" in wanted else None,
        notify=notify_of(batch.webhook_config, "webhook_config") if "webhookConfig" in wanted else None,
    )


def _masked(mask: str) -> frozenset[str]:
    paths = parse_paths(mask, parameter="updateMask")
    return frozenset(_WRITABLE) if "*" in paths else paths


def _given(batch: GenerateContentBatch) -> frozenset[str]:
    """Return what is given of the fields that clients set: a batch may be sent back as it was shown."""
    fields = {in_camel_case(name): getattr(batch, name) for name in batch.__struct_fields__}
    return frozenset(name for name in _WRITABLE + tuple(_FIXED) if given(fields[name]))


def _check_writable(wanted: frozenset[str]) -> None:
    for name in sorted(wanted - set(_WRITABLE)):
        known = name in {in_camel_case(field) for field in GenerateContentBatch.__struct_fields__}
        what = _FIXED.get(name, "only the server sets it" if known else "there is no such field")
        raise InvalidArgument(f"* UpdateBatchRequest.update_mask: {name}: {what}.", (("update_mask", what),))


# What is written --------------------------------------------------------------------------------------

_TYPES = "type.googleapis.com/google.ai.generativelanguage.v1main"
_TYPE = {Kind.GENERATION: f"{_TYPES}.GenerateContentBatch", Kind.EMBEDDING: f"{_TYPES}.EmbedContentBatch"}

_STATES: dict[JobState, str] = {
    JobState.PENDING: "BATCH_STATE_PENDING",
    JobState.RUNNING: "BATCH_STATE_RUNNING",
    JobState.CANCELLING: "BATCH_STATE_RUNNING",
    JobState.ASSEMBLING: "BATCH_STATE_RUNNING",
    JobState.SUCCEEDED: "BATCH_STATE_SUCCEEDED",
    JobState.FAILED: "BATCH_STATE_FAILED",
    JobState.CANCELLED: "BATCH_STATE_CANCELLED",
    JobState.EXPIRED: "BATCH_STATE_EXPIRED",
}

_WITH_OUTPUT = frozenset({JobState.SUCCEEDED, JobState.CANCELLED, JobState.EXPIRED})


def wire_state(state: JobState) -> str:
    """Return the name a client sees for a Job's state."""
    return _STATES[state]


def has_output(job: Job) -> bool:
    """Whether the Job's output is published."""
    return job.state in _WITH_OUTPUT


def batch(job: Job, *, outlook: Outlook = Outlook()) -> bytes:
    """Return the batch that shows ``job`` by itself, as an update answers with it."""
    shown = _metadata(job, _output(job, None), outlook)
    return msgspec.json.encode({name: value for name, value in shown.items() if name != "@type"})


def operation(
    job: Job,
    *,
    inline_items: Sequence[bytes] | None = None,
    spilled: bool = False,
    outlook: Outlook = Outlook(),
) -> Raw:
    """Return the Operation that shows ``job``.

    ``inline_items`` are the Results of a Job whose Requests came inline (`lines.result_line`); without
    them such a Job is shown without output, as lists do, or with its File if it is ``spilled``: too much
    to be shown in any other way.
    """
    output = _output(job, inline_items, spilled=spilled)
    shown: dict[str, Any] = {
        "name": f"batches/{job.id}",
        "metadata": _metadata(job, output, outlook),
    }
    if job.state.final:
        shown["done"] = True
        error = _error(job)
        if error is not None:
            shown["error"] = error
        elif output is not None:
            shown["response"] = {"@type": f"{_TYPE[job.kind]}Output", **output}
    return Raw(msgspec.json.encode(shown))


def operation_around_results(job: Job, *, outlook: Outlook = Outlook()) -> list[bytes]:
    """Return the Operation of a Job whose Requests came inline, cut where its Results belong.

    Between each two pieces go all of them (`lines.result_line`), with commas between. They are shown
    twice, as SDKs read one place and REST examples the other; so many Results are never held at once.
    """
    whole = bytes(operation(job, inline_items=[_CUT], outlook=outlook))
    return whole.split(_CUT)


_CUT = b"\0"  # JSON has no such byte, not even inside strings


def _metadata(job: Job, output: dict[str, Any] | None, outlook: Outlook) -> dict[str, Any]:
    shown = {
        "@type": _TYPE[job.kind],
        "model": f"models/{bare_model(job.model)}",
        "displayName": job.display_name,
        "inputConfig": {"fileName": f"files/{job.input_file}"} if job.input_file else None,
        "output": output,
        "createTime": timestamp(job.created_at),
        "endTime": None if job.ended_at is None else timestamp(job.ended_at),
        "updateTime": timestamp(job.updated_at),
        "batchStats": _stats(job),
        "state": wire_state(job.state),
        "name": f"batches/{job.id}",
        "priority": str(job.priority) if job.priority else None,
        "webhookConfig": config_shown(job.notify),
        "halfrate": _own_figures(job, outlook),
    }
    return _without_defaults(shown)


def _stats(job: Job) -> dict[str, Any]:
    counts = job.counts
    return _int64s(
        requestCount=counts.requests,
        successfulRequestCount=counts.succeeded,
        failedRequestCount=counts.failed,
        pendingRequestCount=counts.pending,
    )


def _own_figures(job: Job, outlook: Outlook) -> dict[str, Any]:
    """Return what the API has no field for, under this server's own name."""
    figures = {
        "usage": _int64s(
            promptTokenCount=job.usage.input_tokens,
            cachedContentTokenCount=job.usage.cached_tokens,
            candidatesTokenCount=job.usage.output_tokens,
            totalTokenCount=job.usage.total_tokens,
        ),
        "sharing": _int64s(
            promptBytes=job.sharing.prompt_bytes,
            sharedBytes=job.sharing.shared_bytes,
            groups=job.sharing.groups,
        ),
        "costUsd": _usd(job.cost_picos),
        "interactiveCostUsd": _usd(job.interactive_cost_picos),
        "deadline": timestamp(job.deadline),
        "retryOf": f"batches/{job.retry_of}" if job.retry_of else None,
        "waitingCode": outlook.waiting.code if outlook.waiting else None,
        "waitingReason": outlook.waiting.sentence if outlook.waiting else None,
        "eta": f"{outlook.eta.left_seconds:.0f}s" if outlook.eta else None,
        "etaRange": _range(outlook.eta) if outlook.eta else None,
        "promise": _promise(outlook.promise) if outlook.promise else None,
        "resultsExpireTime": timestamp(job.output_expires_at) if job.output_expires_at else None,
    }
    return _without_defaults(figures)


def _range(eta: Eta) -> dict[str, Any]:
    return {"earliest": timestamp(eta.earliest), "latest": timestamp(eta.latest)}


def _promise(promise: Promise) -> dict[str, Any]:
    return _without_defaults({"by": timestamp(promise.by), "holds": promise.holds, "reason": promise.reason})


def _usd(picos: int) -> str:
    """Return an amount in US dollars, exactly."""
    dollars, fraction = divmod(picos, 10**12)
    digits = f"{fraction:012d}".rstrip("0")
    return f"{dollars}.{digits}" if digits else str(dollars)


def _int64s(**counts: int) -> dict[str, Any]:
    return {name: str(count) for name, count in counts.items() if count}


def _without_defaults(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value not in (None, "", {})}


def _output(
    job: Job, inline_items: Sequence[bytes] | None, *, spilled: bool = False
) -> dict[str, Any] | None:
    # Of a file while it runs too: the output then holds the Results so far.
    running = job.input_file is not None and job.state not in (JobState.PENDING, JobState.FAILED)
    if running or (spilled and has_output(job)):
        return {"responsesFile": f"files/{output_file_id(job.id)}"}
    if inline_items is None or not has_output(job):
        return None
    name = "inlinedEmbedContentResponses" if job.kind is Kind.EMBEDDING else "inlinedResponses"
    return {name: {"inlinedResponses": [Raw(item) for item in inline_items]}}


def _error(job: Job) -> dict[str, Any] | None:
    match job.state:
        case JobState.FAILED:
            return {"code": 3, "message": job.error or "The job failed."}
        case JobState.CANCELLED:
            return {"code": 1, "message": "The job was cancelled. What was answered before is in its output."}
        case JobState.EXPIRED:
            return {"code": 4, "message": "The job expired. What was answered before is in its output."}
        case _:
            return None
