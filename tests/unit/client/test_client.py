import socket
from pathlib import Path

import pytest

from halfrate.client import Client
from halfrate.client.upload import CHUNK_BYTES
from halfrate.client.views import PromiseView
from halfrate.domain.errors import ConfigError, InvalidArgument, NotFound, Refusal, Unreachable
from tests.support.stub_server import StubServer, operation, succeeded


def no_sleep(seconds: float) -> None:
    pass


def chunk_offsets(stub: StubServer) -> list[int]:
    return [
        int(headers["x-goog-upload-offset"])
        for *_, headers, _ in stub.calls
        if "x-goog-upload-offset" in headers
    ]


def test_an_upload_arrives_whole_in_chunks(stub: StubServer, tmp_path: Path) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES * 2 // 256) + b"tail"
    path = tmp_path / "requests.jsonl"
    path.write_bytes(content)
    progress: list[int] = []

    file = Client(stub.url).upload(path, on_progress=progress.append)

    assert stub.files[file.name] == content
    assert chunk_offsets(stub) == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]
    assert progress == [CHUNK_BYTES, 2 * CHUNK_BYTES, len(content)]


def test_an_upload_of_exact_chunks_needs_no_empty_one(stub: StubServer, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"x" * CHUNK_BYTES)
    Client(stub.url).upload(path)
    assert chunk_offsets(stub) == [0]


