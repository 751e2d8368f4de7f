"""A real llama-server, from the `xllamacpp` package, in a process of its own.

python -m tests.support.llama_server MODEL.gguf PORT SLOTS CONTEXT_TOKENS [KEY]
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

import pytest

ROOT = Path(__file__).parents[2]
END_SECONDS = 30.0
LISTENS = "listens"


class LlamaServer:
    """Serves ``model`` from `up` to `down`. Each of its ``slots`` has ``context_tokens``."""

    def __init__(self, model: Path, *, slots: int, context_tokens: int, key: str | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v1"
        given = [str(model), str(self._port), str(slots), str(context_tokens), *([key] if key else [])]
        self._command = [sys.executable, "-m", "tests.support.llama_server", *given]
        self._process: Popen[str] | None = None

    def up(self, *, wait: bool = True) -> None:
        """Start it, and mostly wait until it listens."""
        self._process = Popen(self._command, cwd=ROOT, stdout=PIPE, stderr=DEVNULL, text=True)
        assert self._process.stdout is not None
        if wait:
            assert any(line.strip() == LISTENS for line in self._process.stdout), "llama-server ended"

    def hold(self) -> None:
        """Hold it still: what it is asked now, it neither answers nor refuses."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def down(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=END_SECONDS)
            self._process = None


@contextmanager
def llama_server(
    model: Path, *, slots: int = 4, context_tokens: int = 512, key: str | None = None
) -> Iterator[LlamaServer]:
    """Have one until left. Skips the test where the package is not installed."""
    pytest.importorskip("xllamacpp", reason="xllamacpp, which has a llama-server, is not installed")
    server = LlamaServer(model, slots=slots, context_tokens=context_tokens, key=key)
    server.up()
    try:
        yield server
    finally:
        server.down()


def main(model: str, port: str, slots: str, context_tokens: str, *keys: str) -> None:
    """Serve until killed."""
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = int(slots)
    params.n_ctx = int(slots) * int(context_tokens)
    params.kv_unified = False
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.warmup = False
    params.verbosity = -1
    params.use_jinja = True
    params.endpoint_props = True
    params.api_keys = list(keys)
    # Bound to a name: it serves for as long as it is there.
    server = xllamacpp.Server(params)
    assert server.listening_address
    print(f"\n{LISTENS}", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
