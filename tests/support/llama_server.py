"""A real llama-server, from the `xllamacpp` package, in a process of its own: prints its URL when it listens.

    python -m tests.support.llama_server MODEL.gguf SLOTS CONTEXT_TOKENS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

ROOT = Path(__file__).parents[2]
END_SECONDS = 30.0


@contextmanager
def llama_server(model: Path, *, slots: int, context_tokens: int, key: str | None = None) -> Iterator[str]:
    """Serve ``model`` until left; yield the base URL. Each of ``slots`` has ``context_tokens``."""
    command = [
        sys.executable,
        "-m",
        "tests.support.llama_server",
        str(model),
        str(slots),
        str(context_tokens),
        *([key] if key else []),
    ]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            url = next((line.strip() for line in process.stdout if line.startswith("http://")), "")
            assert url, "llama-server ended before it listened"
            yield f"{url}/v1"
        finally:
            process.kill()
            process.wait(END_SECONDS)


def main(model: str, slots: str, context_tokens: str, *keys: str) -> None:
    """Serve on a free port until killed."""
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = int(slots)
    params.n_ctx = int(slots) * int(context_tokens)
    params.kv_unified = False
    params.n_predict = -1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.warmup = False
    params.verbosity = -1
    params.use_jinja = True
    params.endpoint_props = True
    params.api_keys = list(keys)
    server = xllamacpp.Server(params)
    print(f"\n{server.listening_address}", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
