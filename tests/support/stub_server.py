"""A small server that speaks the batch dialect from memory, for tests of what is on the client's side.

It plays a script: `StubServer.plan` lists the Operations a Job's polls are answered with, the last one
from then on. ``cuts_after_bytes`` makes it break off an upload there, as a failing network would. ``steps``
are the lines a followed Job adds at each look, of which the first ``breaks`` answers break off.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Operation = dict[str, Any]


def operation(state: str = "PENDING", *, name: str = "batches/job1", **fields: Any) -> Operation:
    """Return an Operation as the wire has it. ``fields`` go into its metadata, ``error`` beside it."""
    error = fields.pop("error", None)
    metadata: dict[str, Any] = {
        "model": "models/pocket-1",
        "displayName": "first",
        "createTime": "2026-01-01T00:00:00.407650525Z",
        "updateTime": "2026-01-01T00:00:00.407650525Z",
        "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
        "state": f"BATCH_STATE_{state}",
        "name": name,
    }
    shown: Operation = {"name": name, "metadata": {**metadata, **fields}}
    if state in ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"):
        shown["done"] = True
    if error:
        shown["error"] = error
    return shown


def succeeded(name: str = "batches/job1", **fields: Any) -> Operation:
    """Return the Operation of a Job that is done, with its result file."""
    stats = {"requestCount": "3", "successfulRequestCount": "2", "failedRequestCount": "1"}
    output = {"responsesFile": f"files/batch-{name.removeprefix('batches/')}"}
    return operation("SUCCEEDED", name=name, **{"batchStats": stats, "output": output, **fields})


class StubServer:
    """Listens at ``url`` while entered. ``calls`` records (method, path, headers, body)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.plan: list[Operation] = [succeeded()]
        self.listed: list[Operation] = []
        self.models = ["pocket-1", "gemini-2.5-flash"]
        self.embedding_models: list[str] = []
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        self.cuts_after_bytes: list[int] = []
        self.created: Operation = operation()
        self.refuse_create: tuple[int, str, str] | None = None
        self.break_downloads = False
        self.retried = operation(name="batches/job2", halfrate={"retryOf": "batches/job1"})
        self.steps: list[bytes] = []
        self.breaks = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True  # connections kept alive must not hold up the end
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> StubServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next_operation(self) -> Operation:
        return self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]


