"""How everything stands, in the text format that Prometheus reads. `docs/reference/metrics.md` lists it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from halfrate.domain.job import Job, JobState
from halfrate.domain.outlook import Outlook
from halfrate.domain.webhook import Told
from halfrate.engines.api import EngineState
from halfrate.metering.meter import Histogram
from halfrate.service.monitor import EngineReading, Reading
from halfrate.store.meta.api import Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST

PICOS_PER_USD = 1e12

_PROCESS = ProcessCollector(registry=None)


def exposition(reading: Reading) -> bytes:
    """Return the text of one scrape."""
    return generate_latest(ReadingCollector(reading))


class ReadingCollector(Collector):
    """One Reading as metrics. There are no labels but those whose values are few."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield _jobs(self._reading)
        yield from _totals(self._reading.totals)
        yield from _unfinished(self._reading.unfinished)
        yield from _engines(self._reading.engines)
        yield from _upstreams(self._reading)
        yield from _deliveries(self._reading)
        yield from _PROCESS.collect()


def _jobs(reading: Reading) -> Metric:
    jobs = GaugeMetricFamily("halfrate_jobs", "Jobs there are, by state.", labels=["state"])
    for state in JobState:
        jobs.add_metric([state.value], reading.jobs.get(state, 0))
    return jobs


def _totals(totals: Tally) -> Iterator[Metric]:
    requests = CounterMetricFamily("halfrate_requests", "Requests with a Result.", labels=["result"])
    requests.add_metric(["succeeded"], totals.counts.succeeded)
    requests.add_metric(["failed"], totals.counts.failed)
    yield requests
    tokens = CounterMetricFamily(
        "halfrate_tokens", "Tokens of Jobs; cached ones are input too.", labels=["kind"]
    )
    tokens.add_metric(["input"], totals.usage.input_tokens)
    tokens.add_metric(["cached"], totals.usage.cached_tokens)
    tokens.add_metric(["output"], totals.usage.output_tokens)
    yield tokens
    # A float, as all there is in this format: the exact amounts are with the Jobs.
    cost = CounterMetricFamily(
        "halfrate_cost_usd", "Cost of Jobs, and as interactive calls.", labels=["price"]
    )
    cost.add_metric(["batch"], totals.cost_picos / PICOS_PER_USD)
    cost.add_metric(["interactive"], totals.interactive_cost_picos / PICOS_PER_USD)
    yield cost


def _unfinished(jobs: Iterable[tuple[Job, Outlook]]) -> Iterator[Metric]:
    pending = GaugeMetricFamily(
        "halfrate_job_pending_requests", "Requests of an unfinished Job without a Result.", labels=["job"]
    )
    eta = GaugeMetricFamily(
        "halfrate_job_eta_seconds", "Time until an unfinished Job ends.", labels=["job", "bound"]
    )
    waiting = GaugeMetricFamily(
        "halfrate_job_waiting", "1 for what an unfinished Job waits for.", labels=["job", "code"]
    )
    promise = GaugeMetricFamily(
        "halfrate_job_promise_holds",
        "1 if an unfinished Job will keep its promise, 0 if not.",
        labels=["job"],
    )
    for job, outlook in jobs:
        pending.add_metric([job.id], job.counts.pending)
        if outlook.eta is not None:
            for bound in ("earliest", "likely", "latest"):
                eta.add_metric([job.id, bound], getattr(outlook.eta, bound) - outlook.eta.at)
        if outlook.waiting is not None:
            waiting.add_metric([job.id, outlook.waiting.code.value], 1)
        if outlook.promise is not None and outlook.promise.holds is not None:
            promise.add_metric([job.id], int(outlook.promise.holds))
    yield from (pending, eta, waiting, promise)


def _engines(engines: Iterable[EngineReading]) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "halfrate_engine_state", "1 for the state an Engine is in.", labels=["engine", "state"]
    )
    lanes = GaugeMetricFamily(
        "halfrate_engine_lanes", "Requests in flight that keep an Engine busy.", labels=["engine"]
    )
    in_use = GaugeMetricFamily(
        "halfrate_engine_lanes_in_use", "Requests of Jobs in flight to an Engine.", labels=["engine"]
    )
    pace = GaugeMetricFamily(
        "halfrate_engine_requests_per_second", "Results of Jobs in a second of work.", labels=["engine"]
    )
    tokens = CounterMetricFamily(
        "halfrate_engine_tokens", "Tokens of Jobs; cached ones are input too.", labels=["engine", "kind"]
    )
    groups = HistogramMetricFamily(
        "halfrate_settle_group_results", "Results settled together.", labels=["engine"]
    )
    settling = HistogramMetricFamily(
        "halfrate_settle_seconds", "Time to make a group of Results durable.", labels=["engine"]
    )
    for engine in engines:
        for state in EngineState:
            states.add_metric([engine.name, state.value], int(engine.state is state))
        lanes.add_metric([engine.name], engine.lanes)
        in_use.add_metric([engine.name], engine.lanes_in_use)
        pace.add_metric([engine.name], engine.requests_per_second)
        usage = engine.meter.usage
        tokens.add_metric([engine.name, "input"], usage.input_tokens)
        tokens.add_metric([engine.name, "cached"], usage.cached_tokens)
        tokens.add_metric([engine.name, "output"], usage.output_tokens)
        for family, histogram in (
            (groups, engine.meter.group_sizes),
            (settling, engine.meter.settle_seconds),
        ):
            family.add_metric([engine.name], buckets=_buckets(histogram), sum_value=histogram.sum)
    yield from (states, lanes, in_use, pace, tokens, groups, settling)


def _upstreams(reading: Reading) -> Iterator[Metric]:
    labels = ["engine", "replica"]
    states = GaugeMetricFamily(
        "halfrate_upstream_state", "1 for the state a server is in.", labels=[*labels, "state"]
    )
    limit = GaugeMetricFamily(
        "halfrate_upstream_concurrency_limit", "Calls that may be on the wire to a server.", labels=labels
    )
    in_flight = GaugeMetricFamily(
        "halfrate_upstream_in_flight", "Calls on the wire to a server.", labels=labels
    )
    paused = GaugeMetricFamily(
        "halfrate_upstream_paused_seconds", "Time for which a server is to be left alone.", labels=labels
    )
    for engine in reading.engines:
        for replica in engine.replicas:
            names = [engine.name, replica.name]
            for state in EngineState:
                states.add_metric([*names, state.value], int(replica.state is state))
            limit.add_metric(names, replica.limit)
            in_flight.add_metric(names, replica.in_flight)
            paused.add_metric(names, max(replica.paused_until - reading.at, 0.0))
    yield from (states, limit, in_flight, paused)


def _deliveries(reading: Reading) -> Iterator[Metric]:
    told = CounterMetricFamily(
        "halfrate_webhook_deliveries", "What calls to webhooks came to.", labels=["outcome"]
    )
    for outcome in Told:
        told.add_metric([outcome.value], reading.told.get(outcome, 0))
    yield told
    yield GaugeMetricFamily(
        "halfrate_webhook_deliveries_waiting",
        "Deliveries that nobody has taken yet.",
        value=reading.deliveries_waiting,
    )


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    names = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    return list(zip(names, map(float, accumulate(histogram.counts)), strict=True))
