"""The client's side of batches: what creates one, and what is told of it and in its results."""

from __future__ import annotations

from typing import Any

import msgspec

from halfrate.domain.embedding import Embedded
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.wire.gemini.asking import exactly, unit
from halfrate.wire.gemini.results import read_result

VERBS = {Kind.GENERATION: "batchGenerateContent", Kind.EMBEDDING: "asyncBatchEmbedContent"}


def create_body(*, file: str, display_name: str) -> bytes:
    """Return the body that makes a batch of an uploaded file."""
    return msgspec.json.encode({"batch": {"displayName": display_name, "inputConfig": {"fileName": file}}})


def upload_body(*, display_name: str) -> bytes:
    """Return the body that begins an upload."""
    return msgspec.json.encode({"file": {"displayName": display_name, "mimeType": "jsonl"}})


class _Read(msgspec.Struct, rename="camel"):
    """Base of what is read: what is not needed is passed over."""


class _Output(_Read):
    responses_file: str = ""


class _Metadata(_Read):
    state: str = ""
    display_name: str = ""
    output: _Output | None = None


class _Error(_Read):
    code: int = 13
    message: str = ""


class BatchRead(_Read):
    """A batch as its server shows it."""

    name: str = ""
    done: bool = False
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    response: _Output | None = None
    error: _Error | None = None

    @property
    def state(self) -> str:
        """Return how it stands, such as ``SUCCEEDED``."""
        return self.metadata.state.removeprefix("BATCH_STATE_").removeprefix("JOB_STATE_")

    @property
    def ended(self) -> bool:
        """Whether it will never move again."""
        return self.done or self.state in {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"}

    @property
    def results(self) -> str:
        """Return the name of the file with its results, empty if there is none."""
        told = self.metadata.output or self.response
        return told.responses_file if told is not None else ""


class _BatchesRead(_Read):
    operations: list[BatchRead] = []
    next_page_token: str = ""


class _FileRead(_Read):
    name: str = ""


class _UploadedRead(_Read):
    file: _FileRead | None = None


def batch_in(body: bytes) -> BatchRead | None:
    """Return the batch in an answer, None if there is none."""
    batch = _read(body, BatchRead)
    return batch if isinstance(batch, BatchRead) and batch.name else None


def batches_in(body: bytes) -> tuple[list[BatchRead], str] | None:
    """Return a page of batches and the token of the next one, None if it cannot be read."""
    page = _read(body, _BatchesRead)
    return (page.operations, page.next_page_token) if isinstance(page, _BatchesRead) else None


def uploaded_in(body: bytes) -> str | None:
    """Return the name of the file in the answer that ends an upload, None if there is none."""
    said = _read(body, _UploadedRead)
    return said.file.name if isinstance(said, _UploadedRead) and said.file and said.file.name else None


def _read(body: bytes, shape: type[Any]) -> object:
    try:
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError):
        return None


_UNSERVED = {Cause.CANCELLED, Cause.EXPIRED}
_TRY_AGAIN = {Cause.OVERLOADED, Cause.INTERNAL}


def result_in(line: bytes, *, expired: bool, kind: Kind) -> tuple[str | None, Outcome]:
    """Return the key and the Outcome in a line of results.

    What the batch did not come to is as if the upstream had no room for it: it costs no Attempt. What it
    tried and failed to do costs one. Raise `CorruptData` if it is no such line.
    """
    read = read_result(line, expired=expired)
    outcome = read.outcome
    if isinstance(outcome, Failed):
        if outcome.cause in _UNSERVED:
            return read.key, Failed(Cause.OVERLOADED, f"The upstream's batch ended before: {outcome.detail}")
        cause = Cause.UPSTREAM if outcome.cause in _TRY_AGAIN else outcome.cause
        return read.key, Failed(exactly(cause, outcome.detail), outcome.detail)
    if isinstance(outcome, Embedded) is not (kind is Kind.EMBEDDING):
        return read.key, Failed(Cause.UPSTREAM, "The result is not of the kind that was asked for.")
    return read.key, unit(outcome) if isinstance(outcome, Embedded) else outcome
