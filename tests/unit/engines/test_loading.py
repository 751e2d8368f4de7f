"""From what the user calls a model to one in memory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from halfrate.domain.kind import Kind
from halfrate.engines.embedded import loading, native
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.bert import small_folder, small_gguf
from tests.engines import QUICK, toy_model


def openvino_folder(folder: Path) -> Path:
    """A model in OpenVINO's format, saved from a GGUF file by the pipeline itself."""
    path = toy_model(folder)
    save = {"enable_save_ov_model": True}
    scheduler = loading._scheduler(loading.find(str(path)), QUICK)
    native.genai().ContinuousBatchingPipeline(str(path), scheduler, "CPU", save, save)
    path.unlink()
    return folder


def test_a_folder_in_openvinos_format_is_loaded(tmp_path: Path) -> None:
    folder = openvino_folder(tmp_path)
    (folder / "config.json").write_text(
        '{"max_position_embeddings": 2048, "num_hidden_layers": 1, "num_attention_heads": 1,'
        ' "hidden_size": 32}'
    )
    assert loading.find(str(folder)).kv_values == 64
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.6, "eos_token_id": 257}'
    )
    model = loading.load(loading.find(str(folder)), QUICK)
    assert model.name == tmp_path.name
    assert model.context_tokens == 2048
    assert model.default_temperature == pytest.approx(0.6)
    assert model.blocks_total == QUICK.kv_blocks


def test_a_gguf_file_is_greedy_unless_told_otherwise(tmp_path: Path) -> None:
    model = loading.load(loading.find(str(toy_model(tmp_path))), QUICK)
    assert (model.name, model.default_temperature, model.context_tokens) == ("toy", 0.0, 4096)


def test_the_context_is_bounded_by_the_setting_and_by_the_cache(tmp_path: Path) -> None:
    """A prompt that could never be held must be refused, not wait for ever."""
    source = loading.find(str(toy_model(tmp_path)))
    small = EmbeddedSettings(kv_blocks=10, threads=1)
    assert loading.load(source, small).context_tokens == 9 * 32
    short = EmbeddedSettings(kv_blocks=100, threads=1, context_tokens=50)
    assert loading.load(source, short).context_tokens == 50


def test_a_hub_id_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = {"org/name": str(tmp_path)}.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    for name in ("openvino_model.xml", "openvino_tokenizer.xml"):
        (tmp_path / name).touch()
    source = loading.find("org/name")
    assert (source.path, source.name) == (tmp_path, "org/name")
    with pytest.raises(loading.Unloadable, match="cannot be fetched"):
        loading.find("org/other")


def test_without_the_hubs_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(loading.Unloadable, match="pip install huggingface_hub"):
        loading.find("org/name")


def test_packages_that_do_not_match_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = loading.find(str(toy_model(tmp_path)))
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(loading.Unloadable, match="must be of one release"):
        loading.load(source, QUICK)


def test_threads_are_cores_that_this_process_may_use() -> None:
    assert 1 <= native.physical_cores() <= (os.cpu_count() or 1)


def test_the_cache_is_bounded_by_the_memory_there_is(tmp_path: Path) -> None:
    """A model of 28 layers with 8 heads of 128 takes 3.5 MiB a block; the toy's blocks would be too many."""
    large = loading.Source(tmp_path, "large", 4096, kv_values=2 * 28 * 8 * 128, weights=tmp_path / "none")
    settings = EmbeddedSettings(cache_gib=2, precision="bf16")
    assert loading._scheduler(large, settings).num_kv_blocks == 2 * 1024 // 3.5
    assert loading._scheduler(large, EmbeddedSettings(kv_blocks=77)).num_kv_blocks == 77
    toy = loading.find(str(toy_model(tmp_path)))
    assert toy.kv_values == 2 * 32
    assert loading._scheduler(toy, settings).num_kv_blocks == 4096
    unknown = loading.Source(tmp_path, "unknown", 4096, kv_values=None, weights=tmp_path / "none")
    assert loading._scheduler(unknown, settings).cache_size == 2


def test_the_blocks_fill_the_memory_they_were_counted_for(tmp_path: Path) -> None:
    """Our arithmetic about a model's cache is the pipeline's."""
    source = loading.find(str(toy_model(tmp_path)))
    model = loading.load(source, EmbeddedSettings(threads=1, precision="f32"))
    assert source.kv_values is not None
    expected = model.blocks_total * 32 * source.kv_values * 4
    assert model.pipeline.get_metrics().cache_size_in_bytes == expected


def test_memory_is_that_of_the_container() -> None:
    assert native.memory_bytes() >= 2**28


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("[10:00:00] /build/x/json_converter.cc:898: Unsupported type\n\n", "Unsupported type"),
        (
            "Exception from src/a.cpp:12:\nCheck 'x > 0' failed at src/b.cpp:7:\n'top_p' must be positive\n",
            "'top_p' must be positive",
        ),
        ("unordered_map::at", "unordered_map::at"),
        ("", "RuntimeError"),
    ],
)
def test_reasons_are_told_without_their_place_in_foreign_sources(message: str, reason: str) -> None:
    assert loading.reason(RuntimeError(message)) == reason


def test_what_a_model_does_is_told_by_its_files(tmp_path: Path) -> None:
    assert loading.kind_of(str(toy_model(tmp_path))) is Kind.GENERATION
    assert loading.kind_of(str(small_gguf(tmp_path / "small.gguf"))) is Kind.EMBEDDING
    nomic = small_gguf(tmp_path / "nomic.gguf", **{"general.architecture": "nomic-bert"})
    assert (
        loading.kind_of(str(nomic)) is Kind.EMBEDDING
    )  # which says that it cannot be run, when it is loaded
    folder = small_folder(tmp_path / "folder")
    assert loading.kind_of(str(folder)) is Kind.EMBEDDING
    (folder / "openvino_model.xml").touch()
    assert loading.kind_of(str(folder)) is Kind.GENERATION
    for nothing in ("owner/name", str(tmp_path / "nowhere"), str(tmp_path)):
        assert loading.kind_of(nothing) is Kind.GENERATION
