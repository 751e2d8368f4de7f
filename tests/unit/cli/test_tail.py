"""`halfrate results --follow`: every line once, whatever breaks off."""

import json
from pathlib import Path

import pytest

from halfrate.cli.tail import FileTail
from halfrate.client import Client
from halfrate.domain.errors import Unreachable
from tests.support.stub_server import StubServer, operation, succeeded
from tests.unit.cli.conftest import Run

RUNNING = operation("RUNNING")
STEPS = [b'{"key": "b"}\n', b'{"key": "a"}\n{"key": "d"}\n', b'{"key": "c"}\n']


@pytest.fixture
def followed(stub: StubServer) -> StubServer:
    stub.plan = [RUNNING, RUNNING, RUNNING, succeeded()]
    stub.steps = list(STEPS)
    return stub


def test_lines_go_to_stdout_as_they_come(followed: StubServer, halfrate: Run) -> None:
    ended = halfrate("results", "--follow", "job1")
    assert ended.out.encode() == b"".join(STEPS)
    assert (ended.code, "SUCCEEDED" in ended.err) == (0, True)


def test_an_answer_that_broke_off_is_asked_for_again_and_printed_once(
    followed: StubServer, halfrate: Run
) -> None:
    followed.breaks = 2
    assert halfrate("results", "-f", "job1").out.encode() == b"".join(STEPS)


def test_a_server_that_is_away_in_the_middle_is_waited_for(
    followed: StubServer, halfrate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, Unreachable("away"), None, None, None])
    job = Client.job

    def sometimes(client: Client, name: str) -> object:
        error = next(looks)
        followed.breaks = 1 if error else followed.breaks
        if error:
            raise error
        return job(client, name)

    monkeypatch.setattr(Client, "job", sometimes)
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out.encode()) == (0, b"".join(STEPS))


def test_a_job_that_did_not_succeed_is_exit_code_1(followed: StubServer, halfrate: Run) -> None:
    followed.plan = [RUNNING, operation("CANCELLED")]
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out.encode()) == (1, b"".join(STEPS[:2]))
    followed.plan = [operation("FAILED", error={"code": 3, "message": "no such model"})]
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out) == (1, "")
    assert "Why: no such model" in ended.err


def test_a_job_that_fails_between_two_looks_ends_as_it_did(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [RUNNING, operation("FAILED", error={"code": 3, "message": "a Segment is damaged"})]
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out) == (1, "")
    assert "Why: a Segment is damaged" in ended.err


def test_an_output_that_is_not_kept_any_more_cannot_be_followed(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [succeeded()]
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out) == (1, "")
    assert "batches/job1 has no results: it is SUCCEEDED" in ended.err


def test_a_server_without_snapshots_cannot_be_followed(stub: StubServer, halfrate: Run) -> None:
    stub.files["files/batch-job1"] = b"{}\n"
    ended = halfrate("results", "-f", "job1")
    assert (ended.code, ended.out) == (1, "")
    assert "cannot be followed" in ended.err


def test_a_file_grows_and_leaves_nothing_beside_it(
    followed: StubServer, halfrate: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    ended = halfrate("results", "-f", "job1", "-o", output, "--json")
    assert output.read_bytes() == b"".join(STEPS)
    assert ended.document["bytes"] == output.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_file_goes_on_where_it_was_left(followed: StubServer, halfrate: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    followed.plan = [RUNNING]
    tail = FileTail("job1", output)
    with Client(followed.url).open_results_since(Client(followed.url).job("job1"), None) as (
        pieces,
        snapshot,
    ):
        lines = tmp_path / "lines"
        lines.write_bytes(b"".join(pieces))
        tail.add(lines.open("rb"), snapshot)
    with output.open("ab") as file:
        file.write(b'{"key": "half a li')  # a crash came before the mark
    followed.plan = [RUNNING, RUNNING, succeeded()]
    assert halfrate("results", "-f", "batches/job1", "-o", output).code == 0
    assert output.read_bytes() == b"".join(STEPS)


def test_a_file_that_died_before_its_first_line_goes_on(
    followed: StubServer, halfrate: Run, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    FileTail("job1", output)
    output.write_bytes(b"half a li")
    assert halfrate("results", "-f", "job1", "-o", output).code == 0
    assert output.read_bytes() == b"".join(STEPS)


def test_a_file_of_something_else_is_left_alone(followed: StubServer, halfrate: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("precious")
    ended = halfrate("results", "-f", "job1", "-o", output)
    assert (ended.code, output.read_text()) == (1, "precious")
    assert "Name another file" in ended.err
    mark = tmp_path / ".out.jsonl.follow"
    mark.write_text(json.dumps({"job": "batches/job2", "bytes": 3, "snapshot": "1"}))
    ended = halfrate("results", "-f", "job1", "-o", output)
    assert (ended.code, output.read_text()) == (1, "precious")
    assert "holds results of batches/job2" in ended.err
    mark.write_text(json.dumps({"job": "batches/job1", "bytes": 99, "snapshot": "1"}))
    ended = halfrate("results", "-f", "job1", "-o", output)
    assert (ended.code, output.read_text()) == (1, "precious")
    assert "shorter than it was" in ended.err
