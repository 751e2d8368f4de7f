"""The memory of a server and of every process it started, read from /proc while it works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOOK_SECONDS = 0.05
ENGINE = b"halfrate.engines.embedded.child"


class Peak:
    """``rss_bytes`` is the largest sum seen, of the processes but the one that holds the model."""

    def __init__(self) -> None:
        self.rss_bytes = 0


@contextmanager
def watched(pid: int) -> Iterator[Peak]:
    """Look at a process and its descendants until left."""
    peak, left = Peak(), threading.Event()

    def look() -> None:
        while not left.wait(LOOK_SECONDS):
            peak.rss_bytes = max(peak.rss_bytes, sum(_rss_bytes(one) for one in _family(pid)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        left.set()
        watcher.join()


def _family(pid: int) -> Iterator[int]:
    """Yield a process and what it started, without the Engine's."""
    with suppress(OSError):
        if ENGINE in Path(f"/proc/{pid}/cmdline").read_bytes():
            return
        yield pid
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _rss_bytes(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024
    return 0
