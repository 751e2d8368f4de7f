import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.result import Asker, Result
from halfrate.results.segment import SegmentWriter, read_segment
from halfrate.store.blob.local import LocalBlobStore
from tests.unit.blobs import MemoryBlob
from tests.unit.results.strategies import RESULTS

RESULT = Result(Asker(0), Failed(Cause.INVALID, "no"))


@given(st.lists(st.lists(RESULTS, max_size=3), max_size=3))
def test_what_is_settled_comes_back_and_what_is_not_does_not(batches):
    blob = MemoryBlob()
    writer = SegmentWriter(blob)
    sizes = [writer.append(batch) for batch in batches]
    for n, size_bytes in enumerate(sizes, start=1):
        settled = [result for batch in batches[:n] for result in batch]
        assert list(read_segment(blob, size_bytes)) == settled


@given(st.lists(RESULTS, min_size=1, max_size=3), st.data())
def test_a_flipped_bit_anywhere_in_the_settled_part_is_noticed(results, data):
    blob = MemoryBlob()
    settled_bytes = SegmentWriter(blob).append(results)
    bit = data.draw(st.integers(0, settled_bytes * 8 - 1))
    blob.data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        list(read_segment(blob, settled_bytes))


def test_results_can_be_read_while_the_segment_grows(tmp_path):
    store = LocalBlobStore(tmp_path)
    with store.appender("segment") as appender:
        writer = SegmentWriter(appender)
        settled_bytes = writer.append([RESULT])
        writer.append([RESULT])
        writer.sync()
        with store.reader("segment") as reader:
            assert list(read_segment(reader, settled_bytes)) == [RESULT]


def test_nothing_is_appended_after_half_a_frame():
    class FullDisk(MemoryBlob):
        def append(self, data: bytes) -> None:
            self.data += data[:5]
            raise OSError("no space left on device")

    writer = SegmentWriter(FullDisk())
    with pytest.raises(OSError, match="no space"):
        writer.append([RESULT])
    with pytest.raises(CorruptData, match="claim the Shard again"):
        writer.append([RESULT])
