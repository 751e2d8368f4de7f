"""How much of an embedding model a Job gets: against the compiled model alone, fed as well as can be.

The direct arm holds every text in memory as tokens, in order of their length, and runs them one full batch
after the other in this process: no reading, no tokenizing, no protocol, nothing written down. Both arms embed
the same texts, new ones in every round, and take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import alternating, answer_as_job, check, report, spread
from halfrate.app import App, open_app
from halfrate.config import MINILM, Config, minilm_model
from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.usage import Usage
from halfrate.engines.embedded import EmbeddedSettings
from halfrate.engines.embedded.bert import encoder
from halfrate.wire.gemini.embeddings import embedded_body

FRACTION_MIN = 0.85

WORDS = (
    *("delivery", "order", "parcel", "late", "refund", "customer", "price", "battery", "screen", "manual"),
    *(
        "green",
        "heavy",
        "small",
        "returned",
        "arrived",
        "broken",
        "works",
        "quiet",
        "loud",
        "cheap",
        "sturdy",
    ),
    *("the", "a", "of", "and", "with", "without", "after", "before", "two", "three", "again"),
)


def texts(count: int, seed: int) -> list[str]:
    """Return different texts of 4 to 150 words, most of them short."""
    chance = random.Random(seed)
    return [
        " ".join([*chance.choices(WORDS, k=min(150, 4 + int(chance.expovariate(1 / 40)))), str(number)])
        for number in range(count)
    ]


def direct(model: encoder.Encoder, encoded: list[encoder.Encoded]) -> tuple[float, list[bytes]]:
    """Run full batches of one length; return the seconds, and the vectors in the order of the texts."""
    order = sorted(range(len(encoded)), key=lambda position: encoded[position].length)
    vectors = [b""] * len(encoded)
    began = time.perf_counter()
    while order:
        length = encoded[order[0]].length
        alike = [position for position in order[: encoder.BATCH_TOKENS] if encoded[position].length == length]
        alike = alike[: encoder.together(len(alike), length)]
        del order[: len(alike)]
        made = model.vectors([encoded[position] for position in alike])
        for position, vector in zip(alike, made, strict=True):
            vectors[position] = vector.tobytes()
    return time.perf_counter() - began, vectors


async def service(app: App, asked: list[str]) -> tuple[float, list[list[float]]]:
    """Embed every text as a Job; return seconds from its creation to its output, and the vectors."""
    data = "\n".join(json.dumps({"request": {"content": {"parts": [{"text": text}]}}}) for text in asked)
    seconds, lines = await answer_as_job(app, model=MINILM, data=data.encode())
    return seconds, [json.loads(line)["response"]["embedding"]["values"] for line in lines]


def written(packed: bytes) -> list[float]:
    """Return a vector's numbers as a client reads them."""
    values: list[float] = json.loads(embedded_body(Embedded(packed, Usage())))["embedding"]["values"]
    return values


async def measure(count: int, rounds: int) -> int:
    """Measure both arms, report, and say whether the claim holds."""
    entry = minilm_model()
    if entry is None:
        sys.exit("The embedding model is not installed: see docs/howto/embeddings.md.")
    model = encoder.load(Path(entry.path), EmbeddedSettings())
    rates: dict[str, list[float]] = {"direct": [], "service": []}
    with tempfile.TemporaryDirectory() as folder:
        config = Config.load(data_dir=folder).serving_only(entry, name=MINILM)
        async with open_app(config) as app:
            await app.models.resolve(MINILM).engine.ready()
            await service(app, texts(count // 4, 999))  # kernels for every length
            direct(model, model.encode([Embedding(text) for text in texts(count // 4, 999)]))
            tokens = 0
            vectors: list[bytes] = []
            for number, arm in enumerate(alternating("direct", "service", rounds)):
                asked = texts(count, number // 2)
                encoded = model.encode([Embedding(text) for text in asked])
                seconds, vectors = direct(model, encoded)
                if arm == "service":
                    seconds, made = await service(app, asked)
                    assert made == [written(vector) for vector in vectors], "the arms differ"
                rates[arm].append(count / seconds)
                tokens = sum(len(text.tokens) for text in encoded)
    fraction = sum(1 / rate for rate in rates["direct"]) / sum(1 / rate for rate in rates["service"])
    report(
        "embeddings",
        {
            "texts": count,
            "tokens_per_text": round(tokens / count, 1),
            "direct_texts_per_second": spread(rates["direct"]),
            "service_texts_per_second": spread(rates["service"]),
            "fraction_of_direct": round(fraction, 4),
        },
    )
    claim = f"a Job reaches at least {FRACTION_MIN} of the compiled model fed ideally, with the same bits"
    return 0 if check(claim, fraction >= FRACTION_MIN) else 1


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    return asyncio.run(measure(options.texts, options.rounds))


if __name__ == "__main__":
    sys.exit(main())
