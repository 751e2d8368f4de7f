"""The graph of a BERT encoder, built from its weights: ids of tokens in, a vector for each text out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

from halfrate.engines.embedded import native
from halfrate.engines.embedded.bert.checkpoint import Checkpoint, Pooling

if TYPE_CHECKING:
    import openvino

_MASKED = -1e9
"""Added to the score of a token that is not there: its weight is then 0, exactly."""


def build(checkpoint: Checkpoint) -> openvino.Model:
    """Return the model: ``input_ids`` and ``attention_mask``, both [texts, tokens], to [texts, width]."""
    return _Builder(checkpoint).model()


class _Builder:
    """Puts the operations together, reading the weights by name."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._ops: Any = native.operations()
        self._checkpoint = checkpoint

    def model(self) -> openvino.Model:
        ops = self._ops
        ids = ops.parameter([-1, -1], dtype=numpy.int64, name="input_ids")
        mask = ops.parameter([-1, -1], dtype=numpy.int64, name="attention_mask")
        there = ops.convert(mask, "f32")
        hidden = self._embeddings(ids)
        away = ops.multiply(ops.subtract(there, self._number(1.0)), self._number(-_MASKED))
        bias = ops.unsqueeze(away, self._integers([1, 2]))  # [texts, 1, 1, tokens], for every head and query
        for layer in range(self._checkpoint.layers):
            hidden = self._layer(hidden, bias, f"encoder.layer.{layer}")
        result = ops.result(self._normalised(self._pooled(hidden, there)), name="embedding")
        return native.runtime().Model([result], [ids, mask], self._checkpoint.name)

    def _embeddings(self, ids: Any) -> Any:
        ops = self._ops
        words = ops.gather(self._weight("embeddings.word_embeddings.weight"), ids, self._integers(0))
        kinds = self._checkpoint.tensor("embeddings.token_type_embeddings.weight")[0]  # all of the first kind
        length = ops.gather(ops.shape_of(ids), self._integers(1), self._integers(0))
        positions = ops.slice(
            self._weight("embeddings.position_embeddings.weight"),
            self._integers([0]),
            ops.unsqueeze(length, self._integers(0)),
            self._integers([1]),
            self._integers([0]),
        )
        told = ops.add(ops.add(words, positions), ops.constant(kinds))
        return self._layer_norm(told, "embeddings.LayerNorm")

    def _layer(self, hidden: Any, bias: Any, name: str) -> Any:
        ops = self._ops
        attended = self._attention(hidden, bias, f"{name}.attention.self")
        attended = self._dense(attended, f"{name}.attention.output.dense")
        hidden = self._layer_norm(ops.add(attended, hidden), f"{name}.attention.output.LayerNorm")
        inner = ops.gelu(self._dense(hidden, f"{name}.intermediate.dense"), "erf")
        inner = self._dense(inner, f"{name}.output.dense")
        return self._layer_norm(ops.add(inner, hidden), f"{name}.output.LayerNorm")

    def _attention(self, hidden: Any, bias: Any, name: str) -> Any:
        ops = self._ops
        query, key, value = (self._heads(hidden, f"{name}.{part}") for part in ("query", "key", "value"))
        attended = ops.scaled_dot_product_attention(query, key, value, bias)
        together = ops.transpose(attended, self._integers([0, 2, 1, 3]))
        return ops.reshape(together, self._integers([0, 0, self._checkpoint.width]), special_zero=True)

    def _heads(self, hidden: Any, name: str) -> Any:
        """[texts, tokens, width] to [texts, heads, tokens, width of a head]."""
        ops, heads = self._ops, self._checkpoint.heads
        shape = self._integers([0, 0, heads, self._checkpoint.width // heads])
        apart = ops.reshape(self._dense(hidden, name), shape, special_zero=True)
        return ops.transpose(apart, self._integers([0, 2, 1, 3]))

    def _dense(self, hidden: Any, name: str) -> Any:
        ops = self._ops
        product = ops.matmul(hidden, self._weight(f"{name}.weight"), transpose_a=False, transpose_b=True)
        return ops.add(product, self._weight(f"{name}.bias"))

    def _layer_norm(self, hidden: Any, name: str) -> Any:
        ops = self._ops
        even = ops.mvn(hidden, self._integers([-1]), True, self._checkpoint.epsilon, "INSIDE_SQRT")
        scaled = ops.multiply(even, self._weight(f"{name}.weight"))
        return ops.add(scaled, self._weight(f"{name}.bias"))

    def _pooled(self, hidden: Any, there: Any) -> Any:
        """One vector for each text: the mean of its tokens, or its first one."""
        ops = self._ops
        if self._checkpoint.pooling is Pooling.FIRST:
            return ops.gather(hidden, self._integers(0), self._integers(1))
        weights = ops.unsqueeze(there, self._integers(2))
        total = ops.reduce_sum(ops.multiply(hidden, weights), self._integers([1]))
        return ops.divide(total, ops.reduce_sum(weights, self._integers([1])))

    def _normalised(self, vectors: Any) -> Any:
        return self._ops.normalize_l2(vectors, self._integers([1]), 1e-12, "max")

    def _weight(self, name: str) -> Any:
        return self._ops.constant(self._checkpoint.tensor(name))

    def _number(self, value: float) -> Any:
        return self._ops.constant(value, dtype=numpy.float32)

    def _integers(self, values: int | list[int]) -> Any:
        return self._ops.constant(values, dtype=numpy.int64)
