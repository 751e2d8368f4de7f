from collections.abc import Iterator
from pathlib import Path

import pytest
from google.genai import errors

import halfrate.genai as genai
from halfrate.genai import _session, aio
from tests.support.stub_server import StubServer, operation, succeeded


@pytest.fixture(autouse=True)
def configured(stub: StubServer) -> Iterator[None]:
    genai.configure(base_url=stub.url)
    yield
    _session._session = None


@pytest.fixture
def requests_file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b'{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}\n')
    return path


def test_the_way_of_the_tutorial(stub: StubServer, requests_file: Path) -> None:
    stub.plan = [operation(), operation("RUNNING"), succeeded()]
    stub.files["files/batch-job1"] = b'{"key": "a"}\n'

    uploaded = genai.upload_file(path=requests_file)
    job = genai.create_batch_job(model="pocket-1", requests=uploaded, config={"display_name": "first"})
    assert (job.name, job.display_name, job.model) == ("batches/job1", "first", "models/pocket-1")
    assert job.create_time is not None
    assert job.state.name == "JOB_STATE_PENDING"
    assert not job.done

    while not job.done:
        job = genai.get_batch_job(name=job.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    assert job.result_file is not None
    assert genai.download_file(name=job.result_file.name).read() == b'{"key": "a"}\n'


def test_a_type_is_given_to_files_whose_name_says_nothing_to_the_system(
    stub: StubServer, requests_file: Path
) -> None:
    genai.upload_file(path=str(requests_file), display_name="mine")
    assert stub.calls[0][2]["x-goog-upload-header-content-type"] == "jsonl"
    assert b'"mine"' in stub.calls[0][3]


def test_a_failed_batch_says_why(stub: StubServer) -> None:
    """The SDK drops the error of an Operation."""
    stub.plan = [operation("FAILED", error={"code": 3, "message": "Error on line 1: invalid JSON"})]
    job = genai.get_batch_job(name="batches/job1")
    assert job.error is not None
    assert (job.error.code, job.error.message) == (3, "Error on line 1: invalid JSON")
    assert str(job.error) == "Error on line 1: invalid JSON (code 3)"
    assert job.result_file is None


def test_a_failed_batch_never_lacks_its_error(stub: StubServer) -> None:
    """The state and the error come from two calls; the batch may fail between them."""
    stub.plan = [operation("RUNNING"), operation("FAILED", error={"code": 3, "message": "broken"})]
    job = genai.get_batch_job(name="batches/job1")
    assert job.state.name == "JOB_STATE_RUNNING"
    assert genai.get_batch_job(name="batches/job1").error is not None


def test_a_batch_counts_its_requests(stub: StubServer) -> None:
    """The SDK drops batchStats."""
    stats = genai.get_batch_job(name="batches/job1").batch_stats
    assert (stats.request_count, stats.successful_request_count) == (3, 2)
    assert (stats.failed_request_count, stats.pending_request_count) == (1, 0)


def test_a_list_may_hold_prompts_and_requests(stub: StubServer) -> None:
    genai.create_batch_job(
        model="pocket-1", requests=["hello", {"contents": "bye", "metadata": {"key": "b"}}]
    )
    (body,) = [body for _, path, _, body in stub.calls if path.endswith(":batchGenerateContent")]
    assert b'"hello"' in body
    assert b'"key"' in body


def test_a_file_may_be_given_by_name(stub: StubServer) -> None:
    genai.create_batch_job(model="pocket-1", requests="files/u1")
    (body,) = [body for _, path, _, body in stub.calls if path.endswith(":batchGenerateContent")]
    assert b'"files/u1"' in body


def test_a_nameless_file_is_refused_before_any_call(stub: StubServer) -> None:
    with pytest.raises(ValueError, match="no name"):
        genai.create_batch_job(model="pocket-1", requests="")
    assert not stub.calls


def test_a_refusal_is_the_sdks_own_error(stub: StubServer) -> None:
    stub.refuse_create = (400, "INVALID_ARGUMENT", "Error on line 2: invalid JSON")
    with pytest.raises(errors.ClientError, match="Error on line 2"):
        genai.create_batch_job(model="pocket-1", requests="files/u1")


def test_files_and_batches_can_be_listed_and_removed(stub: StubServer, requests_file: Path) -> None:
    uploaded = genai.upload_file(path=requests_file)
    assert [file.name for file in genai.list_files()] == [uploaded.name]
    assert genai.get_file(name=uploaded.name or "").size_bytes == requests_file.stat().st_size
    stub.listed = [operation(name=f"batches/job{number}") for number in range(3)]
    assert len(list(genai.list_batch_jobs())) == 3
    genai.cancel_batch_job(name="batches/job1")
    genai.delete_batch_job(name="batches/job1")
    genai.delete_file(name=uploaded)
    assert [call[:2] for call in stub.calls[-3:]] == [
        ("POST", stub.calls[-3][1]),
        ("DELETE", stub.calls[-2][1]),
        ("DELETE", stub.calls[-1][1]),
    ]


def test_the_address_comes_from_the_environment(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFRATE_URL", stub.url)
    genai.configure()
    assert genai.get_batch_job(name="batches/job1").done


def test_the_key_is_sent(stub: StubServer) -> None:
    genai.configure(api_key="secret", base_url=stub.url)
    genai.get_batch_job(name="batches/job1")
    assert {headers["x-goog-api-key"] for _, _, headers, _ in stub.calls} == {"secret"}


async def test_the_same_to_await(stub: StubServer, requests_file: Path) -> None:
    stub.plan = [operation(), operation("RUNNING"), succeeded()]
    stub.files["files/batch-job1"] = b'{"key": "a"}\n'
    uploaded = await aio.upload_file(path=requests_file)
    job = await aio.create_batch_job(model="pocket-1", requests=uploaded, config={"display_name": "first"})
    while not job.done:
        job = await aio.get_batch_job(name=job.name)
    assert job.batch_stats.failed_request_count == 1
    assert job.result_file is not None
    assert (await aio.download_file(name=job.result_file)).read() == b'{"key": "a"}\n'


async def test_lists_and_removals_to_await(stub: StubServer, requests_file: Path) -> None:
    uploaded = await aio.upload_file(path=requests_file)
    assert [file.name async for file in aio.list_files()] == [uploaded.name]
    stub.listed = [operation(name=f"batches/job{number}") for number in range(3)]
    assert len([job async for job in aio.list_batch_jobs()]) == 3
    await aio.cancel_batch_job(name="batches/job1")
    await aio.delete_batch_job(name="batches/job1")
    await aio.delete_file(name=uploaded)
    assert stub.calls[-1][0] == "DELETE"


def test_every_function_has_its_twin_to_await() -> None:
    functions = {name for name in genai.__all__ if name.islower() and name != "configure"}
    assert functions == {name for name in vars(aio) if name in functions}
