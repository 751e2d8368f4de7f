"""Encoders on OpenVINO come to the vectors that the same weights come to by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from halfrate.domain.embedding import Embedding
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.bert import weights
from halfrate.engines.embedded.bert.checkpoint import BadCheckpoint, read
from halfrate.engines.embedded.bert.encoder import BATCH_TOKENS, LENGTH_STEP, Encoder, load, shortened
from halfrate.engines.embedded.loading import Unloadable
from tests.bert import (
    HEADS,
    POSITIONS,
    WIDTH,
    WORDS,
    real_encoder,
    small_folder,
    small_gguf,
    small_weights,
    vector_by_hand,
)

ONE_THREAD = EmbeddedSettings(threads=1)
TEXTS = ["The cat sat on the mat.", "dogs", "a big tree under a big, big, BIG catty tree ran " * 2, "the Cät"]


def vectors(encoder: Encoder, texts: list[str]) -> numpy.ndarray[Any, Any]:
    encoded = encoder.encode([Embedding(text) for text in texts])
    return numpy.stack([encoder.vectors([one])[0] for one in encoded])


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    return load(real_encoder(), EmbeddedSettings())


def test_a_folder_gives_the_vectors_of_its_weights(tmp_path: Path) -> None:
    encoder = load(small_folder(tmp_path / "model"), ONE_THREAD)
    assert (encoder.width, encoder.tokens_max, encoder.name) == (WIDTH, POSITIONS, "model")
    for text, vector in zip(TEXTS, vectors(encoder, TEXTS), strict=True):
        (encoded,) = encoder.encode([Embedding(text)])
        expected = vector_by_hand(small_weights(), encoded.tokens, heads=HEADS, epsilon=1e-6)
        numpy.testing.assert_allclose(vector, expected, atol=2e-6)


@pytest.mark.parametrize(
    ("matrices", "tolerance"), [("F32", 2e-6), ("F16", 2e-3), ("BF16", 2e-2), ("Q8_0", 2e-2)]
)
def test_a_gguf_file_gives_the_vectors_of_its_weights(
    tmp_path: Path, matrices: str, tolerance: float
) -> None:
    encoder = load(small_gguf(tmp_path / "small.gguf", matrices=matrices), ONE_THREAD)
    folder = load(small_folder(tmp_path / "model"), ONE_THREAD)
    assert [e.tokens for e in encoder.encode([Embedding(text) for text in TEXTS])] == [
        e.tokens for e in folder.encode([Embedding(text) for text in TEXTS])
    ]
    numpy.testing.assert_allclose(vectors(encoder, TEXTS), vectors(folder, TEXTS), atol=tolerance)


def test_the_first_token_may_stand_for_the_text(tmp_path: Path) -> None:
    encoder = load(
        small_gguf(tmp_path / "small.gguf", matrices="F32", **{"bert.pooling_type": 2}), ONE_THREAD
    )
    (encoded,) = encoder.encode([Embedding("a dog ran")])
    expected = vector_by_hand(small_weights(), encoded.tokens, heads=HEADS, epsilon=1e-6, first=True)
    numpy.testing.assert_allclose(encoder.vectors([encoded])[0], expected, atol=2e-6)


def test_texts_become_tokens(tmp_path: Path) -> None:
    """Lower case, no accents, pieces of words, marks at both ends; a title goes before its text."""
    encoder = load(small_gguf(tmp_path / "small.gguf"), ONE_THREAD)

    def words(embedding: Embedding) -> list[str]:
        return [WORDS[token] for token in encoder.encode([embedding])[0].tokens]

    assert words(Embedding("The cÁts, DOG")) == ["[CLS]", "the", "cat", "##s", "[UNK]", "dog", "[SEP]"]
    assert words(Embedding("dog ran", title="big cat")) == ["[CLS]", "big", "cat", "dog", "ran", "[SEP]"]
    assert words(Embedding("")) == ["[CLS]", "[SEP]"]


def test_of_a_text_too_long_the_beginning_is_taken(tmp_path: Path) -> None:
    encoder = load(small_folder(tmp_path / "model"), ONE_THREAD)
    long, longer = encoder.encode(
        [Embedding("cat " * POSITIONS), Embedding("cat " * POSITIONS + "dog " * 99)]
    )
    assert long == longer
    assert len(long.tokens) == long.length == POSITIONS
    assert WORDS[long.tokens[-1]] == "[SEP]"


def test_company_changes_no_bit(minilm: Encoder) -> None:
    """Of the vectors of one length, whichever texts are run together, in whatever order."""
    texts = [f"Text {n} has the number {n * 7919} in it, and {'more ' * (n % 8)}words." for n in range(96)]
    encoded = minilm.encode([Embedding(text) for text in texts])
    alone = {text: minilm.vectors([one])[0].tobytes() for text, one in zip(texts, encoded, strict=True)}
    for length in {one.length for one in encoded}:
        alike = [(text, one) for text, one in zip(texts, encoded, strict=True) if one.length == length]
        most = BATCH_TOKENS // length
        for group in (alike[:most], alike[::-1][:most], alike[::2], alike[:3]):
            together = minilm.vectors([one for _, one in group])
            for (text, _), vector in zip(group, together, strict=True):
                assert vector.tobytes() == alone[text]
    assert len({one.length for one in encoded}) > 1


def test_padding_is_little_and_depends_on_the_text_alone(minilm: Encoder) -> None:
    for encoded in minilm.encode([Embedding("word " * n) for n in range(300)]):
        assert 0 <= encoded.length - len(encoded.tokens) < LENGTH_STEP
        assert encoded.length % LENGTH_STEP == 0
        assert encoded.length <= minilm.tokens_max == 256


def test_the_real_weights_give_the_vectors_that_they_give_by_hand(minilm: Encoder) -> None:
    path = real_encoder() / "model.safetensors"
    by_name = {
        name: read() for name, read in weights.of_safetensors(path).items() if "position_ids" not in name
    }
    for text in ("The weather is lovely today.", "naïve café: 東京 isn't far, is it?", "word " * 300):
        (encoded,) = minilm.encode([Embedding(text)])
        expected = vector_by_hand(by_name, encoded.tokens, heads=12, epsilon=1e-12)
        numpy.testing.assert_allclose(minilm.vectors([encoded])[0], expected, atol=1e-5)


def test_the_real_model_is_the_one_that_was_published(minilm: Encoder) -> None:
    """The similarities in the documentation of sentence-transformers, and a tokenizer's well-known ids."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    found = vectors(minilm, texts)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    numpy.testing.assert_allclose(found @ found.T, published, atol=1e-4)
    assert minilm.encode([Embedding("Hello, world!")])[0].tokens == [101, 7592, 1010, 2088, 999, 102]


