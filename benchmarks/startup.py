"""How soon one can type: ``halfrate --help``, and a server that answers.

The other arms are what cannot be had faster: an empty Python process, and the model's load alone.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import socket
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import alternating, check, report, spread
from halfrate.config import pocket_model
from halfrate.engines.embedded.engine import EmbeddedEngine

HELP_SECONDS_MAX = 0.3
SERVE_SECONDS_MAX = 2.0


def seconds_of(*arguments: str) -> float:
    """Return how long a Python process with these arguments takes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def serve_seconds() -> tuple[float, float]:
    """Start a server; return the seconds until it answers, and until its model is loaded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "halfrate", "serve", "--port", str(port), "--data", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return _until(port, "/healthz", began), _until(port, "/readyz", began)
        finally:
            server.terminate()
            server.wait(timeout=30)


def _until(port: int, path: str, began: float) -> float:
    while time.perf_counter() - began < 60:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - began
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise TimeoutError(f"{path} did not answer within a minute")


async def load_seconds() -> float:
    """Load the demonstration model and nothing else; return the seconds."""
    began = time.perf_counter()
    async with EmbeddedEngine(pocket_model().path) as engine:
        await engine.ready()
        return time.perf_counter() - began


def main() -> int:
    """Measure, report, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    seconds_of("-m", "halfrate", "--help")  # the first run compiles
    measured: dict[str, list[float]] = {"help": [], "python": []}
    for arm in alternating("help", "python", options.rounds):
        measured[arm].append(seconds_of(*(("-m", "halfrate", "--help") if arm == "help" else ("-c", "pass"))))
    answers, ready, load = [], [], []
    for _ in range(max(3, options.rounds // 3)):
        first, second = serve_seconds()
        answers.append(first)
        ready.append(second)
        load.append(asyncio.run(load_seconds()))
    beyond_load = spread(ready)["median"] - spread(load)["median"]
    report(
        "startup",
        {
            "help_seconds": spread(measured["help"]),
            "python_seconds": spread(measured["python"]),
            "serve_answers_seconds": spread(answers),
            "serve_ready_seconds": spread(ready),
            "model_load_seconds": spread(load),
            "serve_ready_beyond_load_seconds": round(beyond_load, 4),
        },
    )
    quick = check(
        f"halfrate --help within {HELP_SECONDS_MAX} s",
        spread(measured["help"])["median"] <= HELP_SECONDS_MAX,
    )
    prompt = check(
        f"serve ready within {SERVE_SECONDS_MAX} s plus model load", beyond_load <= SERVE_SECONDS_MAX
    )
    return 0 if quick and prompt else 1


if __name__ == "__main__":
    sys.exit(main())
