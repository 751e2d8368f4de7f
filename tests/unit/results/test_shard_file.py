import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.results.frames import encode_frame
from halfrate.results.shard_file import read_shard, write_shard
from tests.unit.blobs import MemoryBlob
from tests.unit.results.strategies import ASSIGNMENTS


@given(st.lists(ASSIGNMENTS, max_size=4))
def test_a_shard_comes_back_in_order(assignments):
    blob = MemoryBlob()
    assert write_shard(blob, assignments) == sum(len(a.askers) for a in assignments)
    assert list(read_shard(blob)) == assignments


@given(st.lists(ASSIGNMENTS, max_size=3), st.data())
def test_a_shard_cut_anywhere_is_noticed(assignments, data):
    blob = MemoryBlob()
    write_shard(blob, assignments)
    cut = data.draw(st.integers(0, blob.size_bytes - 1))
    with pytest.raises(CorruptData):
        list(read_shard(MemoryBlob(bytes(blob.data[:cut]))))


def test_a_shard_without_its_end_must_be_planned_again():
    with pytest.raises(CorruptData, match="planned again"):
        list(read_shard(MemoryBlob(b"")))
    assert list(read_shard(MemoryBlob(encode_frame(b"")))) == []
