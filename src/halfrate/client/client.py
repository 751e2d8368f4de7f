"""One server's Jobs, Files and models, as calls."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from halfrate.client.transport import DEFAULT_URL, Transport
from halfrate.client.upload import Upload
from halfrate.client.views import FileView, JobView, ModelView
from halfrate.domain.errors import Forbidden, NotFound, Unimplemented, Unreachable
from halfrate.domain.kind import Kind

PIECE_BYTES = 1 << 20


class Client:
    """Speaks to one server. Blocking; holds nothing open between calls.

    Every call raises `Unreachable` when there is no answer, and a `Refusal` (`NotFound`,
    `InvalidArgument`, ...) when the server says no.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(url, api_key)
        self._sleep = sleep

    @property
    def url(self) -> str:
        """The server's address."""
        return self._transport.url

    def upload(
        self,
        path: Path,
        *,
        display_name: str | None = None,
        mime_type: str = "jsonl",
        on_progress: Callable[[int], None] = lambda sent_bytes: None,
    ) -> FileView:
        """Send a file of any size in bounded memory, over broken connections and server restarts."""
        with path.open("rb") as source:
            upload = Upload(
                self._transport,
                source,
                size_bytes=os.fstat(source.fileno()).st_size,
                sleep=self._sleep,
                on_progress=on_progress,
            )
            file = upload.run(
                display_name=display_name or path.name, mime_type=mime_type, file_name=path.name
            )
        return FileView.of(file)

    def create(
        self,
        model: str,
        file_name: str,
        *,
        display_name: str = "",
        priority: int = 0,
        keep_going: bool = False,
        deadline: str | None = None,
        kind: Kind = Kind.GENERATION,
    ) -> JobView:
        """Make a Job of an uploaded File, whose lines are of one kind.

        With ``keep_going``, bad lines become error Results.

        ``deadline`` is a number of seconds, or an instant in RFC 3339; the server has one of its own.
        """
        batch: dict[str, Any] = {"inputConfig": {"fileName": file_name}}
        if display_name:
            batch["displayName"] = display_name
        if priority:
            batch["priority"] = str(priority)
        headers = {"X-Halfrate-On-Invalid": "skip"} if keep_going else {}
        if deadline is not None:
            headers["X-Halfrate-Deadline"] = deadline
        verb = "asyncBatchEmbedContent" if kind is Kind.EMBEDDING else "batchGenerateContent"
        path = f"models/{model.removeprefix('models/')}:{verb}"
        return JobView.of(self._transport.call("POST", path, body={"batch": batch}, headers=headers))

    def job(self, name: str) -> JobView:
        """Return a Job as it stands."""
        return JobView.of(self.operation(name))

    def operation(self, name: str) -> dict[str, Any]:
        """Return a Job's Operation as the wire has it."""
        return self._transport.call("GET", job_name(name))

    def jobs(self) -> Iterator[JobView]:
        """Yield every Job, newest first."""
        yield from map(JobView.of, self._pages("batches", "operations"))

    def cancel(self, name: str) -> None:
        """Stop a Job. What is answered stays, and is published."""
        self._transport.call("POST", f"{job_name(name)}:cancel", body={})

    def retry(self, name: str, *, deadline: str | None = None) -> JobView:
        """Try the failed Requests of an ended Job again. Return the Job that does; asked again, the same."""
        headers = {} if deadline is None else {"X-Halfrate-Deadline": deadline}
        return JobView.of(self._transport.call("POST", f"{job_name(name)}:retry", body={}, headers=headers))

    def delete(self, name: str) -> None:
        """Forget a Job, stopping it first if it still runs."""
        self._transport.call("DELETE", job_name(name))

    def models(self) -> Iterator[ModelView]:
        """Yield every model that can be asked."""
        yield from map(ModelView.of, self._pages("models", "models"))

    @contextmanager
    def open_file(self, name: str) -> Iterator[Iterator[bytes]]:
        """Open a File's bytes, to be read in pieces of at most 1 MiB."""
        with self._transport.download(f"{name}:download", {"alt": "media"}) as response:
            yield _pieces(cast(BinaryIO, response), response.length)

    @contextmanager
    def open_results(self, job: JobView) -> Iterator[Iterator[bytes]]:
        """Open a Job's Results as JSON Lines: those there are, if it still runs."""
        output = job.raw.get("metadata", {}).get("output", {})
        inlined = output.get("inlinedResponses") or output.get("inlinedEmbedContentResponses")
        if inlined is not None:
            yield _inlined_lines(inlined)
            return
        try:
            with self.open_file(_responses_file(job)) as pieces:
                yield pieces
        except (NotFound, Forbidden):
            raise _no_results(job) from None

    @contextmanager
    def open_results_since(self, job: JobView, snapshot: str | None) -> Iterator[tuple[Iterator[bytes], str]]:
        """Open the Results that were not in ``snapshot``, as JSON Lines: all there are, without one.

        With them comes the snapshot they lead to. Asking on and on until after the Job's end gives each
        line once. Raise `NotFound` if there are none, `Unimplemented` if the server gives no snapshots.
        """
        query = {"alt": "media"} if snapshot is None else {"alt": "media", "since": snapshot}
        try:
            response = self._transport.download(f"{_responses_file(job)}:download", query)
        except (NotFound, Forbidden):
            raise _no_results(job) from None
        with response:
            reached = response.getheader("X-Halfrate-Snapshot")
            if reached is None:
                raise Unimplemented(
                    f"The server at {self.url} does not say which results it gave, so they cannot be "
                    "followed. Fetch them when the job has ended."
                )
            yield _pieces(cast(BinaryIO, response), response.length), reached

    def _pages(self, path: str, field: str) -> Iterator[Mapping[str, Any]]:
        query = {"pageSize": "100"}
        while True:
            page = self._transport.call("GET", path, query=query)
            yield from page.get(field, ())
            token = page.get("nextPageToken")
            if not token:
                return
            query = {**query, "pageToken": token}


def job_name(name: str) -> str:
    """Return the full name of a Job that may have been given as its bare id."""
    return name if name.startswith("batches/") else f"batches/{name}"


def _no_results(job: JobView) -> NotFound:
    kept = f" They were kept until {job.results_expire}." if job.results_expire else ""
    return NotFound(f"{job.name} has no results: it is {job.state}.{kept}")


def _responses_file(job: JobView) -> str:
    return job.responses_file or f"files/batch-{job.name.removeprefix('batches/')}"


def _pieces(body: BinaryIO, expected_bytes: int | None) -> Iterator[bytes]:
    received_bytes = 0
    try:
        while piece := body.read(PIECE_BYTES):
            received_bytes += len(piece)
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(
            f"The server broke off after {received_bytes} bytes ({error or type(error).__name__})."
        ) from error
    # A connection that closes early looks like an end: only the announced length tells.
    if expected_bytes is not None and received_bytes < expected_bytes:
        raise Unreachable(f"The server broke off after {received_bytes} of {expected_bytes} bytes.")


def _inlined_lines(inlined: Mapping[str, Any]) -> Iterator[bytes]:
    for result in inlined.get("inlinedResponses", ()):
        yield json.dumps(result, ensure_ascii=False).encode() + b"\n"