def test_an_empty_file_is_one_empty_chunk(stub: StubServer, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.touch()
    assert Client(stub.url).upload(path).size_bytes == 0
    assert chunk_offsets(stub) == [0]


def test_a_broken_upload_goes_on_from_what_the_server_has(stub: StubServer, tmp_path: Path) -> None:
    """The server loses the connection in the middle of a chunk; nothing it has is sent again."""
    content = b"0123456789abcdef" * (CHUNK_BYTES // 8)
    path = tmp_path / "requests.jsonl"
    path.write_bytes(content)
    stub.cuts_after_bytes = [CHUNK_BYTES + (1 << 16)]

    file = Client(stub.url, sleep=no_sleep).upload(path)

    assert stub.files[file.name] == content
    assert chunk_offsets(stub) == [0, CHUNK_BYTES, CHUNK_BYTES + (1 << 16)]


def test_patience_begins_anew_with_every_chunk_that_arrives(stub: StubServer, tmp_path: Path) -> None:
    """A large file over a bad line breaks off often; only a standstill is a reason to give up."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"x" * (CHUNK_BYTES * 8))
    stub.cuts_after_bytes = [CHUNK_BYTES * number + (1 << 16) for number in range(8)]
    pauses: list[float] = []
    file = Client(stub.url, sleep=pauses.append).upload(path)
    assert file.size_bytes == CHUNK_BYTES * 8
    assert pauses == [0.5] * 8


def test_an_upload_gives_up_when_the_server_stays_away(tmp_path: Path) -> None:
    """It waits ever longer, and then says that nobody answers."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"x" * (CHUNK_BYTES + 1))
    pauses: list[float] = []
    with StubServer() as stub:
        client = Client(stub.url, sleep=pauses.append)
        with pytest.raises(Unreachable):
            client.upload(path, on_progress=lambda sent_bytes: stub.stop())
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_chunks_carry_no_key_and_the_start_does(stub: StubServer, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"{}")
    Client(stub.url, "secret").upload(path)
    start, chunk = (headers for _, _, headers, _ in stub.calls)
    assert start["x-goog-api-key"] == "secret"
    assert "x-goog-api-key" not in chunk


def test_a_job_is_read_with_what_only_halfrate_says(stub: StubServer) -> None:
    own = {
        "usage": {"promptTokenCount": "30", "candidatesTokenCount": "12", "cachedContentTokenCount": "10"},
        "costUsd": "0.00000105",
        "interactiveCostUsd": "0.0000021",
        "waitingCode": "model_loading",
        "waitingReason": "The model is loading.",
        "eta": "60s",
        "etaRange": {"earliest": "2026-01-01T00:01:00Z", "latest": "2026-01-01T00:02:00Z"},
        "promise": {"by": "2026-01-02T00:00:00Z", "reason": "The model is loading."},
    }
    stub.plan = [operation("RUNNING", halfrate=own)]
    job = Client(stub.url).job("job1")
    assert (job.state, job.final, job.counts.pending) == ("RUNNING", False, 3)
    assert job.usage is not None
    assert job.usage.total_tokens == 42
    assert (str(job.cost_usd), str(job.interactive_cost_usd)) == ("0.00000105", "0.0000021")
    assert (job.waiting_code, job.waiting) == ("model_loading", "The model is loading.")
    assert (job.eta_seconds, job.eta_earliest, job.eta_latest) == (
        60,
        "2026-01-01T00:01:00Z",
        "2026-01-01T00:02:00Z",
    )
    assert job.promise == PromiseView("2026-01-02T00:00:00Z", None, "The model is loading.")


def test_a_job_of_another_server_has_no_figures_of_ours(stub: StubServer) -> None:
    stub.plan = [{"name": "batches/job1"}]
    job = Client(stub.url).job("batches/job1")
    assert (job.state, job.usage, job.cost_usd, job.waiting) == ("UNSPECIFIED", None, None, None)


def test_lists_go_on_to_the_last_page(stub: StubServer) -> None:
    stub.listed = [operation(name=f"batches/job{number}") for number in range(5)]
    assert [job.name for job in Client(stub.url).jobs()] == [f"batches/job{number}" for number in range(5)]


def test_results_come_in_pieces(stub: StubServer) -> None:
    stub.files["files/batch-job1"] = b'{"key": "a"}\n' * 200_000
    client = Client(stub.url)
    with client.open_results(client.job("job1")) as pieces:
        got = list(pieces)
    assert b"".join(got) == stub.files["files/batch-job1"]
    assert max(map(len, got)) <= 1 << 20


def test_inline_results_come_as_lines(stub: StubServer) -> None:
    results = [{"metadata": {"key": "a"}, "response": {"candidates": []}}, {"error": {"code": 1}}]
    stub.plan = [operation("SUCCEEDED", output={"inlinedResponses": {"inlinedResponses": results}})]
    client = Client(stub.url)
    with client.open_results(client.job("job1")) as pieces:
        assert b"".join(pieces).count(b"\n") == 2


def test_a_download_that_breaks_off_is_no_whole_one(stub: StubServer) -> None:
    stub.files["files/batch-job1"] = b"{}\n"
    client = Client(stub.url)
    job = client.job("job1")
    stub.break_downloads = True
    with client.open_results(job) as pieces, pytest.raises(Unreachable, match="3 of 13 bytes"):
        list(pieces)


def test_results_of_a_job_without_any_say_so(stub: StubServer) -> None:
    stub.plan = [operation("PENDING")]
    client = Client(stub.url)
    with (
        pytest.raises(NotFound, match="batches/job1 has no results: it is PENDING"),
        client.open_results(client.job("job1")),
    ):
        pass


def test_a_refusal_keeps_its_kind_and_its_words(stub: StubServer) -> None:
    stub.refuse_create = (400, "INVALID_ARGUMENT", "Error on line 2: invalid JSON")
    with pytest.raises(InvalidArgument, match="Error on line 2"):
        Client(stub.url).create("pocket-1", "files/u1")


def test_an_error_that_is_not_of_the_dialect_is_told_as_it_came(stub: StubServer) -> None:
    with pytest.raises(Refusal, match="There is no nothing"):
        Client(stub.url)._transport.call("GET", "nothing")


def test_nobody_listening_says_how_to_start_a_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(Unreachable, match="halfrate serve"):
            Client(f"http://127.0.0.1:{taken.getsockname()[1]}").job("x")


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://here", "http://", "http://h:port", "http://h:0"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="no server address"):
        Client(url)


def test_a_prefix_in_the_address_is_kept(stub: StubServer) -> None:
    client = Client(f"{stub.url}/prefix/")
    assert client.url == f"{stub.url}/prefix"


def test_create_sends_what_was_asked(stub: StubServer) -> None:
    Client(stub.url).create("pocket-1", "files/u1", display_name="mine", priority=3, keep_going=True)
    method, path, headers, body = stub.calls[-1]
    assert (method, path) == ("POST", "/v1beta/models/pocket-1:batchGenerateContent")
    assert (
        body
        == b'{"batch": {"inputConfig": {"fileName": "files/u1"}, "displayName": "mine", "priority": "3"}}'
    )
    assert headers["x-halfrate-on-invalid"] == "skip"


def test_cancel_and_delete_name_the_job(stub: StubServer) -> None:
    client = Client(stub.url)
    client.cancel("job1")
    client.delete("batches/job1")
    assert [call[:2] for call in stub.calls] == [
        ("POST", "/v1beta/batches/job1:cancel"),
        ("DELETE", "/v1beta/batches/job1"),
    ]


def test_a_finished_job_names_its_file(stub: StubServer) -> None:
    stub.plan = [succeeded()]
    assert Client(stub.url).job("job1").responses_file == "files/batch-job1"
