"""A server for the SDK scenarios: prints its URL, and runs until it is told to stop.

    python -m tests.sdk.serve_for_sdk DATA_DIRECTORY [scripted]

With the demonstration model and the embedding model where they are; else with Engines that play a script.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from halfrate.app import embedded_engine
from halfrate.config import MINILM, Config, ModelConfig, minilm_model, pocket_model
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Answered, Finish, Outcome
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.api import Engine
from halfrate.engines.scripted import ScriptedEngine, count_words, echo
from halfrate.serve import serve


def play(request: Request) -> Outcome:
    """Answer with the prompt, or with an instance of the schema that the scenarios ask for."""
    if request.sampling.json_schema is None:
        return echo(request)
    text = json.dumps({"name": "Brie", "soft": True})
    return Answered.of(text, Finish.STOP, Usage(count_words(request), len(text.split())))


EMBEDDER = ModelConfig(path="scripted", kind=Kind.EMBEDDING, aliases=("gemini-embedding-*",))


def scripted(entry: ModelConfig) -> ScriptedEngine:
    """Make an Engine slow enough that a Job can be cancelled."""
    dimensions = 384 if entry.kind is Kind.EMBEDDING else 0
    return ScriptedEngine(play, delay_seconds=0.01, dimensions=dimensions)


def engine_of(entry: ModelConfig) -> Engine:
    """Make the real Engine of a model that is there."""
    return embedded_engine(entry) if Path(entry.path).exists() else scripted(entry)


def main(data: str, how: str = "") -> None:
    """Serve on a free port; with Engines that play scripts alone if ``how`` is ``scripted``."""
    make_engine = scripted if how == "scripted" else engine_of
    model = pocket_model()
    config = Config(data_dir=data, models={"pocket-1": model, MINILM: minilm_model() or EMBEDDER})
    asyncio.run(
        serve(
            config,
            host="127.0.0.1",
            port=0,
            on_started=lambda url: print(url, flush=True),
            make_engine=make_engine,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
