"""Processor time of a Request to an upstream over HTTP, beside the same calls made by the HTTP client alone.

The server is in another process and answers at once with a short completion. Both arms have as many calls on
the wire, send bodies of one size, and read every answer: ours also makes the body of each Request and turns
each answer into an Outcome, whose text is checked.

    python -m benchmarks.upstream_cpu
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import uvloop
from yarl import URL

from benchmarks.harness import alternating, check, report, spread
from halfrate.domain.outcome import Answered, Outcome
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.engines.upstream.engine import UpstreamEngine
from halfrate.engines.upstream.openai import OpenAIDialect
from halfrate.engines.upstream.settings import UpstreamSettings

CPU_MS_MAX = 0.35
MODEL = "instant-1"
ANSWER = "A short answer, as of a classification."
PROMPT = "Classify the sentiment of this review as positive, negative or neutral.\nReview: " + "words " * 60


class Instant(asyncio.Protocol):
    """Answers every POST with one completion, and every GET with the list of one model."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none, and does the same
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer each call that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            size = end + 4 + (int(rest.partition(b"\r\n")[0]) if found else 0)
            if len(self._received) < size:
                return
            self._received = self._received[size:]
            self._transport.write(_MODELS if head.startswith(b"get") else _COMPLETION)


def _response(document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_MODELS = _response({"object": "list", "data": [{"id": MODEL, "owned_by": "vllm", "max_model_len": 8_192}]})
_COMPLETION = _response(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": ANSWER, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 90, "completion_tokens": 9, "total_tokens": 99},
    }
)


async def serve_instant() -> None:
    """Serve on a free port, which is printed, until killed."""
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def instant_server() -> AsyncIterator[str]:
    """Have one in another process; yield the base URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.upstream_cpu", "--serve", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        await process.wait()


async def ours(engine: UpstreamEngine, requests: int) -> None:
    """Ask by the chunk, as a Job does."""
    told = Sampling(temperature=0.0, max_output_tokens=16)
    asked = [Request((Message(Role.USER, f"{PROMPT} {n}"),), told) for n in range(requests)]
    outcomes: list[Outcome] = []
    await engine.answer_many(asked, lambda _, outcome: outcomes.append(outcome))
    assert [type(one) for one in outcomes] == [Answered] * requests
    assert {one.text for one in outcomes if isinstance(one, Answered)} == {ANSWER}


async def bare(session: aiohttp.ClientSession, url: str, requests: int, lanes: int) -> None:
    """Make as many calls with the client alone: a body that was made before, an answer that is only read."""
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}).encode()
    target = URL(f"{url}/chat/completions")
    pending = iter(range(requests))

    async def lane() -> None:
        for _ in pending:
            async with session.post(target, data=body) as response:
                assert await response.read()

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def measured(work: Coroutine[None, None, None], requests: int) -> float:
    """Return the milliseconds of processor time that each Request takes."""
    began = time.process_time()
    await work
    return (time.process_time() - began) / requests * 1_000


async def main(requests: int, rounds: int, lanes: int) -> bool:
    """Measure, and say whether it is as it should be."""
    took: dict[str, list[float]] = {"ours": [], "bare": []}
    async with instant_server() as url:
        settings = UpstreamSettings(urls=(url,), concurrency_max=lanes)
        connector = aiohttp.TCPConnector(limit=lanes)
        async with (
            UpstreamEngine(settings, OpenAIDialect) as engine,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            await ours(engine, lanes)
            await bare(session, url, lanes, lanes)
            for arm in alternating("ours", "bare", rounds):
                work = ours(engine, requests) if arm == "ours" else bare(session, url, requests, lanes)
                took[arm].append(await measured(work, requests))
    median = statistics.median(took["ours"])
    report(
        "upstream_cpu",
        {
            "requests": requests,
            "lanes": lanes,
            "cpu_ms_per_request": spread(took["ours"]),
            "cpu_ms_per_call_of_the_client_alone": spread(took["bare"]),
            "aiohttp": aiohttp.__version__,
        },
    )
    return check(f"a Request over HTTP takes at most {CPU_MS_MAX} ms of processor time", median <= CPU_MS_MAX)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        uvloop.run(serve_instant())
    else:
        sys.exit(0 if uvloop.run(main(given.requests, given.rounds, given.lanes)) else 1)
