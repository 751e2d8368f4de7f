"""What answers look like that are written field by field: for those who describe them.

`openapi` makes schemas of them, and the tests hold every answer of a real server against those.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from halfrate.domain.waiting import WaitingCode
from halfrate.domain.webhook import WebhookState
from halfrate.wire.gemini.errors import Status
from halfrate.wire.gemini.responses import GenerateContentResponse, ModalityTokens, UsageMetadata

Int64 = Annotated[str, Meta(pattern="^-?[0-9]+$", description="A whole number of 64 bits, as a string.")]
Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Duration = Annotated[str, Meta(pattern="^[0-9]+(\\.[0-9]+)?s$", description="Seconds, as in `60s`.")]
Usd = Annotated[str, Meta(pattern="^[0-9]+(\\.[0-9]+)?$", description="US dollars, exactly.")]


class Shape(msgspec.Struct, rename="camel", omit_defaults=True):
    """Base of what is shown. What has its default is left out."""


class Empty(Shape):
    """Nothing: it was done."""


# Errors -----------------------------------------------------------------------------------------------


class FieldViolation(Shape):
    """One thing wrong with a call, and the field it is wrong in, in snake_case."""

    description: str
    field: str | None = None


class BadRequest(Shape):
    """All that is wrong with a call."""

    type: Annotated[str, Meta(description="`type.googleapis.com/google.rpc.BadRequest`")] = msgspec.field(
        name="@type"
    )
    field_violations: list[FieldViolation]


class ErrorStatus(Shape):
    """What went wrong: `code` is the HTTP status, `status` its name, and `message` says what to do."""

    code: int
    message: str
    status: str
    details: list[BadRequest] | None = None


class Error(Shape):
    """The body of every refusal."""

    error: ErrorStatus


# Files ------------------------------------------------------------------------------------------------


class File(Shape):
    """A file: one that was uploaded, or the output of a batch."""

    name: str
    mime_type: str
    uri: str
    state: Annotated[
        Literal["PROCESSING", "ACTIVE"], Meta(description="`PROCESSING`: the output of a batch that runs.")
    ]
    source: Literal["UPLOADED", "GENERATED"]
    create_time: Instant
    update_time: Instant
    display_name: str | None = None
    size_bytes: Int64 | None = None
    expiration_time: Instant | None = None
    sha256_hash: Annotated[str, Meta(description="Base64 of the hexadecimal SHA-256.")] | None = None
    download_uri: str | None = None


class CreatedFile(Shape):
    """The answer that ends an upload."""

    file: File


class UploadStep(Shape):
    """The answer to a step of an upload: empty, and at the end the file."""

    file: File | None = None


class FileList(Shape):
    """A page of files, the newest first."""

    files: list[File] | None = None
    next_page_token: str | None = None


# Batches ----------------------------------------------------------------------------------------------


class InlinedResponse(Shape):
    """The result of an inline request: a response or an error, and the metadata it was sent with."""

    metadata: Raw | None = None
    response: GenerateContentResponse | None = None
    error: Status | None = None


class InlinedResponses(Shape):
    """The results of inline requests, in their order."""

    inlined_responses: list[InlinedResponse]


class BatchOutput(Shape):
    """Where the results of a batch are: in a file, or here. Shown twice, as `response` as well."""

    type: Annotated[str, Meta(description="Only in `response`.")] | None = msgspec.field(
        name="@type", default=None
    )
    responses_file: str | None = None
    inlined_responses: InlinedResponses | None = None


class BatchInput(Shape):
    """The file a batch was made from. Inline requests are not shown."""

    file_name: str


class BatchStats(Shape):
    """How far a batch is."""

    request_count: Int64 | None = None
    successful_request_count: Int64 | None = None
    failed_request_count: Int64 | None = None
    pending_request_count: Int64 | None = None


class BatchUsage(Shape):
    """Tokens of a whole batch. Cached ones are among those of the prompts."""

    prompt_token_count: Int64 | None = None
    cached_content_token_count: Int64 | None = None
    candidates_token_count: Int64 | None = None
    total_token_count: Int64 | None = None


class PromptSharing(Shape):
    """What the prompts of a batch have in common with the one before, in the order they are run in."""

    prompt_bytes: Int64
    shared_bytes: Int64 | None = None
    groups: Int64 | None = None


class EtaRange(Shape):
    """Between these instants a batch ends, four times in five."""

    earliest: Instant
    latest: Instant


class Promise(Shape):
    """By when a batch is promised to be done, and whether that will hold."""

    by: Instant
    holds: bool | None = None
    reason: str | None = None


class OwnFigures(Shape):
    """What the protocol has no field for."""

    deadline: Instant
    cost_usd: Usd
    interactive_cost_usd: Usd
    usage: BatchUsage | None = None
    sharing: PromptSharing | None = None
    retry_of: str | None = None
    waiting_code: WaitingCode | None = None
    waiting_reason: str | None = None
    eta: Duration | None = None
    eta_range: EtaRange | None = None
    promise: Promise | None = None
    results_expire_time: Instant | None = None


class BatchWebhookConfig(Shape):
    """Whom a batch tells of its end."""

    uris: list[str] | None = None
    user_metadata: Raw | None = None


class Batch(Shape):
    """A batch as it stands. ``@type`` is there inside an Operation."""

    name: str
    model: str
    state: Literal[
        "BATCH_STATE_PENDING",
        "BATCH_STATE_RUNNING",
        "BATCH_STATE_SUCCEEDED",
        "BATCH_STATE_FAILED",
        "BATCH_STATE_CANCELLED",
        "BATCH_STATE_EXPIRED",
    ]
    create_time: Instant
    update_time: Instant
    halfrate: OwnFigures
    display_name: str | None = None
    input_config: BatchInput | None = None
    output: BatchOutput | None = None
    end_time: Instant | None = None
    batch_stats: BatchStats | None = None
    priority: Int64 | None = None
    webhook_config: BatchWebhookConfig | None = None
    type: str = msgspec.field(name="@type", default="")


class Operation(Shape):
    """A batch: how it stands is under `metadata`. With `done` comes a `response` or an `error`."""

    name: str
    metadata: Batch
    done: bool | None = None
    response: BatchOutput | None = None
    error: Status | None = None


class OperationList(Shape):
    """A page of batches, the newest first."""

    operations: list[Operation] | None = None
    next_page_token: str | None = None


# Cached contents --------------------------------------------------------------------------------------


class CacheUsage(Shape):
    """How large a cached content is."""

    total_token_count: int


class CacheShown(Shape):
    """A cached content: what is known of it, not what it holds."""

    name: str
    model: str
    create_time: Instant
    update_time: Instant
    expire_time: Instant
    usage_metadata: CacheUsage
    display_name: str | None = None


class CacheList(Shape):
    """A page of cached contents."""

    cached_contents: list[CacheShown] | None = None
    next_page_token: str | None = None


# Webhooks: in snake_case, for once ---------------------------------------------------------------------


class SigningSecret(msgspec.Struct, omit_defaults=True):
    """A secret that still signs, by its end."""

    truncated_secret: str
    expire_time: Instant | None = None


class WebhookShown(msgspec.Struct, omit_defaults=True):
    """A registered receiver."""

    id: str
    uri: str
    subscribed_events: list[str]
    state: WebhookState
    create_time: Instant
    update_time: Instant
    signing_secrets: list[SigningSecret]
    name: str | None = None
    new_signing_secret: Annotated[str, Meta(description="Only in the answer to its creation.")] | None = None


class WebhookList(msgspec.Struct, omit_defaults=True):
    """A page of webhooks."""

    webhooks: list[WebhookShown] | None = None
    next_page_token: str | None = None


class NewSecret(msgspec.Struct):
    """A secret, this one time."""

    secret: str


class KeySet(msgspec.Struct):
    """Public keys, as JSON Web Keys."""

    keys: list[dict[str, str]]


# Models -----------------------------------------------------------------------------------------------


class CountTokensResponse(Shape):
    """The tokens of a prompt, as the model reads it."""

    total_tokens: int
    prompt_tokens_details: list[ModalityTokens]
    cached_content_token_count: int | None = None
    cache_tokens_details: list[ModalityTokens] | None = None


class Model(Shape):
    """A model under one of its names. The limits are there once it is loaded."""

    name: str
    base_model_id: str
    version: str
    display_name: str
    description: str
    supported_generation_methods: list[str]
    max_temperature: float | None = None
    temperature: float | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    thinking: bool | None = None


class ModelList(Shape):
    """A page of models."""

    models: list[Model] | None = None
    next_page_token: str | None = None


class TunedModelList(Shape):
    """No models: none are tuned here."""


# Health -----------------------------------------------------------------------------------------------


class Alive(Shape):
    """The server is there."""

    status: str


class Readiness(Shape):
    """How each model stands, and what troubles those that have trouble."""

    status: Literal["ok", "waiting"]
    models: dict[str, str]
    troubles: dict[str, str]


class ContentEmbedding(Shape):
    """A vector, of length 1."""

    values: list[float]


class EmbedContentResponse(Shape):
    """The vector of one text."""

    embedding: ContentEmbedding
    usage_metadata: UsageMetadata


class BatchEmbedContentsResponse(Shape):
    """The vectors of some texts, in their order."""

    embeddings: list[ContentEmbedding]
    usage_metadata: UsageMetadata
