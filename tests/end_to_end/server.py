"""A real server in a process of its own, as a user starts it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS_MAX = 120


class Server:
    """One ``halfrate serve``. Its engine processes are its children."""

    def __init__(self, data: Path, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (data.parent / "server.log").open("ab")
        command = [sys.executable, "-m", "halfrate", "serve", "--port", str(self.port), "--data", str(data)]
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_COLOR": "1"},
        )
        self._await("/readyz")

    def kill(self) -> None:
        """End it as a power cut would: no goodbye, nothing flushed."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        status = self._process.wait(timeout=60)
        self._log.close()
        return status

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON at a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200, (response.status, body)
            answer = json.loads(body)
            assert isinstance(answer, dict)
            return answer
        finally:
            connection.close()

    def _await(self, path: str) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}")
            try:
                self.get(path)
            except (OSError, AssertionError):
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise TimeoutError(f"{path} did not answer in {START_SECONDS_MAX} s")


@contextmanager
def serving(data: Path, *arguments: str) -> Iterator[Server]:
    """Run a server for the length of a block."""
    server = Server(data, *arguments)
    try:
        yield server
    finally:
        server.stop()
