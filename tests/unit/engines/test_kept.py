"""What is worked out of a model once, and kept."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from halfrate.domain.outcome import Finish
from halfrate.engines.embedded import calibration, loading, native
from halfrate.engines.embedded.calibration import Tuning, choose
from halfrate.engines.embedded.kept import Kept, kept_folder
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.batchers import Bench
from tests.engines import QUICK, ask, real_model, toy_model

DEFAULT = Tuning(1024, 64)
OTHER = Tuning(2048, 64)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"w" * 1000)
    return path


def saved(link: Path) -> None:
    (link.parent / "openvino_model.xml").write_text("a graph")


def test_a_graph_is_made_once(tmp_path: Path, weights: Path) -> None:
    graph = Kept(tmp_path, weights).graph(saved)
    assert graph is not None
    assert [path.name for path in graph.iterdir()] == ["openvino_model.xml"]
    assert Kept(tmp_path, weights).graph(lambda link: pytest.fail("made again")) == graph


@pytest.mark.parametrize("change", ["time", "content", "size"])
def test_other_weights_are_another_model(tmp_path: Path, weights: Path, change: str) -> None:
    before = Kept(tmp_path, weights).path
    stat = weights.stat()
    weights.write_bytes({"time": b"w" * 1000, "content": b"v" * 1000, "size": b"w" * 999}[change])
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + (change == "time")))
    assert Kept(tmp_path, weights).path != before


def test_another_release_of_openvino_is_another_model(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Kept(tmp_path, weights).path
    monkeypatch.setattr("halfrate.engines.embedded.kept.version", lambda package: "2027.1")
    assert Kept(tmp_path, weights).path != before


def test_what_is_half_done_is_never_taken_for_the_whole(tmp_path: Path, weights: Path) -> None:
    def dies(link: Path) -> None:
        saved(link)
        raise KeyboardInterrupt

    kept = Kept(tmp_path, weights)
    with pytest.raises(KeyboardInterrupt):
        kept.graph(dies)
    assert kept.graph(saved) is not None


def test_halves_that_a_killed_process_left_are_removed(tmp_path: Path, weights: Path) -> None:
    kept = Kept(tmp_path, weights)
    old, new = kept.path / "new-old", kept.path / "new-new"
    for half in (old, new):
        half.mkdir(parents=True)
    os.utime(old, (0, 0))
    kept.graph(saved)
    assert not old.exists()
    assert new.exists()


def test_without_room_nothing_is_kept(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1999))
    assert Kept(tmp_path, weights).graph(saved) is None
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2000))
    assert Kept(tmp_path, weights).graph(saved) is not None


def test_where_nothing_can_be_written_nothing_fails(tmp_path: Path, weights: Path) -> None:
    kept = Kept(weights, weights)  # a file where a folder should be
    kept.keep_tuning({"tuning": 1})
    assert kept.tuning() is None
    assert kept.graph(saved) is None


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{", b'{"tuning": 3}'])
def test_a_tuning_that_cannot_be_read_is_none(tmp_path: Path, weights: Path, damaged: bytes) -> None:
    kept = Kept(tmp_path, weights)
    kept.keep_tuning({"tuning": {"batched_tokens_max": 7, "sequences_max": 8}})
    assert calibration.known_tuning(kept) == Tuning(7, 8)
    (kept.path / "tuning.json").write_bytes(damaged)
    assert calibration.known_tuning(kept) is None


def test_only_a_clear_gain_is_worth_other_settings() -> None:
    assert choose({DEFAULT: 100.0, OTHER: 104.0}, default=DEFAULT) == DEFAULT
    assert choose({DEFAULT: 100.0, OTHER: 106.0}, default=DEFAULT) == OTHER
    assert choose({}, default=DEFAULT) == DEFAULT


def test_the_default_is_tried_first_and_nothing_twice() -> None:
    tried = list(calibration.candidates(EmbeddedSettings(threads=2)))
    assert tried[0] == DEFAULT
    assert len(set(tried)) == len(tried) > 3


def test_looking_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each candidate takes 8 of the 20 seconds: there is time for two."""
    now = [0.0]
    monkeypatch.setattr(calibration.time, "monotonic", lambda: now[0])
    loads: list[EmbeddedSettings] = []

    def rate(pipeline: object, sequences: int) -> float:
        now[0] += 8.0
        return 100.0 * len(loads)

    monkeypatch.setattr(calibration, "_rate", rate)
    kept = Kept(tmp_path, toy_model(tmp_path))
    found = calibration.tuned(EmbeddedSettings(), kept, loads.append)  # type: ignore[arg-type]
    assert len(loads) == 2
    assert found.batched_tokens_max == 2048
    assert kept.tuning() is not None


def test_a_model_is_measured_at_its_first_load_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pipeline, over a model so small that it has to be forced; nothing is left in a pipeline."""
    monkeypatch.setattr(calibration, "_RUN_SECONDS", 0.05)
    monkeypatch.setattr(calibration, "WEIGHTS_BYTES_MIN", 0)
    source = loading.find(str(toy_model(tmp_path)))
    settings = replace(QUICK, keep_in=str(tmp_path / "kept"))
    first_source, first = loading.prepare(source, settings)
    monkeypatch.setattr(calibration, "_rate", lambda *_: pytest.fail("measured again"))
    assert loading.prepare(source, settings) == (first_source, first)
    assert loading.prepare(source, replace(settings, calibrate=False))[1].calibrate is False


def test_a_tiny_model_is_neither_measured_nor_kept(tmp_path: Path) -> None:
    source = loading.find(str(toy_model(tmp_path)))
    settings = replace(QUICK, keep_in=str(tmp_path / "kept"))
    assert loading.prepare(source, settings) == (source, settings)
    assert not (tmp_path / "kept").exists()


def test_from_its_kept_graph_a_model_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends where it ended."""
    monkeypatch.setattr(calibration, "WEIGHTS_BYTES_MIN", 0)
    path = real_model()
    settings = replace(QUICK, keep_in=str(tmp_path), calibrate=False)
    source, _ = loading.prepare(loading.find(str(path)), settings)
    assert source.path.is_dir()
    assert source.name == path.stem
    graph, file = (Bench(tmp_path, settings, model_path=each) for each in (source.path, path))
    request = ask("Is this review good or bad? The strap broke.", temperature=0.0, max_output_tokens=200)
    answered = graph.answer(request)
    assert answered == file.answer(request)
    assert answered.finish is Finish.STOP


def test_a_file_that_cannot_be_loaded_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "WEIGHTS_BYTES_MIN", 0)

    def fails() -> object:
        raise RuntimeError("no such layer")

    source = loading.find(str(toy_model(tmp_path)))
    monkeypatch.setattr(native, "genai", fails)
    monkeypatch.setattr(loading, "_scheduler", lambda *_: None)
    settings = replace(QUICK, keep_in=str(tmp_path), calibrate=False)
    assert loading.prepare(source, settings)[0] == source


def test_it_is_kept_where_the_user_keeps_such_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert kept_folder() == Path("/var/caches/halfrate/models")
