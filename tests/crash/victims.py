"""A server on one data directory and one port, killed and started again; and its children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.engines import alive
from tests.support.processes import END_SECONDS, ROOT, wait_until

KINDS = {"engine": "halfrate.engines.embedded.child", "worker": "halfrate.ingest.worker"}
"""What is in the command line of each kind of child."""


class Victim:
    """The server, through all its lives."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data = data
        self.asks = folder / "asks"
        self.restarts = -1
        self._log = (folder / "server.log").open("ab")
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it listens: where it listened before."""
        arguments = ("serve", "--json", "--port", str(self._port), "--data", str(self.data))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.counted_serve", *arguments],
            cwd=ROOT,
            env={**os.environ, "HALFRATE_ASKS": str(self.asks)},
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the server did not start: {Path(self._log.name).read_text()[-2_000:]}"
        self._port = int(json.loads(line)["url"].rpartition(":")[2])
        self.restarts += 1

    def kill(self) -> None:
        """Kill the server, start it again, and see its children end by themselves."""
        assert self._process is not None
        orphans = children(self.pid)
        self._process.kill()
        self._process.wait(END_SECONDS)
        self.start()
        wait_until(lambda: not any(alive(pid) for pid in orphans))

    def child(self, kind: str) -> int | None:
        """A running child of a kind."""
        found = (pid for pid, line in children(self.pid).items() if KINDS[kind] in line and alive(pid))
        return next(found, None)

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(END_SECONDS)


def children(parent: int) -> dict[int, str]:
    """The command line of every child of a process, by process id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(after_name[1]) == parent:
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, IndexError):  # it ended while we looked
            continue
    return found
