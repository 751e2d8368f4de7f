"""`halfrate serve` and the commands that speak to it."""

import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path

from tests.end_to_end.conftest import MakeRequests, keys_of
from tests.support.processes import Server, command, halfrate, serving, wait_until


def test_submit_watch_and_results(server: Server, make_requests: MakeRequests, tmp_path: Path) -> None:
    submitted = halfrate("submit", make_requests(5), url=server.url)
    assert submitted.returncode == 0, submitted.stderr
    name = submitted.stdout.strip()
    watched = halfrate("watch", name, "--json", url=server.url)
    assert watched.returncode == 0
    last = json.loads(watched.stdout.splitlines()[-1])
    assert (last["state"], last["succeeded"]) == ("SUCCEEDED", 5)
    assert last["costUsd"] != last["interactiveCostUsd"]
    assert keys_of(halfrate("results", name, url=server.url).stdout) == [f"k{n}" for n in range(5)]


def test_bad_lines_are_refused_with_their_numbers(server: Server, make_requests: MakeRequests) -> None:
    file = make_requests(3)
    file.write_text(file.read_text().replace('"contents"', '"kontents"', 1))
    ended = halfrate("submit", file, url=server.url)
    assert ended.returncode == 1
    assert "Error on line 1" in ended.stderr


def test_results_can_be_read_while_the_job_runs(
    server: Server, make_requests: MakeRequests, tmp_path: Path
) -> None:
    file = make_requests(3_000, output_tokens=16)
    name = halfrate("submit", file, url=server.url).stdout.strip()
    early: list[str] = []

    def some_results() -> bool:
        early[:] = keys_of(halfrate("results", name, url=server.url).stdout)
        return bool(early)

    wait_until(some_results)
    assert halfrate("cancel", name, url=server.url).returncode == 0
    watched = halfrate("watch", name, "--json", url=server.url)
    assert watched.returncode == 1
    assert json.loads(watched.stdout.splitlines()[-1])["state"] == "CANCELLED"
    results = [json.loads(line) for line in halfrate("results", name, url=server.url).stdout.splitlines()]
    assert [result["key"] for result in results] == [f"k{number}" for number in range(3_000)]
    answered = {result["key"] for result in results if "response" in result}
    assert set(early) <= answered


def test_a_deleted_job_is_gone(server: Server, make_requests: MakeRequests) -> None:
    name = halfrate("submit", make_requests(1), "--watch", "--json", url=server.url).stdout
    name = json.loads(name.splitlines()[-1])["name"]
    assert halfrate("delete", name, url=server.url).returncode == 0
    assert halfrate("watch", name, url=server.url).returncode == 1


def test_a_job_whose_model_is_gone_holds_up_no_other(
    toy: Path, make_requests: MakeRequests, tmp_path: Path
) -> None:
    """The settings changed between two starts; the old job can be cancelled, and new ones end."""
    no_model, settings, data = tmp_path / "old.gguf", tmp_path / "halfrate.toml", tmp_path / "data"
    no_model.write_text("no model")
    settings.write_text(f"[models.new]\npath = '{toy}'\n")
    with serving("--data", data, "-m", no_model) as first:
        old = halfrate("submit", make_requests(3), url=first.url).stdout.strip()
    with serving("--data", data, "--config", settings) as second:
        assert halfrate("cancel", old, url=second.url).returncode == 0
        assert "CANCELLED" in halfrate("watch", old, url=second.url).stderr
        assert halfrate("submit", make_requests(3), "--watch", url=second.url).returncode == 0


