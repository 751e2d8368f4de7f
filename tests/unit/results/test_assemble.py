import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.shard import SegmentRef
from halfrate.domain.usage import Usage
from halfrate.results import order
from halfrate.results.assemble import assemble
from halfrate.results.segment import SegmentWriter
from tests.unit.blobs import MemoryBlob


def answer(ordinal):
    return Result(
        Asker(ordinal, f"key-{ordinal}"), Answered.of(f"answer {ordinal}", Finish.STOP, Usage(1, 2))
    )


class Segments:
    """Segments in memory, and which of them are open."""

    def __init__(self, *contents, results=None):
        self.blobs, self.refs, self.readers = [], [], []
        for shard, ordinals in enumerate(contents):
            blob = MemoryBlob(name=f"segments/{shard}")
            settled_bytes = SegmentWriter(blob).append([answer(ordinal) for ordinal in ordinals])
            blob.append(b"never settled")
            self.blobs.append(blob)
            self.refs.append(SegmentRef("job", shard, 1, settled_bytes, results or len(ordinals)))

    def open(self, ref):
        blob = self.blobs[ref.shard]
        reader = MemoryBlob(bytes(blob.data), blob.name)
        self.readers.append(reader)
        return reader

    def assemble(self, spill, *, requests):
        return assemble(self.refs, self.open, requests=requests, spill=spill)


def test_results_come_in_input_order_and_gaps_as_ordinals(tmp_path):
    with Segments([3, 0], [4]).assemble(tmp_path, requests=6) as assembly:
        assert assembly.missing == 3
        assert list(assembly.results()) == [answer(0), 1, 2, answer(3), answer(4), 5]
        assert list(assembly.answered()) == [answer(0), answer(3), answer(4)]


def test_a_job_without_segments_misses_everything(tmp_path):
    with Segments().assemble(tmp_path, requests=2) as assembly:
        assert (assembly.missing, list(assembly.results())) == (2, [0, 1])
    with Segments().assemble(tmp_path, requests=0) as assembly:
        assert (assembly.missing, list(assembly.results())) == (0, [])


@given(st.data(), st.integers(0, 40))
def test_assembly_conserves(tmp_path_factory, data, requests):
    """Every settled Result comes out once, at its ordinal, and every other ordinal bare."""
    answered = data.draw(st.permutations(range(requests)))[: data.draw(st.integers(0, requests))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answered)), max_size=3)))
    contents = [
        answered[start:stop]
        for start, stop in zip([0, *cuts], [*cuts, len(answered)], strict=True)
        if start < stop
    ]
    spill = tmp_path_factory.getbasetemp() / "spill"
    with Segments(*contents).assemble(spill, requests=requests) as assembly:
        results = list(assembly.results())
        assert assembly.missing == requests - len(answered)
    assert results == [answer(n) if n in answered else n for n in range(requests)]


@pytest.mark.parametrize("contents", [([0, 1, 0],), ([0], [1, 0])])
def test_a_second_result_of_one_request_is_refused(tmp_path, contents):
    with pytest.raises(CorruptData, match="of Request 0, which has one already"):
        Segments(*contents).assemble(tmp_path, requests=2)


def test_a_result_of_no_request_is_refused(tmp_path):
    with pytest.raises(CorruptData, match="Request 2, and the Job has 2 Requests"):
        Segments([0, 2]).assemble(tmp_path, requests=2)


def test_a_segment_with_fewer_results_than_settled_is_refused(tmp_path):
    with pytest.raises(CorruptData, match="3 Results were settled, and 2 are there"):
        Segments([0, 1], results=3).assemble(tmp_path, requests=3)


def test_damage_names_the_segment(tmp_path):
    segments = Segments([0], [1])
    segments.blobs[1].data[20] ^= 1
    with pytest.raises(CorruptData, match=re.escape("Blob segments/1: the frame at byte 0 ")):
        segments.assemble(tmp_path, requests=2)


def test_every_segment_is_read_once_and_closed(tmp_path):
    """However many there are, and however their Results lie."""
    ordinals = list(range(2_000))
    random.Random(1).shuffle(ordinals)
    segments = Segments(*[ordinals[start : start + 5] for start in range(0, 2_000, 5)])
    with segments.assemble(tmp_path, requests=2_000) as assembly:
        assert all(not reader.is_open for reader in segments.readers)
        assert list(assembly.results()) == [answer(n) for n in range(2_000)]
    assert [reader.reads for reader in segments.readers] == [1] * 400


def test_a_broken_segment_leaves_none_open_and_nothing_spilled(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "PILE_BYTES_MAX", 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    segments = Segments([0, 1], [0])
    with pytest.raises(CorruptData):
        segments.assemble(tmp_path, requests=2)
    assert all(not reader.is_open for reader in segments.readers)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_errors_of_requests_are_results_too(tmp_path):
    blob = MemoryBlob()
    failed = Result(Asker(0, "key-0"), Failed(Cause.TOO_LONG, "no room"))
    ref = SegmentRef("job", 0, 1, SegmentWriter(blob).append([failed]), 1)
    with assemble([ref], lambda _: blob, requests=1, spill=tmp_path) as assembly:
        assert list(assembly.results()) == [failed]
