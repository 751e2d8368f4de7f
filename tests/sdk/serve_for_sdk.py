"""A server for the SDK scenarios: prints its URL, and runs until it is told to stop.

    python -m tests.sdk.serve_for_sdk DATA_DIRECTORY

With the demonstration model where it is there; else with an Engine that plays a script.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from halfrate.app import MakeEngine, embedded_engine
from halfrate.config import Config, ModelConfig, pocket_model
from halfrate.domain.outcome import Answered, Finish, Outcome
from halfrate.domain.request import Request
from halfrate.domain.usage import Usage
from halfrate.engines.scripted import ScriptedEngine, count_words, echo
from halfrate.serve import serve


def play(request: Request) -> Outcome:
    """Answer with the prompt, or with an instance of the schema that the scenarios ask for."""
    if request.sampling.json_schema is None:
        return echo(request)
    text = json.dumps({"name": "Brie", "soft": True})
    return Answered.of(text, Finish.STOP, Usage(count_words(request), len(text.split())))


def scripted(_: ModelConfig) -> ScriptedEngine:
    """Make an Engine slow enough that a Job can be cancelled."""
    return ScriptedEngine(play, delay_seconds=0.01)


def main(data: str) -> None:
    """Serve on a free port."""
    model = pocket_model()
    make_engine: MakeEngine = embedded_engine if Path(model.path).is_file() else scripted
    config = Config(data_dir=data, models={"pocket-1": model})
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
    main(sys.argv[1])
