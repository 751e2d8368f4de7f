"""A file on its way in: uploaded over HTTP, validated, indexed and planned.

The other arm is what one would write first: the standard library's JSON, and a row for every request in
SQLite with its key unique, then a table of the order by prompt. It reads the beginning of the same file
from the disk, without an upload, in one transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.harness import alternating, check, peak_rss_megabytes, report, spread
from halfrate.config import Config, ModelConfig
from halfrate.engines.scripted import ScriptedEngine
from halfrate.serve import serve

PIECE_BYTES = 8 << 20
PLANNED_SECONDS_MAX = 600

CLAIMS = {2_000: 150.0, 200: 60.0}
"""Megabytes a second that lines of so many bytes come in with, at least."""

TIMES_NAIVE = 10

_AROUND_TEXT_BYTES = 72


def lines(line_bytes: int) -> Iterator[bytes]:
    """Yield lines without end, no two alike. A tenth of the prompts have one beginning in common."""
    chance = random.Random(line_bytes)
    words = [f"{chance.getrandbits(chance.choice([8, 16, 24, 32])):x}" for _ in range(5_000)]
    number = 0
    while True:
        beginning = "Is the review positive or negative?" if number % 10 == 0 else chance.choice(words)
        text = f"{beginning} {number} "
        while len(text) < line_bytes - _AROUND_TEXT_BYTES:
            text += chance.choice(words) + " "
        request = {"contents": [{"parts": [{"text": text}]}]}
        yield msgspec.json.encode({"key": f"review-{number}", "request": request}) + b"\n"
        number += 1


def write_input(path: Path, *, line_bytes: int, size_bytes: int) -> int:
    """Write a file of whole lines and return how many."""
    written = count = 0
    with path.open("wb", buffering=1 << 20) as file:
        for line in lines(line_bytes):
            if written + len(line) > size_bytes:
                return count
            written += file.write(line)
            count += 1
    return count


# The service ------------------------------------------------------------------------------------------


def run_server(folder: Path) -> None:
    """Serve until told to stop. Its engine is never ready, so nothing is done beyond the plan."""
    config = Config(data_dir=str(folder), models={"m": ModelConfig(path="m.gguf")})
    asyncio.run(
        serve(
            config,
            host="127.0.0.1",
            port=0,
            on_started=lambda url: print(url, flush=True),
            make_engine=lambda entry: ScriptedEngine(broken="This benchmark runs nothing."),
        )
    )


def service(path: Path, folder: Path) -> dict[str, float]:
    """Upload a file to a server of its own, make a batch of it, and wait for its plan."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip().removeprefix("http://")
            client = http.client.HTTPConnection(address)
            began = time.perf_counter()
            file = _upload(client, path)
            uploaded = time.perf_counter()
            _create(client, file)
            _wait_for_the_plan(folder)
            planned = time.perf_counter()
            return {
                "seconds": planned - began,
                "upload_seconds": uploaded - began,
                "peak_rss_mb": sum(map(peak_rss_megabytes, [server.pid, *_children(server.pid)])),
            }
        finally:
            server.terminate()


def _upload(client: http.client.HTTPConnection, path: Path) -> str:
    size = path.stat().st_size
    start = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": str(size),
        "X-Goog-Upload-Header-Content-Type": "jsonl",
    }
    client.request("POST", "/upload/v1beta/files", b"{}", start)
    answer = client.getresponse()
    answer.read()
    url = answer.headers["X-Goog-Upload-URL"].split("/", 3)[3]
    with path.open("rb") as file:
        offset = 0
        while offset < size:
            piece = file.read(PIECE_BYTES)
            last = offset + len(piece) == size
            headers = {
                "X-Goog-Upload-Command": "upload, finalize" if last else "upload",
                "X-Goog-Upload-Offset": str(offset),
            }
            client.request("POST", f"/{url}", piece, headers)
            body = client.getresponse().read()
            offset += len(piece)
    return str(json.loads(body)["file"]["name"])


