"""Results while their Job runs, as the official SDK and `halfrate results --follow` see them."""

import subprocess

from google import genai

from tests.end_to_end.conftest import MakeRequests, keys_of
from tests.engines import real_model
from tests.support.processes import END_SECONDS, ROOT, command, serving, wait_until

REQUESTS = 1_500


def test_the_sdk_reads_the_results_of_a_running_batch_in_its_own_way(tmp_path, make_requests: MakeRequests):
    real_model()
    source = make_requests(REQUESTS, output_tokens=16)
    with serving("--data", tmp_path / "data") as server:
        sdk = genai.Client(api_key="none", http_options={"base_url": server.url})
        uploaded = sdk.files.upload(file=str(source), config={"mime_type": "jsonl"})
        job = sdk.batches.create(model="gemini-2.5-flash", src=uploaded.name)
        assert job.dest is None or job.dest.file_name is None, "nothing is there before it runs"

        def has_some() -> bool:
            running = sdk.batches.get(name=job.name)
            named = running.dest is not None and running.dest.file_name
            return bool(named) and len(sdk.files.download(file=running.dest.file_name)) > 0

        wait_until(has_some)
        running = sdk.batches.get(name=job.name)
        assert (running.state.name, running.done) == ("JOB_STATE_RUNNING", False)
        so_far = keys_of(sdk.files.download(file=running.dest.file_name))
        assert 0 < len(so_far) < REQUESTS
        assert [int(key[1:]) for key in so_far] == sorted(int(key[1:]) for key in so_far)
        sdk.batches.cancel(name=job.name)
        wait_until(lambda: bool(sdk.batches.get(name=job.name).done))
        ended = sdk.batches.get(name=job.name)
        assert ended.dest.file_name == running.dest.file_name
        assert len(keys_of(sdk.files.download(file=ended.dest.file_name))) == REQUESTS


def test_following_survives_a_server_that_is_killed_and_gives_every_line_once(
    tmp_path, make_requests: MakeRequests
):
    real_model()
    source = make_requests(REQUESTS, output_tokens=8)
    arguments = ("--data", tmp_path / "data")
    output = tmp_path / "out.jsonl"
    with serving(*arguments) as server:
        submitted = subprocess.run(
            command("submit", source, "--url", server.url), capture_output=True, check=True, cwd=ROOT
        )
        job = submitted.stdout.decode().strip()
        port = server.url.rsplit(":", 1)[1]
        following = command("results", "--follow", job, "--url", server.url)
        with (
            subprocess.Popen([*following, "-o", output], cwd=ROOT) as to_file,
            subprocess.Popen(following, cwd=ROOT, stdout=subprocess.PIPE) as to_stdout,
        ):
            wait_until(lambda: output.exists() and output.stat().st_size > 0)
            server.kill()
            with serving(*arguments, "--port", port):
                printed, _ = to_stdout.communicate(timeout=END_SECONDS)
                assert to_file.wait(END_SECONDS) == to_stdout.returncode == 0
    for followed in (printed, output.read_bytes()):
        assert sorted(keys_of(followed)) == sorted(f"k{number}" for number in range(REQUESTS))
    assert not output.with_name(".out.jsonl.follow").exists()
