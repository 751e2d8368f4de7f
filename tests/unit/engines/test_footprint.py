"""How much memory a model takes, and whether there is as much."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import pytest

from halfrate.engines.embedded import footprint, loading, native
from halfrate.engines.embedded.footprint import WORKING_BYTES, Footprint
from halfrate.engines.embedded.settings import EmbeddedSettings
from tests.engines import toy_model

GIB = 1 << 30


def test_what_fits_to_the_last_byte_fits() -> None:
    taken = Footprint(file_bytes=2 * GIB, cache_bytes=GIB)
    assert taken.bytes == 5 * GIB + WORKING_BYTES
    assert taken.shortage(taken.bytes) is None
    assert taken.shortage(taken.bytes - 1) is not None


def test_a_shortage_is_told_as_a_sum() -> None:
    assert Footprint(file_bytes=4 * GIB, cache_bytes=3 * GIB).shortage(8 * GIB) == (
        "weights 8.00 + cache 3.00 + computing 0.50 = 11.50 GiB, and 8.00 GiB of memory are available"
    )


@pytest.mark.parametrize(
    ("available", "cache"),
    [(32 * GIB, 8 * GIB), (4 * GIB, 4 * GIB - 2 * GIB - WORKING_BYTES), (GIB, footprint.CACHE_BYTES_MIN)],
)
def test_a_cache_nobody_set_takes_what_the_weights_leave(available: int, cache: int) -> None:
    size = footprint.cache_bytes(GIB, memory_bytes=32 * GIB, available_bytes=available)
    assert size == cache


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = loading.find(str(toy_model(tmp_path)))
    monkeypatch.setattr(native, "available_bytes", lambda: GIB // 4)
    monkeypatch.setattr(native, "genai", lambda: pytest.fail("it was loaded"))
    with pytest.raises(loading.Unloadable, match=r"does not fit: weights 0\.00 \+ cache 2\.00 .* 0\.25 GiB"):
        loading.load(
            source, EmbeddedSettings(cache_gib=2, kv_blocks=2 * GIB // (32 * 64 * 4), precision="f32")
        )


def test_what_is_available_is_no_more_than_there_is() -> None:
    assert 0 < native.available_bytes() <= native.memory_bytes()


def test_a_cache_that_fills_grows_by_what_was_counted(tmp_path: Path) -> None:
    """The kernel's account of a process against the budget, from a tenth full to full: within 5 %."""
    source = loading.find(str(toy_model(tmp_path)))
    # In a process of its own: what others leave in this one may be given back in the meantime.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        budget, grown = process.submit(fill_a_cache, source).result(timeout=60)
    assert grown == pytest.approx(0.9 * budget, rel=0.05)


def fill_a_cache(source: loading.Source) -> tuple[int, int]:
    """Return the budget of a cache, and what this process grows by from a tenth of it full to all of it."""
    settings = EmbeddedSettings(threads=1, precision="f32", kv_blocks=8_000, sequences_max=8)
    budget = loading._cache_bytes(source, settings)
    model = loading.load(source, settings)
    assert model.pipeline.get_metrics().cache_size_in_bytes == budget == 8_000 * 32 * 64 * 4
    prompts = iter(range(1, 1_000))
    fill(model, prompts, share=0.1)
    before = resident_bytes()
    fill(model, prompts, share=1.1)
    return budget, resident_bytes() - before


def fill(model: loading.Model, prompts: Iterator[int], *, share: float) -> None:
    """Answer as many different prompts as fill this share of the cache."""
    config = model.pipeline.get_config()
    config.max_new_tokens = 1
    for number in islice(prompts, int(share * model.blocks_total / 20)):
        tokens = [(number * 7 + place * (number % 13)) % 250 for place in range(20 * 32)]
        handle = model.pipeline.add_request(number, native.tensor(tokens), config)
        while model.pipeline.has_non_finished_requests():
            model.pipeline.step()
        del handle


def resident_bytes() -> int:
    """What of this process is in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
