"""A server whose Engine plays a script: prints its URL, and runs until it is told to stop.

    python -m tests.support.scripted_server DATA_DIRECTORY [NAME ...]

Its model answers to pocket-1 and the names given; another one, embeddings-1, makes vectors.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

from halfrate.config import Config, ModelConfig
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine, echo
from halfrate.serve import serve

ROOT = Path(__file__).parents[2]
END_SECONDS = 60.0


@contextmanager
def scripted_server(data: Path, *names: str) -> Iterator[str]:
    """Serve in a process of its own until left; yield the URL."""
    command = [sys.executable, "-m", "tests.support.scripted_server", str(data), *names]
    with Popen(command, cwd=ROOT, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the server ended before it listened"
            yield url
        finally:
            process.terminate()
            process.wait(END_SECONDS)


def main(data: str, *names: str) -> None:
    """Serve on a free port."""
    config = Config(
        data_dir=data,
        models={
            "pocket-1": ModelConfig(path="scripted-1", aliases=names),
            "embeddings-1": ModelConfig(path="embeds", kind=Kind.EMBEDDING),
        },
    )
    asyncio.run(
        serve(
            config,
            host="127.0.0.1",
            port=0,
            on_started=lambda url: print(url, flush=True),
            make_engine=lambda entry: ScriptedEngine(
                echo, dimensions=8 if entry.kind is Kind.EMBEDDING else 0
            ),
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
