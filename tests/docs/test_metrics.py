"""The page of metrics lists what is exported, with its labels, and nothing else."""

import re
from pathlib import Path

from prometheus_client.metrics_core import Metric

from halfrate.domain.job import Counts, JobState
from halfrate.domain.outlook import Eta, Outlook, Promise
from halfrate.domain.waiting import Waiting, WaitingCode
from halfrate.domain.webhook import Told
from halfrate.engines.api import EngineState, ReplicaReading
from halfrate.metering.meter import Meter
from halfrate.server.metrics import ReadingCollector
from halfrate.service.monitor import EngineReading, Reading
from halfrate.store.meta.api import Tally
from tests.fakes import make_job

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")

REPLICA = ReplicaReading("http://there/v1", EngineState.READY, limit=8, in_flight=7, paused_until=70.0)
EVERYTHING = Reading(
    at=10.0,
    jobs={JobState.PENDING: 1},
    totals=Tally(Counts(succeeded=1)),
    unfinished=((make_job(), Outlook(Waiting(WaitingCode.QUEUED, "x"), Eta(0, 1, 2, 3), Promise(4, True))),),
    engines=(EngineReading("pocket-1", EngineState.READY, 8, 1, 2.0, Meter(), (REPLICA,)),),
    told={Told.DELIVERED: 1},
    deliveries_waiting=1,
)


def exported() -> dict[str, set[str]]:
    """Every metric by the name it is queried by, with its labels."""
    return {name_of(metric): labels_of(metric) for metric in ReadingCollector(EVERYTHING).collect()}


def name_of(metric: Metric) -> str:
    return metric.name + ("_total" if metric.type == "counter" else "")


def labels_of(metric: Metric) -> set[str]:
    return {label for sample in metric.samples for label in sample.labels} - {"le"}


def listed() -> dict[str, set[str]]:
    found = {}
    for names, labels in re.findall(r"^\| (`[^|]+`) \|([^|]*)\|", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = set(re.findall(r"`(\w+)`", labels))
    return found


def test_the_page_lists_what_is_exported() -> None:
    assert listed() == exported()


def test_how_long_a_server_is_to_be_left_alone_is_told_as_what_is_left_of_it() -> None:
    paused = next(
        m for m in ReadingCollector(EVERYTHING).collect() if m.name == "halfrate_upstream_paused_seconds"
    )
    assert [sample.value for sample in paused.samples] == [60.0]
