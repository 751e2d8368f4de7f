"""How everything stands at one moment, for whoever looks after the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from halfrate.clock import Clock
from halfrate.domain.job import Job, JobState
from halfrate.domain.outlook import Outlook
from halfrate.domain.webhook import Told
from halfrate.engines.api import EngineState, ReplicaReading, Replicated
from halfrate.metering.meter import Meter
from halfrate.service.models import Model, Models
from halfrate.service.outlooks import Outlooks
from halfrate.store.meta.api import MetaStore, Tally

JOBS_MAX = 100
"""Unfinished Jobs that are told of one by one."""


@dataclass(frozen=True, slots=True)
class EngineReading:
    """One Engine. ``lanes`` is 0 until it is known; ``replicas`` are the servers it asks."""

    name: str
    state: EngineState
    lanes: int
    lanes_in_use: int
    requests_per_second: float
    meter: Meter
    replicas: tuple[ReplicaReading, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All of it, ``at`` a time: Jobs by state, what they came to, some unfinished ones, the Engines.

    ``told`` counts what attempts to tell receivers came to since this process began.
    """

    at: float
    jobs: Mapping[JobState, int]
    totals: Tally
    unfinished: tuple[tuple[Job, Outlook], ...]
    engines: tuple[EngineReading, ...]
    told: Mapping[Told, int]
    deliveries_waiting: int


class Monitor:
    """Reads how everything stands, without adding up what there may be very much of."""

    def __init__(
        self,
        *,
        store: MetaStore,
        models: Models,
        outlooks: Outlooks,
        meters: Mapping[str, Meter],
        lanes_in_use: Callable[[str], int],
        told: Mapping[Told, int],
        clock: Clock,
    ) -> None:
        self._store = store
        self._models = models
        self._outlooks = outlooks
        self._meters = meters
        self._lanes_in_use = lanes_in_use
        self._told = told
        self._clock = clock

    async def read(self) -> Reading:
        """Look at everything once."""
        unfinished = await self._store.unfinished_jobs(limit=JOBS_MAX)
        return Reading(
            at=self._clock.now(),
            jobs=await self._store.job_counts(),
            totals=await self._store.totals(),
            unfinished=tuple([(job, await self._outlooks.of(job)) for job in unfinished]),
            engines=tuple([await self._engine(model) for model in self._models.all()]),
            told=dict(self._told),
            deliveries_waiting=await self._store.deliveries_waiting(),
        )

    async def _engine(self, model: Model) -> EngineReading:
        state, meter = model.engine.state, self._meters[model.name]
        return EngineReading(
            name=model.name,
            state=state,
            lanes=(await model.engine.ready()).lanes if state is EngineState.READY else 0,
            lanes_in_use=self._lanes_in_use(model.name),
            requests_per_second=meter.pace.per_second(self._clock.now()),
            meter=meter,
            replicas=model.engine.replicas() if isinstance(model.engine, Replicated) else (),
        )
