import socket
from pathlib import Path

import pytest

from halfrate import cli
from halfrate.client import Client
from tests.support.stub_server import StubServer, operation, succeeded
from tests.unit.cli.conftest import Run

FAILED = operation("FAILED", error={"code": 3, "message": "Error on line 2: invalid JSON"})


@pytest.fixture
def requests_file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n')
    return path


def test_submit_prints_the_job_and_nothing_else_on_stdout(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    ended = halfrate("submit", requests_file)
    assert (ended.code, ended.out) == (0, "batches/job1\n")
    assert "halfrate watch batches/job1" in ended.err
    assert b'"displayName": "requests.jsonl"' in stub.calls[-1][3]


def test_submit_asks_the_demonstration_model_if_none_is_named(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    halfrate("submit", requests_file)
    assert stub.calls[-1][1] == "/v1beta/models/pocket-1:batchGenerateContent"


def test_submit_asks_the_only_model_if_there_is_one(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    stub.models = ["mine"]
    halfrate("submit", requests_file)
    assert stub.calls[-1][1] == "/v1beta/models/mine:batchGenerateContent"


def test_submit_does_not_guess_between_models(stub: StubServer, halfrate: Run, requests_file: Path) -> None:
    stub.models = ["big", "small"]
    ended = halfrate("submit", requests_file)
    assert (ended.code, ended.out) == (1, "")
    assert "with -m: big, small" in ended.err


def test_submit_of_texts_to_embed_asks_the_only_model_that_embeds(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    stub.models = ["pocket-1", "other", "vectors"]
    stub.embedding_models = ["vectors"]
    halfrate("submit", requests_file, "--embed")
    assert stub.calls[-1][1] == "/v1beta/models/vectors:asyncBatchEmbedContent"
    halfrate("submit", requests_file)
    assert stub.calls[-1][1] == "/v1beta/models/pocket-1:batchGenerateContent"


def test_submit_passes_its_options_on(stub: StubServer, halfrate: Run, requests_file: Path) -> None:
    halfrate("submit", requests_file, "-m", "mine", "--display-name", "x", "--priority", "-2", "--keep-going")
    _, path, headers, body = stub.calls[-1]
    assert path == "/v1beta/models/mine:batchGenerateContent"
    assert b'"displayName": "x"' in body
    assert b'"priority": "-2"' in body
    assert headers["x-halfrate-on-invalid"] == "skip"


def test_submit_and_watch_ends_as_the_job_does(stub: StubServer, halfrate: Run, requests_file: Path) -> None:
    stub.plan = [operation("RUNNING"), succeeded()]
    ended = halfrate("submit", requests_file, "--watch")
    assert ended.code == 0
    assert "SUCCEEDED, 3 of 3 done (1 with errors)" in ended.err


def test_submit_of_a_missing_file_names_it(stub: StubServer, halfrate: Run) -> None:
    ended = halfrate("submit", "nowhere.jsonl")
    assert ended.code == 1
    assert "There is no file nowhere.jsonl" in ended.err
    assert not stub.calls


def test_submit_shows_every_bad_line_the_server_names(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    stub.refuse_create = (400, "INVALID_ARGUMENT", "Error on line 2: x\nError on line 7: y")
    ended = halfrate("submit", requests_file)
    assert ended.code == 1
    assert "Error on line 2: x\nError on line 7: y" in ended.err


def test_an_unknown_model_is_told_in_the_servers_words(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    stub.refuse_create = (404, "NOT_FOUND", "There is no model 'x' here.")
    ended = halfrate("submit", requests_file, "-m", "x")
    assert ended.code == 1
    assert "There is no model 'x' here." in ended.err


def test_jobs_are_a_table(stub: StubServer, halfrate: Run) -> None:
    stub.listed = [succeeded("batches/job2"), operation("RUNNING")]
    lines = halfrate("jobs").out.splitlines()
    assert lines[0].split() == ["JOB", "STATE", "DONE", "ERRORS", "NOTE", "MODEL", "CREATED", "NAME"]
    assert lines[1].split()[:4] == ["batches/job2", "SUCCEEDED", "3/3", "1"]
    assert lines[2].split()[:4] == ["batches/job1", "RUNNING", "0/3", "0"]


def test_jobs_note_what_they_wait_for_and_whether_they_are_late(stub: StubServer, halfrate: Run) -> None:
    late = {"by": "2026-01-02T00:00:00Z", "holds": False, "reason": "It is late."}
    kept = {"by": "2026-01-02T00:00:00Z", "holds": True}
    stub.listed = [
        operation(name="batches/waiting", halfrate={"waitingCode": "model_loading", "promise": kept}),
        operation("RUNNING", name="batches/late", halfrate={"promise": late}),
        operation(name="batches/both", halfrate={"waitingCode": "engine_down", "promise": late}),
        succeeded("batches/done"),
    ]
    table = halfrate("jobs").out.splitlines()
    start, end = table[0].index("NOTE"), table[0].index("MODEL")
    assert [row[start:end].strip() for row in table[1:]] == [
        "model_loading", "late", "engine_down, late", "-"
    ]  # fmt: skip
    documents = halfrate("jobs", "--json").document["jobs"]
    assert [document["waitingCode"] for document in documents] == ["model_loading", None, "engine_down", None]
    assert [document["promiseHolds"] for document in documents] == [True, False, False, None]


def test_submit_says_at_once_what_cannot_be_held(
    stub: StubServer, halfrate: Run, requests_file: Path
) -> None:
    promise = {"by": "2026-01-02T00:00:00Z", "holds": False, "reason": "It is likely to take long."}
    stub.created = operation(halfrate={"promise": promise})
    ended = halfrate("submit", requests_file)
    assert ended.code == 0
    assert "LATE for 2026-01-02 00:00 UTC (It is likely to take long)" in ended.err
    stub.created = operation(halfrate={"promise": {"by": "2026-01-02T00:00:00Z"}})
    assert "Promised by 2026-01-02 00:00 UTC" in halfrate("submit", requests_file).err


def test_jobs_stop_at_the_limit(stub: StubServer, halfrate: Run) -> None:
    stub.listed = [operation(name=f"batches/job{number}") for number in range(9)]
    assert len(halfrate("jobs", "-n", 3, "--json").document["jobs"]) == 3


def test_no_jobs_say_how_to_make_one(stub: StubServer, halfrate: Run) -> None:
    ended = halfrate("jobs")
    assert (ended.code, ended.out) == (0, "")
    assert "halfrate submit" in ended.err


def test_watch_says_why_a_job_waits(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [operation(halfrate={"waitingReason": "the model is loading"}), succeeded()]
    ended = halfrate("watch", "job1")
    assert ended.code == 0
    assert "PENDING, 0 of 3 done, waiting: the model is loading" in ended.err


def test_watch_tells_cost_and_saving(stub: StubServer, halfrate: Run) -> None:
    own = {"usage": {"promptTokenCount": "3000"}, "costUsd": "0.75", "interactiveCostUsd": "1.5"}
    stub.plan = [succeeded(halfrate=own)]
    ended = halfrate("watch", "job1")
    assert "3,000 + 0 tokens, $0.750000 (interactive $1.50: $0.750000 saved)" in ended.err


def test_watch_of_a_failed_job_says_why(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [FAILED]
    ended = halfrate("watch", "job1")
    assert ended.code == 1
    assert "Why: Error on line 2: invalid JSON" in ended.err


def test_watch_prints_a_line_of_json_for_each_change(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [operation(), operation(), operation("RUNNING"), operation("RUNNING"), succeeded()]
    ended = halfrate("watch", "job1", "--json")
    assert [line.split('"state": "')[1].split('"')[0] for line in ended.out.splitlines()] == [
        "PENDING",
        "RUNNING",
        "SUCCEEDED",
    ]
    assert ended.err == ""


def test_results_go_to_stdout(stub: StubServer, halfrate: Run) -> None:
    stub.files["files/batch-job1"] = b'{"key": "a"}\n{"key": "b"}\n'
    ended = halfrate("results", "job1")
    assert (ended.code, ended.out, ended.err) == (0, '{"key": "a"}\n{"key": "b"}\n', "")


def test_results_go_to_a_file(stub: StubServer, halfrate: Run, tmp_path: Path) -> None:
    stub.files["files/batch-job1"] = b'{"key": "a"}\n{"key": "b"}\n'
    output = tmp_path / "out.jsonl"
    ended = halfrate("results", "job1", "-o", output, "--json")
    assert output.read_bytes() == stub.files["files/batch-job1"]
    assert (ended.document["lines"], ended.document["bytes"]) == (2, 26)


def test_a_broken_download_leaves_the_old_file(stub: StubServer, halfrate: Run, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("old")
    stub.files["files/batch-job1"] = b"{}\n"
    stub.break_downloads = True
    ended = halfrate("results", "job1", "-o", output)
    assert ended.code == 3
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_results_before_there_are_any_say_so(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [operation()]
    ended = halfrate("results", "job1")
    assert ended.code == 1
    assert "batches/job1 has no results: it is PENDING" in ended.err


def test_cancel_says_what_is_left(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [operation("RUNNING")]
    ended = halfrate("cancel", "job1")
    assert ended.code == 0
    assert "is stopping" in ended.err


def test_cancel_of_an_ended_job_says_that_it_had_ended(stub: StubServer, halfrate: Run) -> None:
    assert "had already ended: it is SUCCEEDED" in halfrate("cancel", "job1").err


def stats(requests: int) -> dict[str, str]:
    return {"requestCount": str(requests)} if requests else {}


def test_retry_prints_the_new_job_and_says_what_is_tried_again(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [succeeded(batchStats={"requestCount": "9", "failedRequestCount": "5"})]
    stub.retried = operation(name="batches/job2", batchStats=stats(3))
    ended = halfrate("retry", "job1", "--deadline", "1h")
    assert (ended.code, ended.out) == (0, "batches/job2\n")
    assert (
        "3 of 5 failed requests are tried again (the other 2 are invalid and would fail again)" in ended.err
    )
    assert "halfrate watch batches/job2" in ended.err
    method, path, headers, _ = stub.calls[-1]
    assert (method, path) == ("POST", "/v1beta/batches/job1:retry")
    assert headers["x-halfrate-deadline"] == "3600"
    stub.retried = operation(name="batches/job2", batchStats=stats(5))
    assert "5 of 5 failed requests are tried again. Follow" in halfrate("retry", "job1").err


def test_retry_of_what_failed_as_a_whole_or_is_not_counted_yet(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [FAILED]
    assert "batches/job1 is tried again." in halfrate("retry", "job1").err
    stub.plan, stub.retried = [succeeded()], operation(name="batches/job2", batchStats=stats(0))
    assert "batches/job1 is tried again." in halfrate("retry", "job1").err


def test_retry_and_watch_ends_as_the_new_job_does(stub: StubServer, halfrate: Run) -> None:
    stub.plan = [succeeded(), operation("CANCELLED", name="batches/job2")]
    ended = halfrate("retry", "job1", "--watch")
    assert ended.code == 1
    assert "batches/job2 CANCELLED" in ended.err


def test_retry_in_json_names_what_is_tried_again(stub: StubServer, halfrate: Run) -> None:
    document = halfrate("retry", "job1", "--json").document
    assert (document["name"], document["retryOf"]) == ("batches/job2", "batches/job1")


def test_a_job_that_ended_with_errors_says_how_to_try_again(stub: StubServer, halfrate: Run) -> None:
    assert "halfrate retry batches/job1" in halfrate("watch", "job1").err
    stub.plan = [succeeded(batchStats={"requestCount": "9", "successfulRequestCount": "9"})]
    assert "retry" not in halfrate("watch", "job1").err


def test_delete_names_what_it_deleted(stub: StubServer, halfrate: Run) -> None:
    assert halfrate("delete", "job1", "--json").document == {"deleted": "batches/job1"}


def test_models_say_what_answers(stub: StubServer, halfrate: Run) -> None:
    assert halfrate("models").out.splitlines()[1].split() == ["pocket-1", "pocket-1-q8"]


def test_no_server_is_exit_code_3(halfrate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and not listening: connections are refused
        ended = halfrate("jobs", "--url", f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert ended.code == 3
    assert "Start one with `halfrate serve`" in ended.err


def test_an_unknown_command_is_exit_code_2(halfrate: Run) -> None:
    assert halfrate("frobnicate").code == 2


def test_a_bug_is_told_in_a_sentence(
    stub: StubServer, halfrate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(client: Client) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(Client, "jobs", broken)
    ended = halfrate("jobs")
    assert ended.code == 70
    assert "ZeroDivisionError: oh" in ended.err
    assert "HALFRATE_DEBUG=1" in ended.err


def test_no_colours_when_nobody_looks(stub: StubServer, halfrate: Run) -> None:
    ended = halfrate("watch", "job1")
    assert "\x1b" not in ended.out + ended.err


def test_whoever_mends_halfrate_sees_where_it_broke(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALFRATE_DEBUG", "1")
    monkeypatch.setattr("sys.argv", ["halfrate", "watch", "nowhere"])
    monkeypatch.setattr(Client, "job", lambda self, name: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main()
