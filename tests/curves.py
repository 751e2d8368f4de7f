"""Servers of known capacity on a simulated clock: nothing of them is real but their arithmetic."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

Seconds = float
LatencyOf = Callable[[int, float], Seconds]
"""How long a call takes that is begun as one of so many, at a time."""


@dataclass(frozen=True)
class Curve:
    """A server that works on ``slots`` calls at a time, first come, first served; each takes ``seconds``.

    Where there is a ``slowing``, a call takes that much times longer, for how many there are; and after
    ``changes_at`` the server is ``then``.
    """

    slots: int
    seconds: float
    slowing: Callable[[int], float] = lambda calls: 1.0
    then: Curve | None = None
    changes_at: float = float("inf")

    def at(self, now: float) -> Curve:
        return self.then if self.then is not None and now >= self.changes_at else self


PLATEAU_8 = Curve(8, 0.05)
PLATEAU_64 = Curve(64, 0.2)
THRASHING = Curve(256, 0.1, slowing=lambda calls: 1 + (calls / 24) ** 2)
LINEAR = Curve(256, 0.01, slowing=lambda calls: 5 + 1.0 * calls)
GROWING = Curve(8, 0.1, then=Curve(64, 0.1), changes_at=120.0)
SHRINKING = Curve(
    64, 0.1, then=Curve(256, 0.05, slowing=lambda calls: 1 + (calls / 10) ** 2), changes_at=120.0
)

CURVES = {
    "plateau at 8": PLATEAU_8,
    "plateau at 64": PLATEAU_64,
    "peak, then decline": THRASHING,
    "latency grows linearly": LINEAR,
    "more capacity midway": GROWING,
    "less capacity midway": SHRINKING,
}


class SimulatedServer:
    """Plays a Curve. ``spread`` is the relative standard deviation of how long calls take."""

    def __init__(self, curve: Curve, *, seed: int = 0, spread: float = 0.0) -> None:
        self._curve = curve
        self._chance = random.Random(seed)
        self._spread = spread
        self._queue: deque[int] = deque()
        self._working: list[tuple[float, int]] = []
        self.now = 0.0
        self.calls = 0

    def begin(self, call: int) -> None:
        self.calls += 1
        self._queue.append(call)
        self._start()

    def next(self) -> int:
        """Let time pass until a call is answered, and return it."""
        self.now, call = heapq.heappop(self._working)
        self.calls -= 1
        self._start()
        return call

    def _start(self) -> None:
        curve = self._curve.at(self.now)
        while self._queue and len(self._working) < curve.slots:
            shape = 1 / self._spread**2 if self._spread else 0
            noise = self._chance.gammavariate(shape, 1 / shape) if shape else 1.0
            seconds = curve.seconds * curve.slowing(self.calls) * noise
            heapq.heappush(self._working, (self.now + seconds, self._queue.popleft()))


def answers_in(curve: Curve, seconds: float, *, in_flight: int, spread: float = 0.0, seed: int = 0) -> int:
    """How many answers a client gets that always has so many calls in flight."""
    server = SimulatedServer(curve, seed=seed, spread=spread)
    for call in range(in_flight):
        server.begin(call)
    answers = 0
    while True:
        call = server.next()
        if server.now >= seconds:
            return answers
        answers += 1
        server.begin(call)


@cache
def best_in(curve: Curve, seconds: float, *, spread: float = 0.0) -> int:
    """The answers that the best fixed number of calls in flight gets: of those that may be the best."""
    return max(answers_in(curve, seconds, in_flight=n, spread=spread) for n in (8, 10, 24, 64, 256))
