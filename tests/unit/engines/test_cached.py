"""Answers are the same whether a prompt comes from the cache, was thrown out of it, or is computed anew."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from halfrate.domain.outcome import Answered
from halfrate.engines.embedded import protocol
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.batchers import Bench
from tests.engines import QUICK, real_model


def answered(folder: Path, texts: list[str], settings: EmbeddedSettings) -> list[Answered]:
    bench = Bench(folder, settings, model_path=real_model())
    ids = [bench.ask(text, temperature=0.0, max_output_tokens=12) for text in texts]
    got = bench.run()
    said = [got[id] for id in ids]
    return [each.answered for each in said if isinstance(each, protocol.Done)]


def test_a_prefix_from_the_cache_or_thrown_out_of_it_changes_no_answer(tmp_path: Path) -> None:
    """Documents in no order, through a cache for all of them, for a few of them, and without sharing."""
    chance = random.Random(3)
    documents = [f"Review {n}: " + "the strap broke after a week. " * (20 + n) for n in range(6)]
    texts = [f"{chance.choice(documents)} Is order {n} good or bad?" for n in range(30)]
    large = answered(tmp_path, texts, QUICK)
    small = answered(tmp_path, texts, replace(QUICK, kv_blocks=48))
    none = answered(tmp_path, texts, replace(QUICK, prefix_caching=False))
    assert len(large) == len(texts)
    assert [each.text for each in large] == [each.text for each in none] == [each.text for each in small]
    cached = [sum(each.usage.cached_tokens for each in arm) for arm in (large, small, none)]
    assert cached[0] > cached[1] > cached[2] == 0