def _create(client: http.client.HTTPConnection, file: str) -> None:
    body = json.dumps({"batch": {"displayName": "ingest", "inputConfig": {"fileName": file}}})
    client.request("POST", "/v1beta/models/m:batchGenerateContent", body)
    answer = client.getresponse()
    text = answer.read()
    assert answer.status == 200, text


def _wait_for_the_plan(folder: Path) -> None:
    database = sqlite3.connect(f"file:{folder / 'halfrate.db'}?mode=ro", uri=True)
    for _ in range(PLANNED_SECONDS_MAX * 100):
        planned, error = database.execute("SELECT planned, error FROM job").fetchone()
        if error:
            raise RuntimeError(error)
        if planned:
            database.close()
            return
        time.sleep(0.01)
    raise RuntimeError("the Job was not planned in time")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# The naive arm ----------------------------------------------------------------------------------------


def naive(path: Path, folder: Path, size_bytes: int) -> dict[str, float]:
    """Take in the beginning of the file with what Python brings."""
    began = time.perf_counter()
    database = sqlite3.connect(folder / "naive.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE request (id INTEGER PRIMARY KEY, key TEXT UNIQUE, prompt TEXT, body TEXT)")
    taken = 0
    with path.open() as file:
        for number, line in enumerate(file):
            document = json.loads(line)
            prompt = document["request"]["contents"][0]["parts"][0]["text"]
            row = (number, document["key"], prompt, line)
            database.execute("INSERT INTO request VALUES (?, ?, ?, ?)", row)
            taken += len(line)
            if taken >= size_bytes:
                break
    database.commit()
    database.execute(
        "CREATE TABLE plan AS SELECT row_number() OVER (ORDER BY prompt) AS position, id FROM request"
    )
    database.commit()
    database.close()
    return {"seconds": time.perf_counter() - began, "bytes": float(taken)}


def measure(line_bytes: int, options: argparse.Namespace, folder: Path) -> bool:
    """Measure one length of line, report it, and say whether the claims hold."""
    path = folder / "input.jsonl"
    count = write_input(path, line_bytes=line_bytes, size_bytes=options.megabytes * 1_000_000)
    megabytes = path.stat().st_size / 1e6
    rates: dict[str, list[float]] = {"service": [], "naive": []}
    peaks, uploads = [], []
    for number, arm in enumerate(alternating("service", "naive", options.rounds)):
        work = folder / str(number)
        work.mkdir()
        if arm == "service":
            figures = service(path, work)
            rates[arm].append(megabytes / figures["seconds"])
            uploads.append(megabytes / figures["upload_seconds"])
            peaks.append(figures["peak_rss_mb"])
        else:
            figures = naive(path, work, options.naive_megabytes * 1_000_000)
            rates[arm].append(figures["bytes"] / 1e6 / figures["seconds"])
        shutil.rmtree(work)
    path.unlink()
    ours, theirs = spread(rates["service"]), spread(rates["naive"])
    times = round(ours["median"] / theirs["median"], 2)
    report(
        "ingest",
        {
            "line_bytes": line_bytes,
            "lines": count,
            "megabytes": round(megabytes),
            "planned_megabytes_per_second": ours,
            "planned_lines_per_second": round(ours["median"] * count / megabytes),
            "uploaded_megabytes_per_second": spread(uploads),
            "naive_megabytes_per_second": theirs,
            "times_naive": times,
            "peak_rss_mb": spread(peaks),
        },
    )
    least = CLAIMS[line_bytes]
    fast = check(f"lines of {line_bytes} bytes: at least {least} MB/s", ours["median"] >= least)
    faster = check(f"lines of {line_bytes} bytes: {TIMES_NAIVE} times the naive arm", times >= TIMES_NAIVE)
    return fast and faster


def main() -> int:
    """Measure both lengths of line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--naive-megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--line-bytes", type=int, choices=CLAIMS)
    parser.add_argument("--serve", type=Path)
    options = parser.parse_args()
    if options.serve:
        run_server(options.serve)
        return 0
    chosen = [options.line_bytes] if options.line_bytes else list(CLAIMS)
    with tempfile.TemporaryDirectory() as name:
        held = [measure(line_bytes, options, Path(name)) for line_bytes in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
