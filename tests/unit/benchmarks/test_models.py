"""Models of random weights can be loaded, and their answers compared."""

from __future__ import annotations

from pathlib import Path

from benchmarks import models
from halfrate.domain.outcome import Answered
from halfrate.engines.embedded import EmbeddedEngine, gguf
from tests.engines import QUICK, ask

TINY = models.Shape(layers=2, heads=2, kv_heads=1, hidden=128, words=64)


def test_equal_shapes_make_equal_files(tmp_path: Path) -> None:
    models.write(tmp_path / "one.gguf", TINY)
    models.write(tmp_path / "other.gguf", TINY)
    assert (tmp_path / "one.gguf").read_bytes() == (tmp_path / "other.gguf").read_bytes()
    models.write(tmp_path / "other.gguf", TINY, seed=2)
    assert (tmp_path / "one.gguf").read_bytes() != (tmp_path / "other.gguf").read_bytes()


def test_a_file_has_the_weights_its_shape_says(tmp_path: Path) -> None:
    path = models.path_of(TINY, folder=tmp_path)
    tensors = gguf.read(path).tensors
    assert tensors["blk.1.ffn_down.weight"].shape == (TINY.width, TINY.hidden)
    assert path.stat().st_size >= 2 * TINY.parameters
    assert models.path_of(TINY, folder=tmp_path) == path


async def test_a_text_has_as_many_tokens_as_characters_and_an_answer_no_more_than_asked(
    tmp_path: Path,
) -> None:
    """Workloads count their shared beginnings in characters."""
    text = "aa  b\n\nThe total of column 12: 3.50, x_y (z) "
    async with EmbeddedEngine(models.path_of(TINY, folder=tmp_path), settings=QUICK) as engine:
        outcomes = [
            await engine.answer(ask(each, system=system, temperature=0.0, max_output_tokens=5))
            for each, system in ((text, None), (text, text), (text + "b", None))
        ]
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
    assert [answer.usage.input_tokens for answer in answers] == [
        len(text) + 3,
        2 * len(text) + 5,
        len(text) + 4,
    ]
    assert {answer.usage.output_tokens for answer in answers} == {5}
