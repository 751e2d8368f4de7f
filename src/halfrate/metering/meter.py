"""What one Engine's work comes to while this process lives: its pace, and how Results are settled."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

from halfrate.domain.usage import Usage
from halfrate.metering.pace import Pace

JOBS_MAX = 256
"""Paces of single Jobs that are remembered. The one that worked longest ago is forgotten first."""

GROUP_SIZES = (1, 4, 16, 64, 256, 1_024, 4_096)
SETTLE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Counts values up to each bound, and above the last one."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Meter:
    """Takes note of what the Dispatcher of one Engine does. Holds nothing that is not bounded."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.group_sizes = Histogram(GROUP_SIZES)
        self.settle_seconds = Histogram(SETTLE_SECONDS)
        self.usage = Usage()
        self._jobs: OrderedDict[str, Pace] = OrderedDict()

    def remember(self, job_id: str, results: int, *, seconds: float) -> None:
        """Take up a Job that was being run before this process: so many Results in so many seconds."""
        self._jobs[job_id] = Pace.of_past(results, seconds=seconds)
        if results > self.pace.results:
            self.pace = Pace.of_past(results, seconds=seconds)

    def begin(self, job_id: str, now: float) -> None:
        """Note that a Shard of a Job is being run."""
        self.pace.begin(now)
        self._jobs.setdefault(job_id, Pace()).begin(now)
        self._jobs.move_to_end(job_id)
        if len(self._jobs) > JOBS_MAX:
            self._jobs.popitem(last=False)

    def end(self, job_id: str, now: float) -> None:
        """Note that it is over."""
        self.pace.end(now)
        if job_id in self._jobs:
            self._jobs[job_id].end(now)

    def settled(
        self, job_id: str, results: int, *, seconds: float, now: float, usage: Usage = Usage()
    ) -> None:
        """Note that a group of Results was settled, which took this long, and the tokens it came to."""
        self.pace.note(results, now)
        if job_id in self._jobs:
            self._jobs[job_id].note(results, now)
        self.usage += usage
        self.group_sizes.add(results)
        self.settle_seconds.add(seconds)

    def pace_of(self, job_id: str) -> Pace | None:
        """Return the pace of one Job, None if it has not been run lately."""
        return self._jobs.get(job_id)
