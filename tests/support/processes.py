"""halfrate as its users run it: in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
END_SECONDS = 60.0
POLL_SECONDS = 0.01


def command(*arguments: object) -> list[str]:
    """Return the command line of halfrate with ``arguments``."""
    return [sys.executable, "-m", "halfrate", *map(str, arguments)]


def halfrate(*arguments: object, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run(command(*arguments), url=url)


def run(arguments: list[str], *, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, from the root of the project."""
    environment = {**os.environ, **({"HALFRATE_URL": url} if url else {})}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=END_SECONDS
    )


@dataclass(frozen=True)
class Server:
    """A running `halfrate serve`."""

    process: subprocess.Popen[bytes]
    url: str

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(END_SECONDS)


@contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    """Serve on a free port until left."""
    with subprocess.Popen(
        command("serve", "--port", 0, "--json", *arguments), stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the server ended before it listened"
            yield Server(process, json.loads(line)["url"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(END_SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when something another process does has happened: there is no event to await."""
    deadline = time.monotonic() + END_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(POLL_SECONDS)
