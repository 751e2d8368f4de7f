"""What answers look like that are written field by field: for those who describe them.

`openapi` makes schemas of them, and the tests hold every answer of a real server against those.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Seconds = Annotated[int, Meta(description="Seconds since 1970.")]


class Told(msgspec.Struct):
    """Base of what is shown. What has no value is null, unless it may be left out."""


# Errors -----------------------------------------------------------------------------------------------


class ErrorSaid(Told):
    """What went wrong, and the field at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Told):
    """The body of every refusal."""

    error: ErrorSaid


class LayerErrorSaid(Told):
    """What went wrong: `code` is the HTTP status, `status` its name."""

    code: int
    message: str
    status: str


class LayerError(Told):
    """The one entry of the list that is the body of every refusal."""

    error: LayerErrorSaid


# Files ------------------------------------------------------------------------------------------------


class File(Told):
    """A file: one that was uploaded, or the results of a batch."""

    id: str
    object: Literal["file"]
    bytes: Annotated[int, Meta(description="Of results: the size of their form in the other dialect.")]
    created_at: Seconds
    expires_at: Seconds | None
    filename: str
    purpose: Literal["batch", "user_data", "batch_output"]
    status: Annotated[
        Literal["uploaded", "processed"], Meta(description="`uploaded`: the results of a batch that runs.")
    ]
    status_details: None


class FileList(Told):
    """A page of files, the newest first."""

    object: Literal["list"]
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(Told):
    """What is left of a file."""

    id: str
    object: Literal["file"]
    deleted: bool


# Batches ----------------------------------------------------------------------------------------------


class BatchError(Told):
    """Why a batch failed as a whole."""

    code: str
    message: str
    param: None
    line: None


class BatchErrors(Told):
    """Why a batch failed as a whole, as a list."""

    object: Literal["list"]
    data: list[BatchError]


class RequestCounts(Told):
    """How far a batch is."""

    total: int
    completed: int
    failed: int


class CachedTokens(Told):
    """Tokens of prompts that were not computed again."""

    cached_tokens: int


class ReasoningTokens(Told):
    """Tokens of thoughts."""

    reasoning_tokens: int


class BatchUsage(Told):
    """Tokens of a whole batch."""

    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int


class Batch(Told):
    """A batch: a job of either dialect."""

    id: str
    object: Literal["batch"]
    endpoint: Literal["/v1/chat/completions", "/v1/embeddings"]
    model: str
    errors: BatchErrors | None
    input_file_id: Annotated[str, Meta(description="Empty if the requests came inline.")]
    completion_window: str
    status: Literal[
        "validating",
        "in_progress",
        "finalizing",
        "cancelling",
        "completed",
        "failed",
        "cancelled",
        "expired",
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: Seconds
    in_progress_at: Seconds | None
    expires_at: Seconds
    finalizing_at: None
    completed_at: Seconds | None
    failed_at: Seconds | None
    expired_at: Seconds | None
    cancelling_at: None
    cancelled_at: Seconds | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, Any] | None


class BatchList(Told):
    """A page of batches, the newest first."""

    object: Literal["list"]
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


# Models -----------------------------------------------------------------------------------------------


class Model(Told):
    """A model, under a name it answers to."""

    id: str
    object: Literal["model"]
    created: Seconds
    owned_by: str


class ModelList(Told):
    """Every name of every model."""

    object: Literal["list"]
    data: list[Model]


# Chat completions -------------------------------------------------------------------------------------


class CallMade(Told):
    """The function to call. `arguments` is the JSON text of an object."""

    name: str
    arguments: str


class ToolCallMade(Told):
    """A call that the model makes."""

    id: str
    type: Literal["function"]
    function: CallMade


class Answer(Told):
    """What the model says."""

    role: Literal["assistant"]
    content: Annotated[str, Meta(description="Null where there are calls and no text.")] | None
    refusal: None
    reasoning_content: Annotated[str, Meta(description="Thoughts, if asked for.")] | UnsetType = UNSET
    tool_calls: list[ToolCallMade] | UnsetType = UNSET


class Likely(Told):
    """A token that could have come."""

    token: str
    logprob: float
    bytes: list[int]


class Step(Told):
    """A token that came, and which could have."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[Likely]


class Logprobs(Told):
    """How likely each token was."""

    content: list[Step]
    refusal: None


class Choice(Told):
    """One of the answers."""

    index: int
    message: Answer
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length", "tool_calls"]


class Usage(Told):
    """Tokens of one completion. Those of thoughts are among those of the completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class ChatCompletion(Told):
    """The answer to a chat completion request."""

    id: str
    object: Literal["chat.completion"]
    created: Seconds
    model: str
    choices: list[Choice]
    usage: Usage


# Embeddings -------------------------------------------------------------------------------------------


class Vector(Told):
    """The vector of one text: numbers, or base64 of 32-bit floats."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(Told):
    """Tokens of all the texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Told):
    """The vectors of texts, in their order."""

    object: Literal["list"]
    data: list[Vector]
    model: str
    usage: EmbeddingsUsage
