"""How fast a Job reads thousands of pages, against what the rules of politeness allow, in flat memory.

Every host is an address of the loopback interface, served by another process that takes its time over each
page. What a host allows is the smaller of its calls at a time over the time a page takes, and one call each
delay; that is the limit, over all hosts, unless the connections at a time are fewer. The model is scripted,
and answers at once. A Job of a quarter of the pages runs first, for its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.harness import MemoryWatch, answer_as_job, check, report
from halfrate.app import App, open_app
from halfrate.config import Config, ModelConfig, UrlsConfig
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.net.fetch import CONNECTIONS_MAX

FRACTION_MIN = 0.7
GROWTH_MAX = 1.15
MODEL = "pocket-1"
WORDS = "The otter sleeps on its back in the kelp and holds the hand of its neighbour while the tide turns. "


def page(path: str) -> bytes:
    """Return a page of about 8 kB as a host answers with it."""
    body = "".join(f"<p>{WORDS * 6}</p>" for _ in range(12))
    article = f"<article><h1>{path}</h1>{body}</article>"
    data = f"<html><head><title>{path}</title></head><body><nav>Home</nav>{article}</body></html>".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def serve_hosts(latency_seconds: float) -> None:
    """Serve every address of the loopback interface until standard input ends. Say the port first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if path == "/robots.txt":
                    writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
                    continue
                await asyncio.sleep(latency_seconds)
                writer.write(page(path))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 0)  # that is, at all of 127.0.0.0/8
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def hosts(latency_seconds: float) -> AsyncIterator[int]:
    """Run `serve_hosts` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.urls",
        "--serve",
        str(latency_seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def run_job(app: App, port: int, *, pages: int, hosts_count: int, name: str) -> float:
    """Have every page read once by a Job, check what came of it, and return the seconds it took."""
    lines = [
        json.dumps(
            {
                "key": str(number),
                "request": {
                    "contents": [{"parts": [{"text": f"Sum up {url_of(port, number, hosts_count, name)}"}]}],
                    "tools": [{"urlContext": {}}],
                },
            }
        )
        for number in range(pages)
    ]
    seconds, output = await answer_as_job(app, model=MODEL, data="\n".join(lines).encode())
    statuses: Counter[str] = Counter()
    for line in output:
        candidate = json.loads(line)["response"]["candidates"][0]
        assert WORDS.strip() in candidate["content"]["parts"][0]["text"]
        statuses[candidate["urlContextMetadata"]["urlMetadata"][0]["urlRetrievalStatus"]] += 1
    assert statuses == {"URL_RETRIEVAL_STATUS_SUCCESS": pages}, statuses
    return seconds


def url_of(port: int, number: int, hosts_count: int, name: str) -> str:
    """Return the URL of a page: hosts take turns."""
    return f"http://127.0.1.{number % hosts_count + 1}:{port}/{name}/{number}"


async def measure(pages: int, hosts_count: int, latency_seconds: float) -> int:
    """Run a small Job and the large one, report, and say whether the claims hold."""
    rules = UrlsConfig(allow=("127.0.0.0/8",))
    allowed = hosts_count * min(rules.host_calls / latency_seconds, 1 / rules.host_delay_seconds)
    limit = min(allowed, CONNECTIONS_MAX / latency_seconds)
    seconds, peaks = {}, {}
    async with hosts(latency_seconds) as port:
        for name, count in (("small", pages // 4), ("large", pages)):
            with tempfile.TemporaryDirectory() as folder:
                config = Config(data_dir=folder, models={MODEL: ModelConfig(path="x.gguf")}, urls=rules)
                async with open_app(
                    config, make_engine=lambda _: ScriptedEngine(echo, remember=False)
                ) as app:
                    with MemoryWatch(os.getpid()) as watch:
                        seconds[name] = await run_job(
                            app, port, pages=count, hosts_count=hosts_count, name=name
                        )
                    peaks[name] = watch.peak_megabytes
    fraction = pages / seconds["large"] / limit
    growth = peaks["large"] / peaks["small"]
    report(
        "urls",
        {
            "pages": pages,
            "hosts": hosts_count,
            "latency_seconds": latency_seconds,
            "pages_per_second": round(pages / seconds["large"], 1),
            "allowed_pages_per_second": round(limit, 1),
            "fraction_of_allowed": round(fraction, 3),
            "peak_rss_megabytes": {name: int(peak) for name, peak in peaks.items()},
        },
    )
    fast = check(
        f"a Job reads at least {FRACTION_MIN} of the pages that hosts allow", fraction >= FRACTION_MIN
    )
    flat = check(f"four times the pages take at most {GROWTH_MAX} times the memory", growth <= GROWTH_MAX)
    return 0 if fast and flat else 1


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=2_000)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.5)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve_hosts(options.serve))
        return 0
    return asyncio.run(measure(options.pages, options.hosts, options.latency))


if __name__ == "__main__":
    sys.exit(main())
