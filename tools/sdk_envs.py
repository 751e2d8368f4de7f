"""Make the environments the SDK scenarios run in: one per Python SDK version, one for each other client.

    python tools/sdk_envs.py            make what is missing, print where each environment is
    python tools/sdk_envs.py --refresh  look for a newer newest version as well

An environment is made once and kept under ``.cache/sdk`` (or ``$HALFRATE_SDK_CACHE``). Packages come from
whatever index pip and npm are set up to use. Without one that answers, `Unreachable` is raised.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

PYTHON_VERSIONS = ("1.45.0", "1.75.0", "2.34.0", "newest")
"""Versions of google-genai: the oldest that must work, the last of each line, and whatever is newest."""

LANGCHAIN_VERSION = "4.4.2"
"""The version of langchain-google-genai."""

POSTMAN_VERSION = "6.3.3"
"""The version of openapi-to-postmanv2, with which Postman imports an OpenAPI document."""

INSOMNIA_VERSION = "3.6.0"
"""The version of insomnia-importers, with which Insomnia imports an OpenAPI document."""

INSPECT_VERSION = "0.3.285"
"""The version of inspect-ai, which evaluates models in batches."""

JAVASCRIPT_VERSION = "2.32.0"
"""The version of @google/genai."""

CACHE = Path(os.environ.get("HALFRATE_SDK_CACHE") or Path(__file__).parents[1] / ".cache" / "sdk").absolute()
INSTALL_SECONDS_MAX = 600


class Unreachable(Exception):
    """The package index does not answer, so an environment cannot be made."""


def python_env(version: str) -> Path:
    """Return the interpreter of an environment with this version of google-genai, made if need be.

    Raise `Unreachable` if there is no index to make it from.
    """
    wanted = "google-genai" if version == "newest" else f"google-genai=={version}"
    return _environment(f"python-{version}", wanted, "aiohttp")


def langchain_env() -> Path:
    """Return the interpreter of an environment with langchain-google-genai. Raises as `python_env` does."""
    return _environment(f"langchain-{LANGCHAIN_VERSION}", f"langchain-google-genai=={LANGCHAIN_VERSION}")


def inspect_env() -> Path:
    """Return the interpreter of an environment with inspect-ai. Raises as `python_env` does."""
    return _environment(
        f"inspect-{INSPECT_VERSION}", f"inspect-ai=={INSPECT_VERSION}", "openai", "google-genai"
    )


def _environment(name: str, *wanted: str) -> Path:
    folder = CACHE / name
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (folder / "ready").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _install([*pip, "install", *wanted])
    (folder / "ready").touch()
    return python


def javascript_env() -> Path:
    """Return a folder in whose ``node_modules`` @google/genai is, made if need be.

    Raise `Unreachable` if there is no index to make it from.
    """
    return _node_folder(f"javascript-{JAVASCRIPT_VERSION}", f"@google/genai@{JAVASCRIPT_VERSION}")


def postman_env() -> Path:
    """Return a folder in whose ``node_modules`` openapi-to-postmanv2 is. Raises as `javascript_env` does."""
    return _node_folder(f"postman-{POSTMAN_VERSION}", f"openapi-to-postmanv2@{POSTMAN_VERSION}")


def insomnia_env() -> Path:
    """Return a folder in whose ``node_modules`` insomnia-importers is. Raises as `javascript_env` does."""
    return _node_folder(f"insomnia-{INSOMNIA_VERSION}", f"insomnia-importers@{INSOMNIA_VERSION}")


def _node_folder(name: str, wanted: str) -> Path:
    folder = CACHE / name
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    npm = shutil.which("npm") or "npm"
    _install([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", wanted])
    (folder / "ready").touch()
    return folder


_NO_INDEX = re.compile(
    "NewConnectionError|NameResolutionError|ConnectTimeout|Max retries exceeded|Failed to establish"
    "|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH"
)


def _install(command: list[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS_MAX,
        check=False,
    )
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip()
    if _NO_INDEX.search(said):
        raise Unreachable(f"The package index does not answer: {said[-400:]}")
    raise RuntimeError(f"{' '.join(command)} failed: {said[-2000:]}")


def _main(arguments: list[str]) -> None:
    if "--refresh" in arguments:
        (CACHE / "python-newest" / "ready").unlink(missing_ok=True)
    for version in PYTHON_VERSIONS:
        print(f"python {version}: {python_env(version)}")
    print(f"langchain {LANGCHAIN_VERSION}: {langchain_env()}")
    print(f"javascript {JAVASCRIPT_VERSION}: {javascript_env()}")
    print(f"postman {POSTMAN_VERSION}: {postman_env()}")
    print(f"insomnia {INSOMNIA_VERSION}: {insomnia_env()}")
    print(f"inspect {INSPECT_VERSION}: {inspect_env()}")


if __name__ == "__main__":
    _main(sys.argv[1:])
