"""The official SDKs and other clients, unmodified, against a real server of ours in a process of its own.

Skipped only where the package index cannot be reached to install them; with HALFRATE_SDK_REQUIRED set,
as in CI, that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import sdk_envs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCENARIO_SECONDS = 900
START_SECONDS = 120

pytestmark = pytest.mark.sdk


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from serving(tmp_path_factory.mktemp("data"))


def serving(data: Path, *arguments: str) -> Iterator[str]:
    """Yield the URL of a server in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.serve_for_sdk", str(data), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        started = server.stdout.readline().strip()
        assert started.startswith("http://127.0.0.1:"), f"the server did not start: {started!r}"
        yield started
    finally:
        server.terminate()
        server.wait(timeout=30)


def run(*command: str) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GOOGLE_", "GEMINI_", "PYTHON"))
    }
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SCENARIO_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def skip(reason: str) -> None:
    if os.environ.get("HALFRATE_SDK_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("client", ["sync", "aio", "aio without-aiohttp"])
@pytest.mark.parametrize("version", sdk_envs.PYTHON_VERSIONS)
def test_the_python_sdk(url, version, client):
    try:
        python = sdk_envs.python_env(version)
    except sdk_envs.Unreachable as error:
        skip(str(error))
    run(str(python), str(HERE / "scenarios.py"), url, *client.split())


def test_the_javascript_sdk(url):
    node = shutil.which("node")
    if node is None:
        skip("node is not installed")
    try:
        folder = sdk_envs.javascript_env()
    except sdk_envs.Unreachable as error:
        skip(str(error))
    run(str(node), str(HERE / "scenarios.mjs"), url, str(folder))


def test_langchain(url):
    try:
        python = sdk_envs.langchain_env()
    except sdk_envs.Unreachable as error:
        skip(str(error))
    run(str(python), str(HERE / "langchain_scenarios.py"), url)


def test_inspect(url, tmp_path):
    try:
        python = sdk_envs.inspect_env()
    except sdk_envs.Unreachable as error:
        skip(str(error))
    run(str(python), str(HERE / "inspect_scenarios.py"), url, str(tmp_path))


@pytest.mark.parametrize(
    ("make", "program"),
    [
        (sdk_envs.postman_env, "import_into_postman.mjs"),
        (sdk_envs.insomnia_env, "import_into_insomnia.mjs"),
    ],
    ids=["Postman", "Insomnia"],
)
def test_api_tools_import_the_document(url, make, program):
    node = shutil.which("node")
    if node is None:
        skip("node is not installed")
    try:
        folder = make()
    except sdk_envs.Unreachable as error:
        skip(str(error))
    run(str(node), str(HERE / program), url, str(folder))
