"""Clients of a server that dies under them: each call is made until it is answered."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

CHUNK_BYTES = 4 << 10
PATIENCE_SECONDS = 60.0
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")


class Customer:
    """Speaks the protocol with small chunks, and goes on where it was broken off."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address
        self.uploading = threading.Event()
        self.resumed = 0

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[Any, bytes]:
        """Return the headers and body of a good answer, however often the server dies meanwhile."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._once(method, path, body, headers)
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, f"{method} {path} was not answered"
                time.sleep(0.02)

    def _once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[Any, bytes]:
        place = urlsplit(self._address())
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE_SECONDS)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        assert reply.status == 200, f"{method} {path}: {reply.status} {content[:500]!r}"
        return reply.headers, content

    def upload(self, content: bytes) -> tuple[str, str]:
        """Upload a file in small chunks. Return its name, and what the server says its SHA-256 is."""
        self.uploading.set()
        try:
            headers, _ = self.call("POST", "/upload/v1beta/files", b"{}", X_Goog_Upload_Command="start")
            path = f"/upload/v1beta/files?{urlsplit(headers['X-Goog-Upload-URL']).query}"
            return self._send(path, content)
        finally:
            self.uploading.clear()

    def _send(self, path: str, content: bytes) -> tuple[str, str]:
        offset = 0
        while True:
            chunk = content[offset : offset + CHUNK_BYTES]
            last = offset + len(chunk) == len(content)
            step = {
                "X-Goog-Upload-Command": "upload, finalize" if last else "upload",
                "X-Goog-Upload-Offset": str(offset),
            }
            try:
                headers, body = self._once("POST", path, chunk, step)
            except (OSError, http.client.HTTPException):
                headers, body = self.call("POST", path, X_Goog_Upload_Command="query")
                self.resumed += 1
                offset = int(headers["X-Goog-Upload-Size-Received"])
            else:
                offset += len(chunk)
            if headers["X-Goog-Upload-Status"] == "final":
                file = json.loads(body)["file"]
                return file["name"], base64.b64decode(file["sha256Hash"]).decode()

    def forget(self, name: str) -> None:
        """Delete a File, which may be gone already when the answer was lost."""
        with suppress(OSError, http.client.HTTPException):
            self._once("DELETE", f"/v1beta/{name}", b"", {})

    def create(self, display_name: str, source: dict[str, Any], *, skip: bool) -> None:
        """Make a Job, once: a call that was broken off may have made it."""
        body = json.dumps({"batch": {"displayName": display_name, "inputConfig": source}}).encode()
        headers = {"X-Halfrate-On-Invalid": "skip"} if skip else {}
        while display_name not in self.jobs():
            try:
                self._once("POST", "/v1beta/models/pocket-1:batchGenerateContent", body, headers)
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """What the server says of each Job, by display name."""
        _, body = self.call("GET", "/v1beta/batches?pageSize=1000")
        shown = [operation["metadata"] for operation in json.loads(body).get("operations", [])]
        return {metadata["displayName"]: metadata for metadata in shown}

    def unfinished(self) -> int:
        """How many Jobs have not ended."""
        return sum(not metadata["state"].endswith(ENDED) for metadata in self.jobs().values())

    def results(self, job: dict[str, Any]) -> list[Any]:
        """The Results of a Job, from its output File or from the Job itself."""
        _, body = self.call("GET", f"/v1beta/{job['name']}")
        output = json.loads(body)["metadata"]["output"]
        if "responsesFile" in output:
            _, lines = self.call("GET", f"/download/v1beta/{output['responsesFile']}:download")
            return [json.loads(line) for line in lines.splitlines()]
        return list(output["inlinedResponses"]["inlinedResponses"])

    def cancel(self, job: dict[str, Any]) -> None:
        """Stop a Job."""
        self.call("POST", f"/v1beta/{job['name']}:cancel")
