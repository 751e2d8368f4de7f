"""Gathers what is known of a Job, and has it told: why it waits, when it may end, whether that is in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from halfrate.clock import Clock
from halfrate.domain.job import Job, JobState
from halfrate.domain.outlook import Eta, Outlook, promise_of
from halfrate.domain.shard import Share
from halfrate.domain.waiting import Ahead, Facts, waiting_for_all
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
        engines = await self._at_engines(job)
        why = waiting_for_all([self._facts(job, share.engine, ahead, now) for share, ahead in engines])
        eta = await self._eta(job, engines, now)
        return Outlook(why, eta, promise_of(job, now=now, eta=eta, waiting=why))

    async def _at_engines(self, job: Job) -> list[tuple[Share, Ahead]]:
        """Return what each Engine has left of a Job, and what goes before that there. It is never empty."""
        if job.state not in _AT_THE_ENGINE:
            return [(Share(job.engine, 0, 0), Ahead())]
        shares = await self._store.shares(job)
        left = [share for share in shares if share.pending] or shares[:1]
        return [(share, await self._store.ahead(job, share.engine)) for share in left]

    def _facts(self, job: Job, engine: str, ahead: Ahead, now: float) -> Facts:
        model = self._models.named(engine)
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
            engine=engine,
        )

    async def _eta(self, job: Job, engines: Sequence[tuple[Share, Ahead]], now: float) -> Eta | None:
        """Return when a Job ends: when the last of its Engines is done. None unless all of them can tell."""
        if job.state not in _AT_THE_ENGINE or not job.counts.requests:
            return None
        spans = [await self._span(job, share, ahead, now) for share, ahead in engines]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return None
        return Eta(
            now,
            now + max(span.earliest for span in known),
            now + max(span.likely for span in known),
            now + max(span.latest for span in known),
        )

    async def _span(self, job: Job, share: Share, ahead: Ahead, now: float) -> Span | None:
        """Return how long one Engine takes for what goes before a Job, and for what it has of it."""
        model = self._models.named(share.engine)
        if model is None or model.engine.state is not EngineState.READY:
            return None
        lanes = (await model.engine.ready()).lanes
        meter = self._meters[share.engine]
        before = meter.pace.time_for(ahead.requests, now=now, lanes=lanes)
        own = self._own_time(meter, job, share.pending, now=now, lanes=lanes)
        return None if before is None or own is None else before + own

    @staticmethod
    def _own_time(meter: Meter, job: Job, requests: int, *, now: float, lanes: int) -> Span | None:
        """Return how long the Job's own Requests take: by its own pace, or else by that of the Engine."""
        pace = meter.pace_of(job.id)
        own = pace.time_for(requests, now=now, lanes=lanes) if pace is not None else None
        return own or meter.pace.time_for(requests, now=now, lanes=lanes)
