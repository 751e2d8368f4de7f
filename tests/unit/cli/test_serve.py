"""What `halfrate serve` says of its models, and which of them the demonstration asks."""

from __future__ import annotations

import importlib.util
import json
from contextlib import contextmanager

import pytest

from halfrate.config import MINILM, POCKET, ModelConfig
from halfrate.domain.kind import Kind
from tests.support.processes import ROOT


@pytest.fixture
def started(halfrate, monkeypatch, tmp_path):
    """What a server says that serves what it does by default, with the package of the other model."""

    async def serve(config, *, host, port, on_started):
        on_started("http://localhost:1")

    embedding = ModelConfig(path="somewhere", kind=Kind.EMBEDDING)
    monkeypatch.setattr("halfrate.config.minilm_model", lambda: embedding)
    monkeypatch.setattr("halfrate.serve.serve", serve)
    monkeypatch.chdir(tmp_path)
    ended = halfrate("serve", "--json", "--data", tmp_path / "data")
    assert ended.code == 0, ended.err
    return json.loads(ended.out.splitlines()[0])


def test_models_are_named_in_their_order(started):
    assert started["models"] == [POCKET, MINILM]
    assert sorted(started["models"]) != started["models"], "by name, the other one would be the first"


def test_the_demonstration_asks_the_model_that_writes(started, monkeypatch):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    asked = []

    @contextmanager
    def server(folder, model):
        yield started

    def run_batch(url, model, file):
        asked.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "server", server)
    monkeypatch.setattr(demo, "run_batch", run_batch)
    monkeypatch.setattr("sys.argv", ["demo.py"])
    with pytest.raises(SystemExit):
        demo.main()
    assert asked == [POCKET]
