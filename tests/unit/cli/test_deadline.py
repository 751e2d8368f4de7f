import time
from datetime import datetime
from pathlib import Path

import pytest
import typer

from halfrate.cli.deadline import deadline
from halfrate.cli.describe import job_document, status_line
from halfrate.client import JobView
from tests.support.stub_server import StubServer, operation
from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("45s", "45"),
        ("90m", "5400"),
        ("2h", "7200"),
        (" 1.5H ", "5400"),
        ("1d", "86400"),
        ("2026-12-31T08:00:00Z", "2026-12-31T08:00:00Z"),
        ("2026-12-31 08:00+02:00", "2026-12-31T06:00:00Z"),
    ],
)
def test_a_span_is_sent_in_seconds_and_a_time_in_utc(text: str, sent: str) -> None:
    assert deadline(text) == sent


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert datetime.now().astimezone().utcoffset() is not None
        assert deadline("2026-12-31T08:00") == "2026-12-30T23:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "2", "2w", "-1h", "1e3s", "2026-13-01"])
def test_anything_else_is_no_deadline(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no deadline: write 90m"):
        deadline(text)


@pytest.fixture
def requests_file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"{}\n")
    return path


def test_submit_sends_a_deadline_only_if_it_is_given_one(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    halfrate("submit", requests_file)
    assert "x-halfrate-deadline" not in stub.calls[-1][2]
    halfrate("submit", requests_file, "--deadline", "2h")
    assert stub.calls[-1][2]["x-halfrate-deadline"] == "7200"


def test_a_deadline_that_cannot_be_understood_sends_nothing(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    ended = halfrate("submit", requests_file, "--deadline", "soon")
    assert (ended.code, stub.calls) == (2, [])
    assert "write 90m, 2h or 1d" in ended.err


def test_a_job_says_when_it_expires() -> None:
    job = JobView.of(operation("RUNNING", halfrate={"deadline": "2026-11-26T13:05:30.250000Z"}))
    assert status_line(job, requests_per_second=None).endswith(", expires 2026-11-26 13:05 UTC")
    assert job_document(job)["deadline"] == "2026-11-26T13:05:30.250000Z"
    ended = JobView.of(operation("SUCCEEDED", halfrate={"deadline": "2026-11-26T13:05:30Z"}))
    assert "expires" not in status_line(ended, requests_per_second=None)
