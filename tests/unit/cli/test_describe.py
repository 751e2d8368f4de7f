from decimal import Decimal

import pytest

from halfrate.cli.describe import dollars, job_document, span, status_line
from halfrate.client import JobView
from tests.support.stub_server import operation


def test_a_running_job_shows_rate_and_time_left() -> None:
    stats = {"requestCount": "1000", "successfulRequestCount": "250"}
    job = JobView.of(operation("RUNNING", batchStats=stats, halfrate={"eta": "600s"}))
    line = status_line(job, requests_per_second=12.34)
    assert line == "RUNNING, 250 of 1,000 done, 12.3/s, about 10 min left"


def test_tokens_are_told_with_the_part_that_came_from_the_cache() -> None:
    usage = {"promptTokenCount": "4000", "cachedContentTokenCount": "3000", "candidatesTokenCount": "50"}
    line = status_line(JobView.of(operation(halfrate={"usage": usage})), requests_per_second=None)
    assert "4,000 (3,000 cached: 75%) + 50 tokens" in line
    usage["cachedContentTokenCount"] = "0"
    line = status_line(JobView.of(operation(halfrate={"usage": usage})), requests_per_second=None)
    assert "4,000 + 50 tokens" in line


def test_a_job_that_is_late_says_so_and_within_what_range_it_ends() -> None:
    own = {
        "eta": "600s",
        "etaRange": {"earliest": "2026-01-01T14:05:59Z", "latest": "2026-01-01T14:20:00Z"},
        "promise": {"by": "2026-01-01T14:00:00Z", "holds": False, "reason": "It is likely to take long."},
    }
    line = status_line(JobView.of(operation("RUNNING", halfrate=own)), requests_per_second=None)
    assert line == (
        "RUNNING, 0 of 3 done, about 10 min left (14:05:59 to 14:20:00 UTC), "
        "LATE for 2026-01-01 14:00 UTC (It is likely to take long)"
    )
    own |= {"eta": "36000s", "etaRange": {**own["etaRange"], "latest": "2026-01-02T01:00:00Z"}}
    line = status_line(JobView.of(operation("RUNNING", halfrate=own)), requests_per_second=None)
    assert "(2026-01-01 14:05 to 2026-01-02 01:00 UTC)" in line


def test_an_input_not_counted_yet_is_not_zero_requests() -> None:
    job = JobView.of(operation(batchStats={}))
    assert status_line(job, requests_per_second=None) == "PENDING, requests not counted yet"


def test_the_document_keeps_amounts_exact() -> None:
    job = JobView.of(operation(halfrate={"costUsd": "0.000000000001"}))
    assert job_document(job)["costUsd"] == "0.000000000001"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")],
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_money_shows_what_a_small_job_costs() -> None:
    assert (dollars(Decimal("0.000123")), dollars(Decimal("12.345"))) == ("$0.000123", "$12.34")
