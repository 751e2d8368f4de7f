"""An encoder in memory: texts in, vectors out, the same bits for a text in whatever company it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from halfrate.domain.embedding import Embedding
from halfrate.engines.embedded import native
from halfrate.engines.embedded.bert import checkpoint, graph, weights
from halfrate.engines.embedded.loading import Unloadable, reason
from halfrate.engines.embedded.settings import EmbeddedSettings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LENGTH_STEP = 8
"""Texts are padded to a multiple of this many tokens, and run together only with those of the same.

How a sum over tokens is rounded depends on how many there are, padding too, and on nothing else. So what
a text is padded to must depend on the text alone.
"""

BATCH_TOKENS = 1024
"""Tokens that are run together, padding too. More gained nothing, and fell out of the cache."""

_KERNELS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as the encoder reads it. ``length`` is what its tokens are padded to."""

    tokens: list[int]
    length: int


class Encoder:
    """Turns texts into vectors of ``width`` numbers."""

    def __init__(self, name: str, width: int, tokens_max: int, tokenizer: Tokenizer, compiled: Any) -> None:
        self.name = name
        self.width = width
        self.tokens_max = tokens_max
        self._tokenizer = tokenizer
        self._request = compiled.create_infer_request()

    def encode(self, embeddings: Sequence[Embedding]) -> list[Encoded]:
        """Cut into tokens. Of a text that is too long, the beginning is taken."""
        texts = [_told(embedding) for embedding in embeddings]
        return [self._encoded(encoding.ids) for encoding in self._tokenizer.encode_batch(texts)]

    def vectors(self, texts: Sequence[Encoded]) -> weights.Array:
        """Return the vectors of texts that are all padded to the same length."""
        ids = numpy.zeros((len(texts), texts[0].length), numpy.int64)
        there = numpy.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text.tokens)] = text.tokens
            there[row, : len(text.tokens)] = 1
        self._request.infer({"input_ids": ids, "attention_mask": there})
        vectors: weights.Array = self._request.get_output_tensor(0).data.copy()
        return vectors

    def _encoded(self, ids: list[int]) -> Encoded:
        if len(ids) > self.tokens_max:  # the last one marks the end
            ids = [*ids[: self.tokens_max - 1], ids[-1]]
        return Encoded(ids, min(-(-len(ids) // LENGTH_STEP) * LENGTH_STEP, self.tokens_max))


def load(path: Path, settings: EmbeddedSettings) -> Encoder:
    """Bring an encoder into memory. Raise `Unloadable`."""
    try:
        found = checkpoint.read(path)
        compiled = native.runtime().Core().compile_model(graph.build(found), "CPU", _properties(settings))
        tokens_max = min(found.tokens_max, settings.context_tokens or found.tokens_max)
        encoder = Encoder(found.name, found.width, tokens_max, found.tokenizer, compiled)
        encoder.vectors(encoder.encode([Embedding("warm")]))
        return encoder
    except checkpoint.BadCheckpoint as error:
        raise Unloadable(f"The embedding model at {path} cannot be run: {error}.") from error
    except OSError as error:
        raise Unloadable(f"The embedding model at {path} cannot be read: {error}.") from error
    except ImportError as error:
        raise Unloadable(
            f"An embedding model needs a package that is missing ({error}): pip install 'halfrate[embed]'"
        ) from error
    except native.ERRORS as error:
        raise Unloadable(f"The embedding model at {path} cannot be loaded: {reason(error)}") from error


def together(waiting: int, length: int) -> int:
    """How many of the texts of one length that wait to run together, at least 1.

    It is a power of two: for every size of a batch, kernels are compiled when it first comes.
    """
    most = min(waiting, max(1, BATCH_TOKENS // length))
    return 1 << (most.bit_length() - 1)


def shortened(vector: weights.Array, dimensions: int | None) -> weights.Array:
    """Return the first ``dimensions`` of a vector, stretched to length 1 again."""
    if dimensions is None or dimensions == len(vector):
        return vector
    kept = vector[:dimensions]
    length = numpy.linalg.norm(kept)
    return kept / length if length else kept


def _told(embedding: Embedding) -> str:
    """What the model reads: a document's title goes before its text. Purposes make no difference to it."""
    return f"{embedding.title}\n{embedding.text}" if embedding.title else embedding.text


def _properties(settings: EmbeddedSettings) -> dict[str, str | int]:
    return {
        # Vectors are kept for years and compared with those of other machines: 16 bits save little time here
        # and would make them differ in the third digit.
        "INFERENCE_PRECISION_HINT": settings.precision or "f32",
        "INFERENCE_NUM_THREADS": settings.threads or native.physical_cores(),
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS_KEPT,
    }
