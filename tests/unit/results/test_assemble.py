import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.result import Asker, Result
from halfrate.domain.shard import SegmentRef
from halfrate.domain.usage import Usage
from halfrate.results.assemble import OPEN_SEGMENTS_MAX, assemble
from halfrate.results.segment import SegmentWriter
from tests.unit.blobs import MemoryBlob


def answer(ordinal):
    return Result(Asker(ordinal, f"key-{ordinal}"), Answered(f"answer {ordinal}", Finish.STOP, Usage(1, 2)))


class Segments:
    """Segments in memory, and which of them are open."""

    def __init__(self, *contents, results=None):
        self.blobs, self.refs, self.opened = [], [], 0
        for shard, ordinals in enumerate(contents):
            blob = MemoryBlob(name=f"segments/{shard}")
            settled_bytes = SegmentWriter(blob).append([answer(ordinal) for ordinal in ordinals])
            blob.append(b"never settled")
            self.blobs.append(blob)
            self.refs.append(SegmentRef("job", shard, 1, settled_bytes, results or len(ordinals)))

    def open(self, ref):
        self.opened += 1
        blob = self.blobs[ref.shard]
        reader = MemoryBlob(bytes(blob.data), blob.name)
        self.readers = [r for r in getattr(self, "readers", []) if r.is_open] + [reader]
        assert len(self.readers) <= OPEN_SEGMENTS_MAX + 1
        return reader

    def assemble(self, spill, *, requests):
        return assemble(self.refs, self.open, requests=requests, spill=spill)


def test_results_come_in_input_order_and_gaps_as_ordinals(tmp_path):
    with Segments([3, 0], [4]).assemble(tmp_path, requests=6) as assembly:
        assert assembly.missing == 3
        assert list(assembly.results()) == [answer(0), 1, 2, answer(3), answer(4), 5]


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


def test_damage_between_assembly_and_reading_is_noticed(tmp_path):
    segments = Segments([0])
    with segments.assemble(tmp_path, requests=1) as assembly:
        segments.blobs[0].data[20] ^= 1
        with pytest.raises(CorruptData, match="checksum"):
            list(assembly.results())


def test_many_segments_are_not_all_open_at_once(tmp_path):
    ordinals = list(range(2_000))
    random.Random(1).shuffle(ordinals)
    segments = Segments(*[ordinals[start : start + 5] for start in range(0, 2_000, 5)])
    with segments.assemble(tmp_path, requests=2_000) as assembly:
        assert list(assembly.results()) == [answer(n) for n in range(2_000)]
    assert all(not reader.is_open for reader in segments.readers)


def test_a_segment_in_steady_use_stays_open(tmp_path):
    busy = list(range(0, 1_000, 2))
    segments = Segments(busy, *[[n] for n in range(1, 1_000, 2)])
    with segments.assemble(tmp_path, requests=1_000) as assembly:
        segments.opened = 0
        assert len(list(assembly.results())) == 1_000
    assert segments.opened == 501


def test_results_in_nearly_input_order_take_few_reads(tmp_path):
    ordinals = sorted(range(5_000), key=lambda n: n + random.Random(n).randrange(20))
    segments = Segments(ordinals)
    with segments.assemble(tmp_path, requests=5_000) as assembly:
        segments.readers[-1].reads = 0
        assert len(list(assembly.results())) == 5_000
        assert segments.readers[-1].reads < 500


def test_the_location_table_leaves_no_file_behind(tmp_path):
    with Segments([0]).assemble(tmp_path, requests=1):
        assert list(tmp_path.iterdir()) == []


def test_errors_of_requests_are_results_too(tmp_path):
    blob = MemoryBlob()
    failed = Result(Asker(0, "key-0"), Failed(Cause.TOO_LONG, "no room"))
    ref = SegmentRef("job", 0, 1, SegmentWriter(blob).append([failed]), 1)
    with assemble([ref], lambda _: blob, requests=1, spill=tmp_path) as assembly:
        assert list(assembly.results()) == [failed]
