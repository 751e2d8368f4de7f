"""A running application on a scripted engine."""

from contextlib import asynccontextmanager

import pytest

from halfrate.app import open_app
from halfrate.config import Config, DispatchConfig, Limits, ModelConfig
from halfrate.engines.scripted import ScriptedEngine


@pytest.fixture
def start(tmp_path):
    """Open an application on one data directory, as often as a test likes."""

    @asynccontextmanager
    async def start(engine=None, *, model="pocket-1", limits=None, dispatch=None, clock=None):
        config = Config(
            data_dir=str(tmp_path / "data"),
            models={model: ModelConfig(path="pocket-1.gguf", aliases=("gemini-*", "pocket-*"))},
            limits=limits or Limits(),
            dispatch=dispatch or DispatchConfig(backoff_seconds=0.001),
        )
        engine = engine or ScriptedEngine()
        async with open_app(config, make_engine=lambda entry: engine, clock=clock) as app:
            yield app
            assert await app.store.check_integrity() == []

    return start
