"""What Prometheus reads."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from halfrate.service import monitor
from tests.unit.server.conftest import finished, until, uploaded
from tests.unit.server.test_batches import create


async def scraped(client) -> dict[tuple[str, str], float]:
    """Every sample by its name and the values of its labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def batch_of(client, *texts: str) -> str:
    lines = b"\n".join(
        b'{"request": {"contents": [{"parts": [{"text": "%s"}]}]}}' % t.encode() for t in texts
    )
    name = await uploaded(client, lines)
    return (await create(client, {"inputConfig": {"fileName": name}})).json()["name"]


async def test_a_server_without_jobs_says_so(client):
    samples = await scraped(client)
    assert samples["halfrate_jobs", "PENDING"] == 0
    assert samples["halfrate_requests_total", "succeeded"] == 0
    assert samples["process_resident_memory_bytes", ""] > 1e6
    assert not any(name.startswith("halfrate_job_") for name, _ in samples)


async def test_what_was_answered_is_counted(client):
    await finished(client, await batch_of(client, "one two", "three", "fail me"))
    samples = await scraped(client)
    assert samples["halfrate_jobs", "SUCCEEDED"] == 1
    assert samples["halfrate_requests_total", "succeeded"] == 2
    assert samples["halfrate_requests_total", "failed"] == 1
    assert samples["halfrate_tokens_total", "input"] == 5
    assert samples["halfrate_tokens_total", "output"] == 3
    cost, interactive = (samples["halfrate_cost_usd_total", price] for price in ("batch", "interactive"))
    assert cost == pytest.approx(interactive / 2) != 0
    assert samples["halfrate_engine_state", "scripted ready"] == 1
    assert samples["halfrate_engine_state", "scripted broken"] == 0
    assert samples["halfrate_engine_lanes", "scripted"] == 8
    assert samples["halfrate_engine_lanes_in_use", "scripted"] == 0
    assert samples["halfrate_engine_requests_per_second", "scripted"] > 0
    assert samples["halfrate_engine_tokens_total", "scripted input"] == 5
    assert samples["halfrate_engine_tokens_total", "scripted cached"] == 0
    assert samples["halfrate_engine_tokens_total", "scripted output"] == 3
    assert samples["halfrate_settle_group_results_sum", "scripted"] == 3
    assert samples["halfrate_settle_seconds_count", "scripted"] >= 1


async def test_an_unfinished_job_is_told_of_by_itself(client, engine):
    engine._delay_seconds = 3_600
    batch = await batch_of(client, *[f"say {n}" for n in range(10)])
    job = batch.removeprefix("batches/")
    samples = await scraped(client)
    assert samples["halfrate_job_pending_requests", job] == 10

    async def in_flight() -> bool:
        return len(engine.in_flight) == 8

    await until(in_flight)
    samples = await scraped(client)
    assert samples["halfrate_engine_lanes_in_use", "scripted"] == 8
    assert samples["halfrate_jobs", "RUNNING"] == 1
    assert not any(name == "halfrate_job_waiting" for name, _ in samples)
    behind = await batch_of(client, "three")

    async def waits() -> bool:
        samples = await scraped(client)
        return samples.get(("halfrate_job_waiting", f"queued {behind.removeprefix('batches/')}")) == 1

    await until(waits)


async def test_no_more_than_some_jobs_are_told_of_one_by_one(client, app, engine, monkeypatch):
    monkeypatch.setattr(monitor, "JOBS_MAX", 2)
    engine._delay_seconds = 3_600
    for _ in range(4):
        await batch_of(client, "x")
    samples = await scraped(client)
    assert len([name for name, _ in samples if name == "halfrate_job_pending_requests"]) == 2
    assert samples["halfrate_jobs", "PENDING"] + samples["halfrate_jobs", "RUNNING"] == 4


async def test_a_name_in_a_batch_is_in_no_metric(client):
    """Labels have few values: nothing that clients make up is one."""
    body = {
        "inputConfig": {
            "fileName": await uploaded(client, b'{"request": {"contents": [{"parts": [{"text": "x"}]}]}}')
        }
    }
    await create(client, {**body, "displayName": "made-up"})
    text = (await client.get("/metrics")).text
    assert "made-up" not in text
    assert set(re.findall(r'(\w+)="', text)) <= {
        "state",
        "result",
        "kind",
        "outcome",
        "price",
        "job",
        "bound",
        "code",
        "engine",
        "le",
    }
