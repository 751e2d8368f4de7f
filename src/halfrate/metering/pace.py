"""How fast Requests are answered, from those that were: no clock of its own, no chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import pstdev

WINDOWS_MAX = 24
WINDOW_SECONDS = 1.0
WINDOW_SECONDS_MAX = 600.0
DECAY = 0.9
"""What a window counts for, beside the one after it."""

EVIDENCE_SECONDS_MIN = 5.0
EVIDENCE_MIN = 5
EVIDENCE_SHARE_MIN = 0.01
"""With fewer Results than this part of what is to come, nothing is said of that."""

# How far the range reaches, in units of how much windows differ. Set by simulation: see its test.
DRIFT = 1.25
CHANCE = 3.0
SLACK = 0.1
SPREAD_MAX = 2.0
LAST_ONES = 4.0
PAST_VARIES = 0.25
"""How much windows are taken to differ when only their sum is known."""


@dataclass(frozen=True, slots=True)
class Span:
    """How long something takes, in seconds: likely, and within what range."""

    earliest: float = 0.0
    likely: float = 0.0
    latest: float = 0.0

    def __add__(self, other: Span) -> Span:
        return Span(self.earliest + other.earliest, self.likely + other.likely, self.latest + other.latest)


class Pace:
    """Counts Results in windows of equal length, over the time in which there was work.

    It remembers a bounded number of windows: when they are used up their length doubles, and from
    `WINDOW_SECONDS_MAX` on the oldest are forgotten.
    """

    def __init__(self) -> None:
        self._width = WINDOW_SECONDS
        self._counts: list[int] = []
        self._forgotten_seconds = 0.0
        self._worked_seconds = 0.0
        self._at_work = 0
        self._since = 0.0
        self._varies_min = 0.0

    @classmethod
    def of_past(cls, results: int, *, seconds: float) -> Pace:
        """Return the pace of work of which only the sum is known, as after a restart."""
        pace = cls()
        pace._varies_min = PAST_VARIES
        pace.begin(0.0)
        if results > 0 and seconds > 0:
            for number in range(WINDOWS_MAX):
                share = results * (number + 1) // WINDOWS_MAX - results * number // WINDOWS_MAX
                pace.note(share, seconds * (number + 0.5) / WINDOWS_MAX)
        pace.end(seconds)
        return pace

    def begin(self, now: float) -> None:
        """Note that work began. Several may be at work at once."""
        if self._at_work == 0:
            self._since = now
        self._at_work += 1

    def end(self, now: float) -> None:
        """Note that what began has ended."""
        self._worked_seconds = self._worked(now)
        self._since = now
        self._at_work -= 1

    def note(self, results: int, now: float) -> None:
        """Count Results."""
        window = int((self._worked(now) - self._forgotten_seconds) / self._width)
        while window >= WINDOWS_MAX:
            self._make_room()
            window = int((self._worked(now) - self._forgotten_seconds) / self._width)
        self._counts += [0] * (window + 1 - len(self._counts))
        self._counts[window] += results

    @property
    def results(self) -> int:
        """How many Results it remembers."""
        return sum(self._counts)

    def per_second(self, now: float) -> float:
        """Return how many Results come in a second of work; 0 as long as there are none."""
        self.note(0, now)
        weights = [DECAY**age for age in reversed(range(len(self._counts)))]
        seconds = [self._width] * len(self._counts)
        seconds[-1] = self._worked(now) - self._forgotten_seconds - self._width * (len(self._counts) - 1)
        worked = sum(weight * length for weight, length in zip(weights, seconds, strict=True))
        results = sum(weight * count for weight, count in zip(weights, self._counts, strict=True))
        return results / worked if worked > 0 else 0.0

    def time_for(self, requests: int, *, now: float, lanes: int) -> Span | None:
        """Return how long this many Requests take, None with too little evidence.

        ``lanes`` are under way at once: the last of them take a while, however many went before.
        """
        if requests <= 0:
            return Span()
        per_second, results = self.per_second(now), self.results
        seconds = self._worked(now) - self._forgotten_seconds
        evidence_min = max(EVIDENCE_MIN, EVIDENCE_SHARE_MIN * requests)
        if seconds < EVIDENCE_SECONDS_MIN or results < evidence_min or per_second <= 0:
            return None
        spread = self._spread(requests)
        likely = requests / per_second
        at_the_end = min(lanes, requests) / per_second
        return Span(
            earliest=likely * math.exp(-spread),
            likely=likely + at_the_end,
            latest=likely * math.exp(spread) + LAST_ONES * at_the_end,
        )

    def _spread(self, requests: int) -> float:
        """Return by which factor (its logarithm) the time for so many may be wrong.

        Two things make it wrong: Requests to come may be of another kind (the more of them, beside those
        seen, the more so), and few Requests differ by chance more than many do.
        """
        whole = self._counts[:-1] or self._counts
        mean = sum(whole) / len(whole)
        # Half a Result more in each: the logarithm of an empty window would be without bound.
        differences = [math.log((count + 0.5) / (mean + 0.5)) for count in whole]
        varies = max(pstdev(differences), 1 / math.sqrt(mean + 0.5), self._varies_min)
        unseen = min(requests / max(sum(whole), 1), 8.0)
        return min(
            varies * math.sqrt(DRIFT**2 * unseen**0.5 + CHANCE**2 * mean / requests) + SLACK, SPREAD_MAX
        )

    def _make_room(self) -> None:
        if self._width < WINDOW_SECONDS_MAX:
            counts = self._counts + [0] * (len(self._counts) % 2)
            self._counts = [first + second for first, second in zip(counts[::2], counts[1::2], strict=True)]
            self._width *= 2
        else:
            self._counts = self._counts[1:]
            self._forgotten_seconds += self._width

    def _worked(self, now: float) -> float:
        return self._worked_seconds + (max(0.0, now - self._since) if self._at_work else 0.0)
