"""A server of OpenAI's dialect of known capacity: it says the same to all, after as long as its curve says.

    python -m benchmarks.capacity CURVE

prints its port. It is written close to the metal, so that it is not what is measured: of HTTP it knows as
much as its clients send. `GET /reset?CALLS` has it begin anew, before a run of so many calls.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE, Popen

import uvloop

TEXT = "yes"
PROMPT_TOKENS, OUTPUT_TOKENS = 12, 1


@dataclass(frozen=True)
class Curve:
    """It works on ``slots`` calls at a time, each for ``seconds`` times ``slowing``, for how many there are.

    ``per_second`` bounds the calls that it takes, of which ``burst`` can be saved up; others are refused for
    a second. After half
    of a run it has ``slots_then``. ``calls`` are a run's.
    """

    calls: int
    slots: int = 1_000_000
    seconds: float = 0.0
    slowing: Callable[[int], float] = lambda calls: 1.0
    per_second: float | None = None
    burst: float = 0.0
    slots_then: int | None = None


CURVES = {
    "plateau_8": Curve(calls=4_000, slots=8, seconds=0.010),
    "plateau_64": Curve(calls=16_000, slots=64, seconds=0.060),
    "thrash": Curve(calls=8_000, seconds=0.020, slowing=lambda calls: 1 + (calls / 24) ** 2),
    "linear": Curve(calls=6_000, seconds=0.001, slowing=lambda calls: 5 + calls),
    "rate_limited": Curve(calls=5_000, seconds=0.010, per_second=500.0, burst=500.0),
    "changing": Curve(calls=12_000, slots=12, seconds=0.030, slots_then=36),
    "instant": Curve(calls=0),
}


class Server:
    """Answers calls as its curve has it."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()
        self._working = 0
        self.calls = 0
        self.reset(0)

    def reset(self, calls: int) -> None:
        """Begin anew."""
        self._slots = self._curve.slots
        self._changes_after = calls // 2
        self._served = 0
        self._level, self._level_at = 0.0, self._loop.time()

    def takes(self) -> bool:
        """Take a call, unless too many came."""
        if self._curve.per_second is None:
            return True
        now = self._loop.time()
        flown = (now - self._level_at) * self._curve.per_second
        self._level, self._level_at = min(self._level + flown, self._curve.burst), now
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def work(self, answer: Callable[[], None]) -> None:
        """Have the answer sent when it is its time."""
        self.calls += 1
        if self._working < self._slots:
            self._start(answer)
        else:
            self._waiting.append(answer)

    def _start(self, answer: Callable[[], None]) -> None:
        self._working += 1
        seconds = self._curve.seconds * self._curve.slowing(self.calls)
        if seconds:
            self._loop.call_later(seconds, self._end, answer)
        else:
            self._end(answer)

    def _end(self, answer: Callable[[], None]) -> None:
        answer()
        self._working -= 1
        self.calls -= 1
        self._served += 1
        if self._curve.slots_then is not None and self._served == self._changes_after:
            self._slots = self._curve.slots_then
        while self._waiting and self._working < self._slots:
            self._start(self._waiting.popleft())


def _http(status: str, body: bytes, headers: str = "", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": PROMPT_TOKENS + OUTPUT_TOKENS,
}
_NAMES = {"id": "1", "created": 1, "model": "curve"}
_WHOLE = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
_PIECE = {"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"}
_STREAM = [
    _NAMES | {"object": "chat.completion.chunk", "choices": [_PIECE]},
    _NAMES | {"object": "chat.completion.chunk", "choices": [], "usage": _USAGE},
]

ANSWER = _http(
    "200 OK",
    json.dumps(_NAMES | {"object": "chat.completion", "choices": [_WHOLE], "usage": _USAGE}).encode(),
)
STREAM = _http(
    "200 OK",
    "".join(f"data: {json.dumps(event)}\n\n" for event in _STREAM).encode() + b"data: [DONE]\n\n",
    kind="text/event-stream",
)
MODELS = _http(
    "200 OK", json.dumps({"object": "list", "data": [{"id": "curve", "max_model_len": 4096}]}).encode()
)
REFUSAL = _http(
    "429 Too Many Requests", b'{"error": {"message": "Too many requests."}}', "Retry-After: 1\r\n"
)
NOTHING = _http("404 Not Found", b'{"error": {"message": "There is nothing here."}}')


class Connection(asyncio.Protocol):
    """Reads calls from one client."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._arrived = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a client."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer each call that is whole."""
        self._arrived += data
        while (end := self._arrived.find(b"\r\n\r\n")) >= 0:
            head = self._arrived[:end]
            at = head.lower().find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._arrived) < end + 4 + length:
                return
            body = self._arrived[end + 4 : end + 4 + length]
            self._arrived = self._arrived[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            if self._server.takes():
                is_streamed = b'"stream": true' in body or b'"stream":true' in body
                answer = STREAM if is_streamed else ANSWER
                self._server.work(lambda: self._transport.write(answer))
            else:
                self._transport.write(REFUSAL)
            return
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/reset?"):
            self._server.reset(int(path[7:]))
        self._transport.write(MODELS if path.endswith(b"/models") or path.startswith(b"/reset") else NOTHING)


@contextmanager
def serving(curve: str) -> Iterator[str]:
    """Have a server of this curve in a process of its own until left; yield its base URL."""
    with Popen([sys.executable, "-m", "benchmarks.capacity", curve], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def _serve(curve: str) -> None:
    loop = asyncio.get_running_loop()
    server = Server(CURVES[curve])
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=1_000)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