def _handler(stub: StubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self._record(b"")
            path, query = self._target()
            if path.endswith(":download"):
                name = path.removesuffix(":download")
                if stub.steps:
                    self._step(query)
                    return
                if name not in stub.files:
                    self._error(403, "PERMISSION_DENIED", f"You may not see {name}, or it does not exist.")
                    return
                announced_too_many = 10 if stub.break_downloads else 0
                self._send(stub.files[name], "application/octet-stream", missing_bytes=announced_too_many)
            elif path.startswith("batches/"):
                self._json(stub.next_operation())
            elif path == "batches":
                self._page("operations", stub.listed, query)
            elif path == "models":
                models = [
                    {
                        "name": f"models/{name}",
                        "version": "pocket-1-q8",
                        "supportedGenerationMethods": [
                            "embedContent" if name in stub.embedding_models else "generateContent"
                        ],
                    }
                    for name in stub.models
                ]
                self._page("models", models, query)
            elif path == "files":
                self._page("files", [self._file(name) for name in stub.files], query)
            elif path.startswith("files/"):
                self._json(self._file(path))
            else:
                self._error(404, "NOT_FOUND", f"There is no {path}.")

        def do_POST(self) -> None:
            path, query = self._target()
            command = self.headers.get("X-Goog-Upload-Command", "")
            if "upload_id" in query and command.startswith("upload"):
                self._chunk(query["upload_id"][0], command)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._record(body)
            if "upload_id" in query and command == "query":
                received = len(stub.uploads[query["upload_id"][0]])
                headers = {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(received)}
                self._send(b"", "text/plain", headers)
            elif command == "start":
                upload = f"u{len(stub.uploads) + 1}"
                stub.uploads[upload] = bytearray()
                address = f"{stub.url}/upload/v1beta/files?upload_id={upload}"
                self._send(
                    b"", "text/plain", {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active"}
                )
            elif path.endswith((":batchGenerateContent", ":asyncBatchEmbedContent")):
                if stub.refuse_create:
                    self._error(*stub.refuse_create)
                    return
                self._json(stub.created)
            elif path.endswith(":cancel"):
                self._json({})
            elif path.endswith(":retry"):
                self._json(stub.retried)
            else:
                self._error(404, "NOT_FOUND", f"There is no {path}.")

        def do_DELETE(self) -> None:
            self._record(b"")
            self._json({})

        def _step(self, query: dict[str, list[str]]) -> None:
            """Send what comes after a snapshot, whose name is how many steps it has."""
            seen = int(query.get("since", ["0"])[0])
            lines = b"".join(stub.steps[seen : seen + 1])
            missing_bytes = 10 if stub.breaks else 0
            stub.breaks = max(0, stub.breaks - 1)
            reached = {"X-Halfrate-Snapshot": str(min(seen + 1, len(stub.steps)))}
            self._send(lines, "application/octet-stream", reached, missing_bytes=missing_bytes)

        def _chunk(self, upload: str, command: str) -> None:
            offset = int(self.headers["X-Goog-Upload-Offset"])
            left = int(self.headers["Content-Length"])
            self._record(b"")
            kept = stub.uploads[upload]
            if offset != len(kept):
                self._error(400, "INVALID_ARGUMENT", f"offset {offset}, expected {len(kept)}")
                return
            while left:
                piece = self.rfile.read(min(left, 1 << 16))
                left -= len(piece)
                kept += piece
                if stub.cuts_after_bytes and len(kept) >= stub.cuts_after_bytes[0]:
                    stub.cuts_after_bytes.pop(0)
                    self.close_connection = True
                    self.connection.shutdown(2)
                    return
            if "finalize" not in command:
                self._send(b"", "text/plain", {"X-Goog-Upload-Status": "active"})
                return
            name = f"files/{upload}"
            stub.files[name] = bytes(kept)
            self._json({"file": self._file(name)}, {"X-Goog-Upload-Status": "final"})

        def _file(self, name: str) -> dict[str, Any]:
            size_bytes = len(stub.files.get(name, b""))
            return {
                "name": name,
                "displayName": "requests",
                "mimeType": "jsonl",
                "sizeBytes": str(size_bytes),
            }

        def _page(self, field: str, items: list[Any], query: dict[str, list[str]]) -> None:
            start = int(query.get("pageToken", ["0"])[0])
            end = start + min(2, int(query.get("pageSize", ["10"])[0]))
            token = {"nextPageToken": str(end)} if end < len(items) else {}
            self._json({field: items[start:end], **token})

        def _target(self) -> tuple[str, dict[str, list[str]]]:
            parts = urlsplit(self.path)
            path = parts.path.removeprefix("/upload")
            return path.split("/", 2)[2], parse_qs(parts.query)

        def _record(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.calls.append((self.command, self.path, headers, body))

        def _error(self, status: int, name: str, message: str) -> None:
            body = json.dumps({"error": {"code": status, "status": name, "message": message}}).encode()
            self._send(body, "application/json", {"X-Goog-Upload-Status": "final"}, status)

        def _json(self, document: Any, headers: dict[str, str] | None = None) -> None:
            self._send(json.dumps(document).encode(), "application/json", headers)

        def _send(
            self,
            body: bytes,
            kind: str,
            headers: dict[str, str] | None = None,
            status: int = 200,
            missing_bytes: int = 0,
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + missing_bytes))
            self.end_headers()
            self.wfile.write(body)
            if missing_bytes:
                self.close_connection = True

    return Handler
