"""The programs in examples/, run as a reader runs them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from halfrate.client import Client
from halfrate.domain.errors import Unreachable
from tests.end_to_end.conftest import MakeRequests, keys_of
from tests.support.processes import END_SECONDS, ROOT, Server, run

EXAMPLES = ROOT / "examples"


def test_the_tutorial_prints_every_result(server: Server, make_requests: MakeRequests) -> None:
    ended = run([sys.executable, "examples/tutorial.py", str(make_requests(3))], url=server.url)
    assert ended.returncode == 0, ended.stderr
    results = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    assert keys_of("\n".join(results)) == ["k0", "k1", "k2"]


def test_the_quickstart_prints_every_result(server: Server) -> None:
    ended = run([sys.executable, "examples/quickstart.py"], url=server.url)
    assert ended.returncode == 0, ended.stderr
    asked = (EXAMPLES / "batch_requests.jsonl").read_bytes()
    assert keys_of(ended.stdout.strip()) == keys_of(asked)


def test_the_demo_shows_prompts_answers_and_the_saving(
    toy: Path, make_requests: MakeRequests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    ended = run([sys.executable, "examples/demo.py", "-m", str(toy), str(make_requests(3))])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "    > Prompt 2" in ended.stdout
    assert "3 answered, 0 with errors" in ended.stdout
    assert "interactively: $0.0000" in ended.stdout
    assert list(temporary.iterdir()) == []


def test_the_demo_says_why_its_server_did_not_start(tmp_path: Path) -> None:
    ended = run([sys.executable, "examples/demo.py", "-m", str(tmp_path / "nowhere.gguf")])
    assert ended.returncode == 1
    assert "nowhere.gguf" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_tells_what_the_server_refuses(toy: Path, make_requests: MakeRequests) -> None:
    file = make_requests(1)
    file.write_text("no JSON\n")
    ended = run([sys.executable, "examples/demo.py", "-m", str(toy), str(file)])
    assert ended.returncode == 1
    assert "The server refused: Error on line 1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_can_be_interrupted(
    toy: Path, make_requests: MakeRequests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C stops the server in order and leaves nothing behind."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    file = make_requests(3_000, output_tokens=64)
    arguments = [sys.executable, "-u", "examples/demo.py", "-m", str(toy), str(file)]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        url = demo.stdout.readline().decode().split()[-1]
        assert any(line.startswith(b"Created") for line in demo.stdout)
        demo.send_signal(signal.SIGINT)
        _, said = demo.communicate(timeout=END_SECONDS)
    assert demo.returncode == 1
    assert b"nothing is left behind" in said
    assert list(temporary.iterdir()) == []
    with pytest.raises(Unreachable):
        list(Client(url).models())
