"""What is worked out of a model once and kept: its graph in OpenVINO's format, and its best settings.

All of it can be made again, so nothing here fails for want of a disk: what cannot be kept is made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

_SAMPLE_BYTES = 1 << 20
_TUNING = "tuning.json"
_GRAPH = "graph"
_HALF_SECONDS = 3600.0  # nobody takes this long to write a graph


def kept_folder() -> Path:
    """Where it is kept unless someone says otherwise: in the user's folder for such things."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(caches) / "halfrate" / "models"


class Kept:
    """What is kept of one model, for this machine and the installed versions of OpenVINO."""

    def __init__(self, root: Path, weights: Path) -> None:
        self._weights = weights
        self.path = root / f"{weights.stem}-{_digest(weights)}"

    def tuning(self) -> dict[str, object] | None:
        """What was measured and found best, None if nothing was yet."""
        try:
            found = json.loads((self.path / _TUNING).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep_tuning(self, found: Mapping[str, object]) -> None:
        """Keep it, if there is room."""
        with suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            new = self.path / f"{_TUNING}.{os.getpid()}"
            new.write_text(json.dumps(found, indent=1))
            new.replace(self.path / _TUNING)

    def graph(self, save: Callable[[Path], None]) -> Path | None:
        """The folder with the model in OpenVINO's format; ``save`` makes it. None if it cannot be kept.

        ``save`` is given a link to the weights in an empty folder, and leaves the graph beside it. It may
        raise as it likes, and may be killed: what is half done is never taken for the whole.
        """
        graph = self.path / _GRAPH
        if graph.is_dir():
            return graph
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._remove_halves()
            if shutil.disk_usage(self.path).free < 2 * self._weights.stat().st_size:
                return None
            with tempfile.TemporaryDirectory(dir=self.path, prefix="new-") as made:
                link = Path(made) / _GRAPH / self._weights.name
                link.parent.mkdir()
                link.symlink_to(self._weights.resolve())
                save(link)
                link.unlink()
                link.parent.rename(graph)  # at once whole, whoever else does the same
        except OSError:
            pass  # somebody was faster, or there is no room
        return graph if graph.is_dir() else None

    def _remove_halves(self) -> None:
        """What others were killed over, some time ago."""
        for made in self.path.glob("new-*"):
            if made.stat().st_mtime < time.time() - _HALF_SECONDS:
                shutil.rmtree(made, ignore_errors=True)


def _digest(weights: Path) -> str:
    """A name that another model, another machine or another release does not have.

    The middle of the file is not read: it may be many gigabytes, and one that was changed has another time.
    """
    state = weights.stat()
    digest = hashlib.blake2b(digest_size=8)
    with weights.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, state.st_size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    made_of = (state.st_size, state.st_mtime_ns, *_machine(), version("openvino"), version("openvino-genai"))
    digest.update(repr(made_of).encode())
    return digest.hexdigest()


def _machine() -> tuple[object, ...]:
    return platform.machine(), _processor(), os.cpu_count()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
