"""`halfrate doctor`: what this machine and this installation can do, and whether what is stored is whole."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halfrate.cli.connect import connect
from halfrate.cli.console import write_json
from halfrate.cli.exits import Exit
from halfrate.cli.inspection import Finding, inspection
from halfrate.cli.loop import run_async
from halfrate.cli.options import DEFAULT_URL, Config, Data, Json, Url
from halfrate.domain.errors import HalfrateError

if TYPE_CHECKING:
    from halfrate.config import ModelConfig

FREE_BYTES_MIN = 2 << 30
MEMORY_BYTES_MIN = 2 << 30


def doctor(
    *,
    data: Data = None,
    config: Config = None,
    url: Url = DEFAULT_URL,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the stored bytes.")] = False,
    as_json: Json = False,
) -> None:
    """Say what this machine and this installation can do, and check everything that is stored."""
    machine = chain(_installation(), _machine(), _settings(config, data), _server(url))
    findings = []
    for finding in chain(machine, inspection(config, data, quick=quick)):
        findings.append(finding)
        if not as_json:
            print(f"{finding.verdict:4}  {finding.subject:9}  {finding.detail}", flush=True)
    if as_json:
        write_json({"findings": [asdict(finding) for finding in findings]})
    bad = any(finding.verdict == "bad" for finding in findings)
    raise typer.Exit(Exit.FAILED if bad else Exit.OK)


def _installation() -> Iterator[Finding]:
    yield Finding("ok", "halfrate", f"{_version('halfrate')} on Python {platform.python_version()}")
    yield _database()
    yield _engine()
    yield Finding("ok", "SDK", f"google-genai {_version('google-genai')}")


def _database() -> Finding:
    try:
        import apsw  # noqa: PLC0415
    except ImportError as error:
        return Finding("bad", "database", f"apsw cannot be loaded: {error}. Install halfrate again.")
    return Finding("ok", "database", f"SQLite {apsw.sqlite_lib_version()}")


def _engine() -> Finding:
    # In a process of its own: native code that does not suit this machine may abort.
    loaded = subprocess.run(
        [sys.executable, "-c", "import openvino_genai"], capture_output=True, text=True, check=False
    )
    if loaded.returncode != 0:
        last = (loaded.stderr.strip().splitlines() or [f"exit code {loaded.returncode}"])[-1]
        return Finding("bad", "engine", f"OpenVINO GenAI cannot be loaded: {last}")
    versions = {name: _version(name) for name in ("openvino", "openvino-genai", "openvino-tokenizers")}
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    if len({tuple(number.split(".")[:3]) for number in versions.values()}) > 1:
        return Finding(
            "bad", "engine", f"these do not fit together: {told}. Install the same release of each."
        )
    return Finding("ok", "engine", told)


def _machine() -> Iterator[Finding]:
    yield Finding("ok", "processor", f"{os.cpu_count()} threads, {_processor_abilities()}")
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    verdict = "ok" if memory_bytes >= MEMORY_BYTES_MIN else "note"
    yield Finding(verdict, "memory", f"{memory_bytes / (1 << 30):.1f} GiB")


def _processor_abilities() -> str:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return platform.machine()
    # What the engine computes with, if it is there.
    known = {
        "avx2": "AVX2",
        "avx512f": "AVX-512",
        "avx512_vnni": "VNNI",
        "avx512_bf16": "BF16",
        "amx_tile": "AMX",
    }
    return ", ".join([platform.machine(), *(name for flag, name in known.items() if flag in flags)])


def _settings(config: Path | None, data: Path | None) -> Iterator[Finding]:
    from halfrate.cli.settings import settings  # noqa: PLC0415

    try:
        loaded = settings(config=config, data=data, model=None)
    except HalfrateError as error:
        yield Finding("bad", "settings", str(error))
        return
    yield Finding("ok", "settings", f"from {config}" if config else "the defaults")
    for name, entry in loaded.models.items():
        yield _model(name, entry)
    yield _data_directory(loaded.data_path)


def _model(name: str, entry: ModelConfig) -> Finding:
    from halfrate.cli.settings import check_model  # noqa: PLC0415

    try:
        if entry.upstream is not None:
            return Finding("ok", "model", f"{name}: {_upstream(entry)}")
        check_model(entry.path)
    except HalfrateError as error:
        return Finding("bad", "model", f"{name}: {error}")
    return Finding("ok", "model", f"{name}: {entry.path}{_tuning(entry.path)}")


def _upstream(entry: ModelConfig) -> str:
    """Ask an upstream what it is. Raise `Unreachable`, `EngineBroken` or `ConfigError`."""
    from halfrate.app import look_at_upstream  # noqa: PLC0415 - the HTTP client

    facts = run_async(look_at_upstream(entry))
    counts = "counted" if facts.counts_exactly else "estimated"
    made = (
        f"{facts.dimensions} dimensions"
        if facts.dimensions
        else f"{facts.context_tokens:,} tokens of context"
    )
    return f"{entry.where} answers with {facts.model_version}, {made}, prompts {counts}"


def _tuning(model: str) -> str:
    from halfrate.engines.embedded.loading import known_tuning  # noqa: PLC0415 - msgspec takes 30 ms

    found = known_tuning(model)
    return "" if found is None else f", measured to run best with {found}"


def _data_directory(path: Path) -> Finding:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding("bad", "data", f"{path} cannot be written. Choose another directory with --data.")
    free_bytes = shutil.disk_usage(existing).free
    verdict = "ok" if free_bytes >= FREE_BYTES_MIN else "note"
    return Finding(verdict, "data", f"{path}, {free_bytes / (1 << 30):.1f} GiB free")


def _server(url: str) -> Iterator[Finding]:
    try:
        names = [model.name for model in connect(url).models()]
    except HalfrateError as error:
        yield Finding("note", "server", str(error))
    else:
        yield Finding("ok", "server", f"{url} answers for {', '.join(names) or 'no model'}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
