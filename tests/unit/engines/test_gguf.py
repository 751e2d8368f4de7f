"""What a GGUF file says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfrate.engines.embedded import gguf


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "toy.gguf"
    gguf.write_toy(path)
    header = gguf.read_header(path)
    assert header["general.architecture"] == "llama"
    assert header["llama.block_count"] == 1
    assert header["tokenizer.ggml.add_bos_token"] is False
    assert header["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\x03\x04 a zip file", b"GGUF", b"GGUF" + b"\xff" * 100])
def test_other_files_are_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(gguf.NotGguf):
        gguf.read_header(path)


def test_a_file_cut_short_is_no_model(tmp_path: Path) -> None:
    """A download that was interrupted."""
    path = tmp_path / "toy.gguf"
    gguf.write_toy(path)
    whole = path.read_bytes()
    for size in (30, 100, 400, 9000, 50_000):
        path.write_bytes(whole[:size])
        with pytest.raises(gguf.NotGguf):
            gguf.read_header(path)