def test_each_line_is_answered_and_paid_as_the_model_it_names(toy: Path, tmp_path: Path) -> None:
    """Two models, each in a process of its own, work on one job; what they answer stays apart."""
    settings, requests = tmp_path / "halfrate.toml", tmp_path / "requests.jsonl"
    for name, price in (("first", 1_000_000), ("second", 40_000_000)):
        shutil.copy(toy, tmp_path / f"{name}-1.gguf")
        with settings.open("a") as file:
            file.write(f"[models.{name}]\npath = '{tmp_path / name}-1.gguf'\n")
            file.write(f"price = {{ input = {price}, output = {price} }}\n")
    names = [None, "models/second", "second", "first"] * 5
    with requests.open("w") as file:
        for number, name in enumerate(names):
            request = {"contents": [{"parts": [{"text": f"Prompt {number}"}]}]}
            config = {"generationConfig": {"maxOutputTokens": 4, "temperature": 0}}
            named = {} if name is None else {"model": name}
            file.write(json.dumps({"key": f"k{number}", "request": request | config | named}) + "\n")
    with serving("--data", tmp_path / "data", "--config", settings) as server:
        submitted = halfrate("submit", requests, "-m", "first", "--watch", "--json", url=server.url)
        assert submitted.returncode == 0, submitted.stderr
        job = json.loads(submitted.stdout.splitlines()[-1])
        lines = halfrate("results", job["name"], url=server.url).stdout.splitlines()
        answers = [json.loads(line)["response"] for line in lines]
        assert keys_of("\n".join(lines)) == [f"k{n}" for n in range(20)]
    versions = ["first-1" if name in {None, "first"} else "second-1" for name in names]
    assert [answer["modelVersion"] for answer in answers] == versions
    picos = sum(
        answer["usageMetadata"]["totalTokenCount"] * (40_000_000 if version == "second-1" else 1_000_000)
        for answer, version in zip(answers, versions, strict=True)
    )
    assert Decimal(job["interactiveCostUsd"]) == Decimal(picos) / 10**12


def test_a_port_in_use_is_told_before_anything_is_loaded(server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    ended = halfrate("serve", "--port", port, "--data", tmp_path / "data")
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert not (tmp_path / "data").exists()


def test_an_address_others_could_reach_is_refused(toy: Path, tmp_path: Path) -> None:
    ended = halfrate("serve", "--host", "0.0.0.0", "--data", tmp_path / "data", "-m", toy)
    assert ended.returncode == 1
    assert "no API keys" in ended.stderr


def test_two_servers_do_not_share_a_directory(toy: Path, tmp_path: Path) -> None:
    with serving("--data", tmp_path / "data", "-m", toy):
        ended = halfrate("serve", "--port", 0, "--data", tmp_path / "data", "-m", toy)
    assert ended.returncode == 1
    assert "uses the data directory" in ended.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    settings = tmp_path / "halfrate.toml"
    settings.write_text("[limits]\nactive_jobs = 'many'\n")
    ended = halfrate("serve", "--config", settings)
    assert ended.returncode == 1
    assert "limits.active_jobs" in ended.stderr


def test_it_stops_when_asked(toy: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        command("serve", "--port", 0, "--json", "--data", tmp_path / "data", "-m", toy),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"Stopped" in said
    assert b"Traceback" not in said


def test_doctor_finds_what_is_wrong(server: Server, tmp_path: Path) -> None:
    settings = tmp_path / "halfrate.toml"
    settings.write_text("[models.x]\npath = '/nowhere.gguf'\n")
    ended = halfrate("doctor", "--config", settings, "--data", tmp_path, "--json", url=server.url)
    assert ended.returncode == 1
    verdicts = {(found["verdict"], found["subject"]) for found in json.loads(ended.stdout)["findings"]}
    assert ("bad", "model") in verdicts
    assert ("ok", "server") in verdicts
    assert ("ok", "engine") in verdicts


def test_doctor_is_content_with_a_good_installation(server: Server, toy: Path, tmp_path: Path) -> None:
    settings = tmp_path / "halfrate.toml"
    settings.write_text(f"[models.toy]\npath = '{toy}'\n")
    ended = halfrate("doctor", "--config", settings, "--data", tmp_path, url=server.url)
    assert ended.returncode == 0, ended.stdout
