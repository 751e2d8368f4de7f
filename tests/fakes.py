"""Stand-ins that tests steer."""

import asyncio
import heapq
from itertools import count

from halfrate.domain.job import Counts, Job, JobState

EPOCH = 1_800_000_000.0


class FakeClock:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self._now = EPOCH
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return await asyncio.sleep(0)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        return await woken

    def advance(self, *, seconds: float) -> None:
        """Move time on and wake who waited for it."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


def make_job(job_id: str = "job-1", **changes: object) -> Job:
    """A PENDING Job with three Requests, changed as asked."""
    values = {
        "id": job_id,
        "model": "models/pocket-1",
        "engine": "pocket-1",
        "display_name": "nightly",
        "priority": 0,
        "state": JobState.PENDING,
        "input_file": "abc",
        "input_blob": "uploads/abc",
        "keep_going": False,
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "deadline": EPOCH + 86_400,
        "counts": Counts(requests=3),
    }
    return Job(**(values | changes))  # type: ignore[arg-type]
