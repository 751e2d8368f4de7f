"""`halfrate run`: a file answered without a server, whatever happens meanwhile."""

import json
import signal
import subprocess
from pathlib import Path

from halfrate.offline import state_directory
from tests.end_to_end.conftest import MakeRequests, keys_of
from tests.support.processes import END_SECONDS, command, halfrate, wait_until


def segment_bytes(output: Path) -> int:
    """What an unfinished run has settled or is about to."""
    state = output.with_name(f".{output.name}.halfrate")
    return sum(path.stat().st_size for path in state.glob("blobs/**/segment*/**/*") if path.is_file())


def test_every_line_is_answered_in_order(toy: Path, make_requests: MakeRequests, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    ended = halfrate("run", make_requests(20), "-o", output, "-m", toy, "--json")
    assert ended.returncode == 0, ended.stderr
    assert keys_of(output.read_bytes()) == [f"k{number}" for number in range(20)]
    document = json.loads(ended.stdout)
    assert (document["succeeded"], document["outputTokens"]) == (20, 80)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "requests.jsonl"]


def test_a_model_file_that_is_no_model_is_told(make_requests: MakeRequests, tmp_path: Path) -> None:
    no_model = tmp_path / "notes.gguf"
    no_model.write_text("no model")
    ended = halfrate("run", make_requests(1), "-o", tmp_path / "out.jsonl", "-m", no_model)
    assert ended.returncode == 1
    assert "notes.gguf is no GGUF model" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_that_is_not_there_is_told_at_once(make_requests: MakeRequests, tmp_path: Path) -> None:
    ended = halfrate("run", make_requests(1), "-o", tmp_path / "out.jsonl", "-m", tmp_path / "nowhere.gguf")
    assert ended.returncode == 1
    assert "There is no model" in ended.stderr


def test_bad_lines_are_named_and_nothing_runs(toy: Path, make_requests: MakeRequests, tmp_path: Path) -> None:
    file = make_requests(3)
    file.write_text(file.read_text().replace('"key": "k1"', '"key": "k0"'))
    output = tmp_path / "out.jsonl"
    ended = halfrate("run", file, "-o", output, "-m", toy)
    assert ended.returncode == 1
    assert "Error on line 2" in ended.stderr
    assert not output.exists()
    assert not state_directory(output).exists()


def test_keep_going_makes_bad_lines_error_results(
    toy: Path, make_requests: MakeRequests, tmp_path: Path
) -> None:
    file = make_requests(2)
    file.write_text(file.read_text() + '{"key": "bad", "request": {"contents": 1}}\n')
    output = tmp_path / "out.jsonl"
    ended = halfrate("run", file, "-o", output, "-m", toy, "--keep-going")
    assert ended.returncode == 0, ended.stderr
    assert ["error" in json.loads(line) for line in output.read_text().splitlines()] == [False, False, True]


def test_a_killed_run_goes_on_where_it_was(toy: Path, make_requests: MakeRequests, tmp_path: Path) -> None:
    """Every Request has one Result, and is counted and paid for once."""
    file, output = make_requests(3_000, output_tokens=16), tmp_path / "out.jsonl"
    arguments = ("run", file, "-o", output, "-m", toy, "--json")
    with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_until(lambda: segment_bytes(output) > 20_000 or first.poll() is not None)
        first.kill()
    assert not output.exists(), "the run was over before it could be killed"

    ended = halfrate(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert keys_of(output.read_bytes()) == [f"k{number}" for number in range(3_000)]
    document = json.loads(ended.stdout)
    assert (document["succeeded"], document["outputTokens"]) == (3_000, 3_000 * 16)


def test_an_interrupted_run_says_how_to_go_on(toy: Path, make_requests: MakeRequests, tmp_path: Path) -> None:
    file, output = make_requests(3_000, output_tokens=16), tmp_path / "out.jsonl"
    with subprocess.Popen(command("run", file, "-o", output, "-m", toy), stderr=subprocess.PIPE) as run:
        wait_until(lambda: segment_bytes(output) > 0 or run.poll() is not None)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=END_SECONDS)
    assert run.returncode == 130
    assert b"Run the same command again" in said
    assert b"Traceback" not in said
