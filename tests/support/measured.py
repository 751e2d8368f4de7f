"""Run one thing in a process of its own, and say how much memory it took at most.

``python -m tests.support.measured validate FILE`` runs `halfrate validate`; ``run FILE OUT`` answers a file
on an Engine that plays a script, passing over bad lines. The last line printed is a JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import ROOT

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Measured:
    """What came of it: what it told, and its peak."""

    told: list[str]
    peak_bytes: int


def measured(what: str, *paths: Path) -> Measured:
    """Do it, and wait for its end."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.measured", what, *map(str, paths)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return Measured(**json.loads(ended.stdout.splitlines()[-1]))


def validate(file: str) -> list[str]:
    from halfrate import cli  # noqa: PLC0415

    sys.argv = ["halfrate", "validate", file]
    with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.suppress(SystemExit):
        cli.main()
    return told.getvalue().splitlines()


def run(file: str, output: str) -> list[str]:
    from halfrate.config import Config, ModelConfig  # noqa: PLC0415
    from halfrate.engines.scripted import ScriptedEngine  # noqa: PLC0415
    from halfrate.offline import run_file  # noqa: PLC0415

    config = Config(models={"scripted": ModelConfig(path="scripted-1")})
    engine = ScriptedEngine(remember=False)
    work = run_file(
        config, Path(file), Path(output), model="scripted", keep_going=True, make_engine=lambda _: engine
    )
    counts = asyncio.run(work).counts
    return [f"{counts.succeeded} answered, {counts.failed} failed"]


if __name__ == "__main__":
    said = {"validate": validate, "run": run}[sys.argv[1]](*sys.argv[2:])
    peak_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"told": said, "peak_bytes": peak_kibibytes * 1024}))
