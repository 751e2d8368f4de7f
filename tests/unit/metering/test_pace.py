"""How long Jobs take, told from the pace so far: what is said holds, and little is said too early."""

import heapq
import math
import random
import statistics
from dataclasses import dataclass

import pytest

from halfrate.metering.pace import WINDOW_SECONDS_MAX, WINDOWS_MAX, Pace, Span

SEEDS = 120


def working(*, per_second: int, seconds: int, pace: Pace | None = None, start: float = 0.0) -> Pace:
    """A Pace that saw this many Results every second."""
    if pace is None:
        pace = Pace()
        pace.begin(start)
    for second in range(seconds):
        for part in range(per_second):
            pace.note(1, start + second + (part + 0.5) / per_second)
    return pace


def test_it_counts_results_a_second():
    pace = working(per_second=10, seconds=60)
    assert pace.per_second(60.0) == pytest.approx(10, rel=0.05)
    span = pace.time_for(1_000, now=60.0, lanes=1)
    assert span is not None
    assert span.likely == pytest.approx(100, rel=0.05)
    assert span.earliest < span.likely < span.latest


def test_nothing_to_do_takes_no_time():
    assert Pace().time_for(0, now=0.0, lanes=1) == Span()


@pytest.mark.parametrize(
    ("per_second", "seconds", "requests"),
    [(0, 60, 10), (10, 4, 10), (1, 60, 6_100)],
    ids=["no Results", "a few seconds", "less than a hundredth"],
)
def test_with_little_evidence_it_says_nothing(per_second, seconds, requests):
    pace = working(per_second=per_second, seconds=seconds)
    assert pace.time_for(requests, now=float(seconds), lanes=1) is None


def test_time_without_work_does_not_count():
    pace = working(per_second=10, seconds=60)
    pace.end(60.0)
    assert pace.per_second(100_000.0) == pytest.approx(10, rel=0.05)
    pace.begin(100_000.0)
    working(per_second=10, seconds=60, pace=pace, start=100_000.0)
    assert pace.per_second(100_060.0) == pytest.approx(10, rel=0.05)


def test_it_follows_a_change():
    pace = working(per_second=20, seconds=100)
    working(per_second=2, seconds=100, pace=pace, start=100.0)
    assert pace.per_second(200.0) < 9, "the mean of both would be 11"


def test_while_nothing_comes_the_time_left_grows():
    pace = working(per_second=10, seconds=60)
    spans = [pace.time_for(100, now=now, lanes=1) for now in (60.0, 70.0, 120.0)]
    likely = [span.likely for span in spans if span is not None]
    assert likely == sorted(likely)
    assert likely[-1] > 1.5 * likely[0]


def test_a_pace_that_varies_makes_the_range_wider():
    steady = working(per_second=10, seconds=64)
    changing = Pace()
    changing.begin(0.0)
    for second in range(64):
        working(per_second=19 if second // 8 % 2 else 1, seconds=1, pace=changing, start=float(second))
    narrow, wide = (pace.time_for(1_000, now=64.0, lanes=1) for pace in (steady, changing))
    assert narrow is not None
    assert wide is not None
    assert wide.latest / wide.earliest > 1.5 * narrow.latest / narrow.earliest


def test_what_it_remembers_is_bounded_and_the_oldest_is_forgotten():
    pace = Pace()
    pace.begin(0.0)
    pace.note(1_000_000, 1.0)
    for hour in range(1, 50):
        pace.note(3_600, hour * 3_600.0)
    assert len(pace._counts) <= WINDOWS_MAX
    assert pace.per_second(49 * 3_600.0) < 2
    assert pace._width < 2 * WINDOW_SECONDS_MAX


def test_a_past_known_by_its_sum_gives_a_wide_range():
    past = Pace.of_past(600, seconds=60.0)
    known = working(per_second=10, seconds=60)
    told, seen = past.time_for(1_000, now=60.0, lanes=1), known.time_for(1_000, now=60.0, lanes=1)
    assert told is not None
    assert seen is not None
    assert told.likely == pytest.approx(100, rel=0.1)
    assert told.latest - told.earliest > 1.3 * (seen.latest - seen.earliest)


@dataclass
class Look:
    """One forecast, and what came true."""

    progress_percent: int
    span: Span
    true_seconds: float

    @property
    def holds(self) -> bool:
        return self.span.earliest <= self.true_seconds <= self.span.latest

    @property
    def error(self) -> float:
        return abs(self.span.likely - self.true_seconds) / self.true_seconds


def durations(chance: random.Random, requests: int) -> list[float]:
    """How long each Request of a Job takes, in the order they run.

    Heavy-tailed, in groups with a Prefix in common, and some Jobs run their long Requests late, or early.
    """
    mean = 10 ** chance.uniform(-1.5, 1)
    groups = chance.choice([1, 5, 20, requests // 5 + 1])
    correlation = chance.choice([-0.7, -0.3, 0, 0, 0.3, 0.7])
    between, within, pareto = chance.uniform(0, 0.8), chance.uniform(0.3, 1), chance.random() < 0.3
    sizes = []
    for group in range(groups):
        place = 1.7 * ((group + 0.5) / groups * 2 - 1)
        size = correlation * place + math.sqrt(1 - correlation**2) * chance.gauss(0, 1)
        sizes.append(mean * math.exp(between * size))
    tails = (
        chance.paretovariate(2) - 0.5 if pareto else math.exp(within * chance.gauss(0, 1))
        for _ in range(requests)
    )
    return [sizes[number * groups // requests] * tail for number, tail in enumerate(tails)]


def looks(seed: int) -> list[Look]:
    """Run one Job on some lanes, and look at it from 5 % on."""
    chance = random.Random(seed)
    requests, lanes = int(10 ** chance.uniform(2.3, 4.3)), chance.choice([1, 4, 16, 64])
    free = [0.0] * lanes
    ends = []
    for duration in durations(chance, requests):
        end = heapq.heappop(free) + duration
        ends.append(end)
        heapq.heappush(free, end)
    ends.sort()
    look_at = {requests * percent // 100: percent for percent in (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)}
    pace = Pace()
    pace.begin(0.0)
    told = []
    for done, end in enumerate(ends, start=1):
        pace.note(1, end)
        if done in look_at:
            span = pace.time_for(requests - done, now=end, lanes=lanes)
            if span is not None:
                told.append(Look(look_at[done], span, ends[-1] - end))
    return told


def test_the_true_end_lies_within_the_range_in_four_looks_of_five():
    every = [look for seed in range(SEEDS) for look in looks(seed)]
    covered = statistics.mean(look.holds for look in every)
    error = statistics.median(look.error for look in every)
    print(f"{len(every)} looks at {SEEDS} Jobs: {covered:.1%} within the range, median error {error:.1%}")
    for percent in sorted({look.progress_percent for look in every}):
        these = [look for look in every if look.progress_percent == percent]
        held = statistics.mean(look.holds for look in these)
        width = statistics.median(look.span.latest / look.span.earliest for look in these)
        print(f"  at {percent} %: {held:.0%} within, the latest is {width:.1f} times the earliest")
    assert len(every) > 8 * SEEDS
    assert covered >= 0.8
    assert error < 0.25
