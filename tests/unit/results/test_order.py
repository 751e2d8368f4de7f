"""Results put in order: in memory, through piles, and through piles of piles."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.usage import Usage
from halfrate.results import order
from halfrate.results.frames import encode_frame
from halfrate.results.order import Ordering
from halfrate.results.records import encode_result


def encoded(ordinal: int, length: int) -> bytes:
    return encode_result(Result(Asker(ordinal), Answered.of("x" * length, Finish.STOP, Usage())))


def ordered(results: dict[int, bytes], ordinals: range, spill: Path) -> list[bytes | None]:
    size_bytes = sum(len(encode_frame(result)) for result in results.values())
    with Ordering(ordinals, size_bytes=size_bytes, spill=spill) as ordering:
        for ordinal, result in results.items():
            ordering.add(ordinal, result)
        return list(ordering.results())


LENGTHS = st.dictionaries(st.integers(0, 60), st.integers(0, 300), max_size=60)


@pytest.mark.parametrize(("pile_bytes", "piles_max"), [(1 << 20, 256), (500, 256), (100, 2)])
@given(LENGTHS, st.randoms())
def test_what_was_added_comes_back_in_order(tmp_path_factory, pile_bytes, piles_max, lengths, chance):
    """In memory, in piles, and in piles of piles down to single Results."""
    spill = tmp_path_factory.getbasetemp() / "spill"
    shuffled = list(lengths.items())
    chance.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "PILE_BYTES_MAX", pile_bytes)
        patch.setattr(order, "PILES_MAX", piles_max)
        patch.setattr(order, "CHUNK_BYTES", 64)
        results = {ordinal: encoded(ordinal, length) for ordinal, length in shuffled}
        assert ordered(results, range(61), spill) == [results.get(ordinal) for ordinal in range(61)]


def test_nothing_is_spilled_that_fits_and_nothing_is_left_behind(tmp_path, monkeypatch):
    spill = tmp_path / "spill"
    ordered({0: encoded(0, 10)}, range(2), spill)
    assert not spill.exists()
    monkeypatch.setattr(order, "PILE_BYTES_MAX", 20)
    ordered({n: encoded(n, 10) for n in range(5)}, range(5), spill)
    assert list(spill.iterdir()) == []


def test_memory_does_not_grow_where_large_results_are_next_to_each_other(tmp_path, monkeypatch):
    """The first tenth of the Results is nearly all of the bytes."""
    monkeypatch.setattr(order, "PILE_BYTES_MAX", 100_000)
    monkeypatch.setattr(order, "PILES_MAX", 8)
    count = 2_000

    def length(ordinal: int) -> int:
        return 20_000 if ordinal < count // 10 else 1

    total = sum(len(encode_frame(encoded(n, length(n)))) for n in range(count))
    tracemalloc.start()
    try:
        with Ordering(range(count), size_bytes=total, spill=tmp_path) as ordering:
            for ordinal in reversed(range(count)):
                ordering.add(ordinal, encoded(ordinal, length(ordinal)))
            for ordinal, result in enumerate(ordering.results()):
                assert result == encoded(ordinal, length(ordinal))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 4_000_000
    assert peak_bytes < 2_000_000


def test_damage_in_the_spill_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "PILE_BYTES_MAX", 20)
    results = {n: encoded(n, 10) for n in range(5)}
    with Ordering(range(5), size_bytes=10_000, spill=tmp_path) as ordering:
        for ordinal, result in results.items():
            ordering.add(ordinal, result)
        ordering._piles[3]._unfinished[20] ^= 1
        with pytest.raises(CorruptData, match="spill directory"):
            list(ordering.results())


def test_results_of_one_length_are_dealt_once(tmp_path, monkeypatch):
    """Their piles come out as large as meant, and are not dealt again."""
    monkeypatch.setattr(order, "PILE_BYTES_MAX", 2_000)
    results = {n: encoded(n, 40) for n in range(1_000)}
    total = sum(len(encode_frame(result)) for result in results.values())
    with Ordering(range(1_000), size_bytes=total, spill=tmp_path) as ordering:
        for ordinal, result in results.items():
            ordering.add(ordinal, result)
        assert len(ordering._piles) > 20
        assert all(pile.size_bytes <= 2_000 for pile in ordering._piles)
