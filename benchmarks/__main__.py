"""Runs every benchmark, or those named: `python -m benchmarks [NAME ...]`. Each prints its rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_PROGRAMS = ("__init__", "__main__", "capacity", "harness", "models", "workloads")


def main() -> None:
    """Run them one after the other, each in a process of its own, and fail if one does."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_PROGRAMS)
    chosen = sys.argv[1:] or found
    if unknown := [name for name in chosen if name not in found]:
        sys.exit(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(found)}.")
    failed = [name for name in chosen if not _succeeds(name)]
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


def _succeeds(name: str) -> bool:
    print(f"== {name}", file=sys.stderr, flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode == 0


if __name__ == "__main__":
    main()
