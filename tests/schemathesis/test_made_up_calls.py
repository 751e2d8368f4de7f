"""Calls made up from /openapi.json get no answer it does not name: a few here, more with `make schemathesis`.

``HALFRATE_SCHEMATHESIS`` is how many are made up for each operation, ``HALFRATE_SEED`` where chance begins.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.scripted_server import scripted_server

CONFIG = Path(__file__).parent / "schemathesis.toml"
CALLS = int(os.environ.get("HALFRATE_SCHEMATHESIS", "0"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
LINE = {"key": "a", "request": {"contents": [{"parts": [{"text": "Say one."}]}]}}
RUN_SECONDS = 1_800


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scripted_server(tmp_path_factory.mktemp("data"), "gemini-*") as url:
        yield url


def run(url: str, config: Path) -> None:
    """Make calls up, and fail with what schemathesis says of answers that are not as they should be."""
    phases = "examples,coverage,fuzzing" if CALLS else "examples,fuzzing"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    options = {
        "--checks": CHECKS,
        "--phases": phases,
        "--max-examples": str(CALLS or 3),
        "--seed": os.environ.get("HALFRATE_SEED", "1"),
        "--suppress-health-check": "filter_too_much",
    }
    done = subprocess.run(
        [*command, f"{url}/openapi.json", *(word for option in options.items() for word in option)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=config.parent,
        text=True,
        check=False,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout


def test_calls_about_what_is_there(url: str, tmp_path: Path) -> None:
    known = {"path.file": "questions", "path.batch": made_batch(url), "path.model": "pocket-1"}
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in known.items()]
    config = tmp_path / "schemathesis.toml"
    config.write_text("\n".join([CONFIG.read_text("utf-8"), "[parameters]", *lines]), "utf-8")
    run(url, config)


@pytest.mark.skipif(not CALLS, reason="make schemathesis")
def test_calls_about_anything(url: str, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.read_text("utf-8"), "utf-8")
    run(url, config)


def made_batch(url: str) -> str:
    """Upload files/questions, make a batch of it, and return its id."""
    with httpx.Client(base_url=url) as client:
        body = {"file": {"name": "files/questions", "mimeType": "jsonl"}}
        start = client.post("/upload/v1beta/files", json=body, headers={"X-Goog-Upload-Command": "start"})
        steps = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
        client.post(start.headers["x-goog-upload-url"], content=json.dumps(LINE), headers=steps)
        made = client.post(
            "/v1beta/models/pocket-1:batchGenerateContent",
            json={"batch": {"inputConfig": {"fileName": "files/questions"}}},
        )
        return str(made.json()["name"]).removeprefix("batches/")
