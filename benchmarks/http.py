"""Polling and streaming beside a batch that runs: how long an answer takes, how soon a first piece leaves.

Polls come from 64 clients that each keep a connection and ask ten times a second, as a dashboard would, while
the embedded engine works on a batch with all cores. Beside them, in turns, the same polls go to a server that
does nothing but send a body of that size: what is left is the machine's. Every piece a stream sends is
replaced by the time at which the Engine handed it over, so its way to the client can be told.

Beyond the median, a poll waits for a processor: nothing holds the event loop up. Of the time that its
callbacks of more than 3 ms take, the kernel has them wait for 97 %, as the Engine computes on every core
(and, when that was told, as other programs did); they run for 0.8 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as Call
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.harness import alternating, check, report
from halfrate.app import embedded_engine
from halfrate.config import POCKET, Config, ModelConfig
from halfrate.domain.outcome import Delta, Outcome
from halfrate.domain.request import Request
from halfrate.engines.api import Engine, Wrote
from halfrate.serve import serve

CLIENTS = 64
PER_SECOND = 10.0
POLL_SECONDS = 8.0
ROUNDS = 2
STREAMS = 60
BATCH_LINES = 20_000
PEER_BODY = b"x" * 600

POLL_P50_MS_MAX = 5.0
FIRST_PIECE_P50_MS_MAX = 10.0

Latencies = dict[str, float]


# The servers ------------------------------------------------------------------------------------------


class Timed:
    """An Engine whose pieces say when they were handed over, in seconds on the machine's monotonic clock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def answer(
        self, request: Request, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt."""
        timed = None if wrote is None else lambda _: wrote(Delta(f"{time.monotonic():.6f}"))
        return await self._engine.answer(request, interactive=interactive, wrote=timed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def __aenter__(self) -> Engine:
        await self._engine.__aenter__()
        return self  # type: ignore[return-value]

    async def __aexit__(self, *exc: object) -> None:
        await self._engine.__aexit__(*exc)


def run_server(folder: Path) -> None:
    """Serve the demonstration model until told to stop."""
    config = Config.load(data_dir=str(folder))
    make: Callable[[ModelConfig], Any] = lambda entry: Timed(embedded_engine(entry))  # noqa: E731
    started = lambda url: print(url, flush=True)  # noqa: E731
    asyncio.run(serve(config, host="127.0.0.1", port=0, on_started=started, make_engine=make))


def run_peer(port: int) -> None:
    """Serve one body, whatever is asked."""

    async def answer(_: Call) -> Response:
        return Response(PEER_BODY)

    app = Starlette(routes=[Route("/{path:path}", answer)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, lifespan="off")


# One connection ---------------------------------------------------------------------------------------


class Connection:
    """Sends calls over one connection, byte by byte: a client library would be slower than the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send one call."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self._writer.drain()

    async def head(self) -> dict[str, str]:
        """Read the head of an answer. Fail unless it is a success."""
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = raw.split("\r\n")
        if " 200 " not in status + " ":
            raise RuntimeError(raw)
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    async def call(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[dict[str, str], bytes]:
        """Send one call and read its answer."""
        await self.send(method, path, body, **headers)
        head = await self.head()
        return head, await self._reader.readexactly(int(head["content-length"]))

    async def first_chunk(self) -> tuple[bytes, float]:
        """Read the first chunk of a body, and say when it had come."""
        await self.head()
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return await self._reader.readexactly(size), time.monotonic()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


# What is measured -------------------------------------------------------------------------------------


async def poll(port: int, paths: Sequence[str], *, seconds: float) -> dict[str, list[float]]:
    """Ask for each path in turn from all clients, at their pace. Return milliseconds by path."""
    taken: dict[str, list[float]] = {path: [] for path in paths}
    begins = time.monotonic() + 0.2

    async def client(number: int) -> None:
        connection = await Connection.to(port)
        due, turn = begins + number / CLIENTS / PER_SECOND, number
        while due < begins + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path = paths[turn % len(paths)]
            sent = time.monotonic()
            await connection.call("GET", path)
            taken[path].append((time.monotonic() - sent) * 1e3)
            due, turn = due + 1 / PER_SECOND, turn + 1
        connection.close()

    await asyncio.gather(*map(client, range(CLIENTS)))
    return taken


async def stream_once(port: int, number: int) -> float:
    """Return the milliseconds a first piece took from the Engine to the client."""
    body = {
        "contents": [{"parts": [{"text": f"Explain how AI works in {number} words"}]}],
        "generationConfig": {"maxOutputTokens": 24},
    }
    connection = await Connection.to(port)
    path = f"/v1beta/models/{POCKET}:streamGenerateContent?alt=sse"
    await connection.send("POST", path, json.dumps(body).encode())
    chunk, arrived = await connection.first_chunk()
    connection.close()
    piece = json.loads(chunk.removeprefix(b"data: "))
    return (arrived - float(piece["candidates"][0]["content"]["parts"][0]["text"])) * 1e3


async def start_batch(port: int) -> tuple[str, str]:
    """Upload lines and make a batch of them that outlasts the benchmark. Return the names of both."""
    connection = await Connection.to(port)
    line = (
        '{{"key": "{0}", "request": {{"contents": [{{"parts": [{{"text": "Write {0} lines"}}]}}], {1}}}}}\n'
    )
    sampling = '"generationConfig": {"maxOutputTokens": 64}'
    content = "".join(line.format(number, sampling) for number in range(BATCH_LINES)).encode()
    head, _ = await connection.call(
        "POST",
        "/upload/v1beta/files",
        b'{"file": {"mimeType": "jsonl"}}',
        X_Goog_Upload_Protocol="resumable",
        X_Goog_Upload_Command="start",
    )
    path = head["x-goog-upload-url"].split("/", 3)[3]
    _, said = await connection.call(
        "POST", f"/{path}", content, X_Goog_Upload_Command="upload, finalize", X_Goog_Upload_Offset="0"
    )
    file = json.loads(said)["file"]["name"]
    create = json.dumps({"batch": {"inputConfig": {"fileName": file}}}).encode()
    _, said = await connection.call("POST", f"/v1beta/models/{POCKET}:batchGenerateContent", create)
    batch = json.loads(said)["name"]
    while True:
        _, said = await connection.call("GET", f"/v1beta/{batch}")
        if json.loads(said)["metadata"]["batchStats"].get("successfulRequestCount"):
            connection.close()
            return file, batch
        await asyncio.sleep(0.2)


def batch_line(number: int) -> str:
    """Return a line that keeps the engine busy for a while."""
    request = {
        "contents": [{"parts": [{"text": f"Write {number} lines"}]}],
        "generationConfig": {"maxOutputTokens": 64},
    }
    return json.dumps({"key": str(number), "request": request}) + "\n"


async def measure(port: int, peer_port: int) -> dict[str, Any]:
    """Measure polls, in turns with the peer's, then streams."""
    file, batch = await start_batch(port)
    paths = {f"/v1beta/{batch}": "batches.get", f"/v1beta/{file}": "files.get"}
    taken: dict[str, list[float]] = {name: [] for name in (*paths.values(), "peer")}
    for arm in alternating("service", "peer", ROUNDS):
        if arm == "peer":
            taken["peer"] += (await poll(peer_port, ["/peer"], seconds=POLL_SECONDS))["/peer"]
        else:
            for path, milliseconds in (await poll(port, list(paths), seconds=POLL_SECONDS)).items():
                taken[paths[path]] += milliseconds
    streams = [await stream_once(port, number) for number in range(STREAMS)]
    connection = await Connection.to(port)
    _, said = await connection.call("GET", f"/v1beta/{batch}")
    still = json.loads(said)["metadata"]
    if still["state"] != "BATCH_STATE_RUNNING":
        raise RuntimeError(f"the batch did not outlast the benchmark: {still['state']}")
    return {
        "clients": CLIENTS,
        "calls_per_second": CLIENTS * PER_SECOND,
        **{name: percentiles(values) for name, values in taken.items()},
        "first_piece": percentiles(streams),
    }


def percentiles(milliseconds: Sequence[float]) -> Latencies:
    """Return the 50th, 95th and 99th percentile, and how many there were."""
    cuts = statistics.quantiles(milliseconds, n=100)
    named = {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98]}
    return {name: round(value, 3) for name, value in named.items()} | {"count": len(milliseconds)}