def test_what_means_the_same_is_near(minilm: Encoder) -> None:
    questions = ["How do I reset my password?", "What does shipping cost?", "Is the shop open on Sunday?"]
    answers = ["Delivery is 4.90 up to 20 kg.", "We are closed at weekends.", "Click on 'forgot my login'."]
    nearest = (vectors(minilm, questions) @ vectors(minilm, answers).T).argmax(1)
    assert nearest.tolist() == [2, 0, 1]


def test_fewer_dimensions_are_the_first_ones_at_length_1(minilm: Encoder) -> None:
    (vector,) = vectors(minilm, ["A cat."])
    short = shortened(vector, 10)
    assert short.shape == (10,)
    assert numpy.linalg.norm(short) == pytest.approx(1, abs=1e-6)
    numpy.testing.assert_allclose(short / short[0], vector[:10] / vector[0], rtol=1e-5)
    assert shortened(vector, None) is shortened(vector, 384) is vector


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"general.architecture": "nomic-bert"}, "its architecture is 'nomic-bert', and 'bert' can be run"),
        ({"bert.pooling_type": 3}, "its pooling_type is 3, and 1 (mean) or 2 (first token) can be run"),
        ({"tokenizer.ggml.model": "t5"}, "its tokenizer is of kind 't5', and 'bert' (WordPiece) can be run"),
        ({"bert.block_count": 3}, "it has no weight encoder.layer.2.attention.self.query.weight"),
    ],
)
def test_a_gguf_file_that_cannot_be_run_says_why(
    tmp_path: Path, metadata: dict[str, object], said: str
) -> None:
    path = small_gguf(tmp_path / "small.gguf", **metadata)
    with pytest.raises(Unloadable) as caught:
        load(path, ONE_THREAD)
    assert str(caught.value) == f"The embedding model at {path} cannot be run: {said}."


def test_a_gguf_file_quantised_in_another_way_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        Unloadable, match=r"is quantised as type 12, and files in F32, F16, BF16 and Q8_0 can be"
    ):
        load(small_gguf(tmp_path / "small.gguf", matrices="Q4_K"), ONE_THREAD)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "roberta"}, "its model_type is 'roberta', and 'bert' can be run"),
        ({"hidden_act": "relu"}, "its hidden_act is 'relu', and 'gelu' can be run"),
        ({"position_embedding_type": "relative_key"}, "its positions are not absolute"),
        ({"hidden_size": None}, "its description is incomplete"),
    ],
)
def test_a_folder_that_cannot_be_run_says_why(tmp_path: Path, config: dict[str, object], said: str) -> None:
    path = small_folder(tmp_path / "model", **config)
    with pytest.raises(Unloadable) as caught:
        load(path, ONE_THREAD)
    assert said in str(caught.value)


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_folder_with_a_file_missing_says_so(tmp_path: Path, missing: str) -> None:
    path = small_folder(tmp_path / "model")
    (path / missing).unlink()
    with pytest.raises(Unloadable):
        load(path, ONE_THREAD)


@pytest.mark.parametrize("size", [4, 100, 5_000, -100])
def test_weights_cut_short_are_refused(tmp_path: Path, size: int) -> None:
    path = small_folder(tmp_path / "model")
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[:size])
    with pytest.raises(Unloadable):
        load(path, ONE_THREAD)


def test_how_a_folder_pools_is_read(tmp_path: Path) -> None:
    path = small_folder(tmp_path / "model")
    (path / "1_Pooling").mkdir()
    pooling = path / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    assert read(path).pooling == "first"
    pooling.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(BadCheckpoint, match="pools by pooling_mode_max_tokens"):
        read(path)
