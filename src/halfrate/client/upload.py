"""The resumable upload: 8 MiB at a time, and on from where the server stands when the line breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from halfrate.client.transport import Reply, Transport
from halfrate.domain.errors import Refusal, Unreachable

CHUNK_BYTES = 8 << 20
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)


class Upload:
    """Sends one open file. Memory stays at one chunk however large the file is.

    A broken connection, or a server that is busy or restarting, is waited out with growing pauses (15 s
    in all without progress); then the server is asked how much it has, and the rest is sent.
    """

    def __init__(
        self,
        transport: Transport,
        source: BinaryIO,
        *,
        size_bytes: int,
        sleep: Callable[[float], None],
        on_progress: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._source = source
        self._size_bytes = size_bytes
        self._sleep = sleep
        self._on_progress = on_progress

    def run(self, *, display_name: str, mime_type: str, file_name: str) -> dict[str, Any]:
        """Send the file and return the File resource the server made of it."""
        address = self._start(display_name=display_name, mime_type=mime_type, file_name=file_name)
        offset, pauses = 0, iter(_PAUSES_SECONDS)
        while True:
            try:
                reply = self._send_chunk(address, offset)
                if reply.status >= 500:
                    raise reply.refusal()
            except (Unreachable, Refusal) as error:
                self._pause(pauses, error)
                arrived_bytes = self._received(address, pauses)
            else:
                if reply.status != 200:
                    raise reply.refusal()
                if reply.headers.get("x-goog-upload-status") == "final":
                    self._on_progress(self._size_bytes)
                    return _file(reply.body)
                arrived_bytes = offset + CHUNK_BYTES
            if arrived_bytes > offset:
                pauses = iter(_PAUSES_SECONDS)
                self._on_progress(arrived_bytes)
            offset = arrived_bytes

    def _start(self, *, display_name: str, mime_type: str, file_name: str) -> str:
        headers = {
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(self._size_bytes),
            "X-Goog-Upload-Header-Content-Type": mime_type,
            "X-Goog-Upload-File-Name": file_name.encode("ascii", "replace").decode(),
        }
        metadata = {"displayName": display_name, "mimeType": mime_type, "sizeBytes": str(self._size_bytes)}
        reply = self._transport.start_upload(headers, {"file": metadata})
        if reply.status != 200:
            raise reply.refusal()
        try:
            return reply.headers["x-goog-upload-url"]
        except KeyError:
            raise Refusal(f"What answers at {self._transport.url} takes no uploads.") from None

    def _send_chunk(self, address: str, offset: int) -> Reply:
        self._source.seek(offset)
        chunk = self._source.read(min(CHUNK_BYTES, self._size_bytes - offset))
        last = offset + len(chunk) >= self._size_bytes
        headers = {
            "X-Goog-Upload-Command": "upload, finalize" if last else "upload",
            "X-Goog-Upload-Offset": str(offset),
        }
        return self._transport.exchange("POST", address, headers, chunk)

    def _received(self, address: str, pauses: Iterator[float]) -> int:
        """Ask the server how much it has, waiting for it to come back. Everything it has is kept."""
        while True:
            try:
                reply = self._transport.exchange("POST", address, {"X-Goog-Upload-Command": "query"}, b"")
                if reply.status >= 500:
                    raise reply.refusal()
            except (Unreachable, Refusal) as error:
                self._pause(pauses, error)
                continue
            if reply.status != 200:
                raise reply.refusal()
            # All of it may be there: an empty last chunk then ends the upload.
            return int(reply.headers.get("x-goog-upload-size-received", 0))

    def _pause(self, pauses: Iterator[float], error: Unreachable | Refusal) -> None:
        pause_seconds = next(pauses, None)
        if pause_seconds is None:
            raise error
        self._sleep(pause_seconds)


def _file(body: bytes) -> dict[str, Any]:
    try:
        file = json.loads(body)["file"]
    except (ValueError, KeyError, TypeError):
        file = None
    if not isinstance(file, dict):
        raise Refusal("The server took the upload and named no file.")
    return file