def free_port() -> int:
    """Return a port nobody listens on now."""
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def main() -> int:
    """Measure, report, and check the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--peer", type=int)
    options = parser.parse_args()
    if options.serve:
        run_server(options.serve)
        return 0
    if options.peer:
        run_peer(options.peer)
        return 0
    peer_port = free_port()
    itself = [sys.executable, "-m", "benchmarks.http"]
    with tempfile.TemporaryDirectory() as folder:
        command = [*itself, "--serve", folder]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peer = subprocess.Popen([*itself, "--peer", str(peer_port)])
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().strip().rpartition(":")[2])
            figures = asyncio.run(measure(port, peer_port))
        finally:
            for process in (server, peer):
                process.terminate()
                process.wait()
    report("http", figures)
    polls = [figures["batches.get"]["p50_ms"], figures["files.get"]["p50_ms"]]
    return 0 if all(claims(polls, figures["first_piece"]["p50_ms"])) else 1


def claims(polls: list[float], first_piece: float) -> list[bool]:
    """Say what held."""
    return [
        check(f"a poll is answered in {POLL_P50_MS_MAX:g} ms at the median", max(polls) < POLL_P50_MS_MAX),
        check(
            f"a stream's first piece leaves {FIRST_PIECE_P50_MS_MAX:g} ms after the Engine's",
            first_piece < FIRST_PIECE_P50_MS_MAX,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
