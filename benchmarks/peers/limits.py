"""What this machine can do at most: multiply matrices, and read memory. Measured through the same runtime."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.peers.counting import Shape
from halfrate.engines.embedded import native

SIZE = 2048
READ_BYTES = 256 << 20
SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """Multiplications and additions in a second, and bytes read in a second."""

    flops: float
    bytes_per_second: float

    def seconds(self, shape: Shape, *, prompt_tokens: int, output_tokens: int, sequences: int) -> float:
        """The least that so many tokens can take: attention itself, sampling and texts cost nothing.

        Every token is multiplied by the layers' weights, and one that is written by the output's. Weights are
        read once (an 8-bit number each) for as many answers as are decoded together.
        """
        operations = 2 * shape.matrix_weights * (prompt_tokens + output_tokens)
        operations += 2 * shape.output_weights * output_tokens
        read_bytes = (shape.matrix_weights + shape.output_weights) * output_tokens / sequences
        return max(operations / self.flops, read_bytes / self.bytes_per_second)


def measure(threads: int) -> Limits:
    """Measure for about a second, the best of several tries."""
    return Limits(_flops(threads), _bytes_per_second(threads))


def _flops(threads: int) -> float:
    """A product of square matrices in the precision that the engine computes in."""
    operations, runtime = native.operations(), native.runtime()
    given = operations.parameter([SIZE, SIZE], np.float32)
    chance = np.random.default_rng(1)
    weights = operations.constant(chance.standard_normal((SIZE, SIZE), dtype=np.float32))
    graph = runtime.Model([operations.matmul(given, weights, False, False)], [given])
    precision = "bf16" if native.computes_in_bf16() else "f32"
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = runtime.Core().compile_model(graph, "CPU", hints).create_infer_request()
    array = chance.standard_normal((SIZE, SIZE), dtype=np.float32)
    return 2 * SIZE**3 / _best_seconds(lambda: request.infer([array]))


def _bytes_per_second(threads: int) -> float:
    arrays = [np.ones(READ_BYTES // 8, np.float64) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return threads * READ_BYTES / _best_seconds(lambda: list(pool.map(np.sum, arrays)))


def _best_seconds(work: object) -> float:
    assert callable(work)
    until, best = time.perf_counter() + SECONDS, float("inf")
    work()
    while time.perf_counter() < until:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best
