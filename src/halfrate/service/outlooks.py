"""Gathers what is known of a Job, and has it told: why it waits, when it may end, whether that is in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from halfrate.clock import Clock
from halfrate.domain.job import Job, JobState
from halfrate.domain.outlook import Eta, Outlook, promise_of
from halfrate.domain.waiting import Ahead, Facts, waiting
from halfrate.engines.api import EngineState
from halfrate.metering.meter import Meter
from halfrate.metering.pace import Span
from halfrate.service.models import Models
from halfrate.store.meta.api import MetaStore

_AT_THE_ENGINE = (JobState.PENDING, JobState.RUNNING)


class Outlooks:
    """Tells the outlook of Jobs.

    ``troubles`` says what holds one Job up, such as a full disk. ``indexed`` says how much of an input (by
    blob) is checked, ``assembled`` how much of an output is written, in percent. Each says None where it has
    nothing to say.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        models: Models,
        meters: Mapping[str, Meter],
        clock: Clock,
        troubles: Callable[[str], str | None] = lambda job_id: None,
        indexed: Callable[[str], float | None] = lambda blob: None,
        assembled: Callable[[Job], float | None] = lambda job: None,
    ) -> None:
        self._store = store
        self._models = models
        self._meters = meters
        self._clock = clock
        self._troubles = troubles
        self._indexed = indexed
        self._assembled = assembled

    async def of(self, job: Job) -> Outlook:
        """Say how a Job stands now."""
        now = self._clock.now()
        if job.state.final:
            return Outlook(promise=promise_of(job, now=now, eta=None, waiting=None))
        ahead = await self._store.ahead(job) if job.state in _AT_THE_ENGINE else Ahead()
        why = waiting(self._facts(job, ahead, now))
        eta = await self._eta(job, ahead, now)
        return Outlook(why, eta, promise_of(job, now=now, eta=eta, waiting=why))

    def _facts(self, job: Job, ahead: Ahead, now: float) -> Facts:
        model = self._models.named(job.engine)
        return Facts(
            job,
            now,
            served=model is not None,
            ready=model is not None and model.engine.state is EngineState.READY,
            trouble=None if model is None else model.engine.trouble,
            held_up=self._troubles(job.id),
            indexed_percent=self._indexed(job.input_blob),
            assembled_percent=self._assembled(job),
            ahead=ahead,
        )

    async def _eta(self, job: Job, ahead: Ahead, now: float) -> Eta | None:
        model = self._models.named(job.engine)
        if model is None or model.engine.state is not EngineState.READY:
            return None
        if job.state not in _AT_THE_ENGINE or not job.counts.requests:
            return None
        lanes = (await model.engine.ready()).lanes
        meter = self._meters[job.engine]
        before = meter.pace.time_for(ahead.requests, now=now, lanes=lanes)
        own = self._own_time(meter, job, now=now, lanes=lanes)
        if before is None or own is None:
            return None
        span = before + own
        return Eta(now, now + span.earliest, now + span.likely, now + span.latest)

    @staticmethod
    def _own_time(meter: Meter, job: Job, *, now: float, lanes: int) -> Span | None:
        """Return how long the Job's own Requests take: by its own pace, or else by that of the Engine."""
        pace = meter.pace_of(job.id)
        own = pace.time_for(job.counts.pending, now=now, lanes=lanes) if pace is not None else None
        return own or meter.pace.time_for(job.counts.pending, now=now, lanes=lanes)
