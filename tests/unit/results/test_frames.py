import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import CorruptData
from halfrate.results import frames
from halfrate.results.frames import encode_frame, read_frames
from tests.unit.blobs import MemoryBlob


def payloads(blob, stop=None):
    return [payload for _, payload in read_frames(blob, stop=blob.size_bytes if stop is None else stop)]


@given(st.lists(st.binary(max_size=50)))
def test_frames_come_back_as_they_were_written(written):
    blob = MemoryBlob(b"".join(map(encode_frame, written)))
    assert payloads(blob) == written


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_a_flipped_bit_anywhere_is_noticed(written, data):
    blob = MemoryBlob(b"".join(map(encode_frame, written)))
    bit = data.draw(st.integers(0, blob.size_bytes * 8 - 1))
    blob.data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        payloads(blob)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_a_torn_tail_is_noticed_and_named(written, data):
    whole = b"".join(map(encode_frame, written))
    borders = {0} | {sum(len(encode_frame(p)) for p in written[:n]) for n in range(len(written) + 1)}
    stop = data.draw(st.integers(0, len(whole)).filter(lambda n: n not in borders))
    last_border = max(border for border in borders if border < stop)
    with pytest.raises(CorruptData, match=f"Blob segments/1: the frame at byte {last_border} "):
        payloads(MemoryBlob(whole), stop=stop)
    with pytest.raises(CorruptData, match=f"is cut off at byte {stop}"):
        payloads(MemoryBlob(whole), stop=stop)
    with pytest.raises(CorruptData, match=f"Blob segments/1: the frame at byte {last_border} "):
        payloads(MemoryBlob(whole[:stop]), stop=len(whole))


def test_nothing_beyond_the_stop_is_looked_at():
    frame = encode_frame(b"settled")
    assert payloads(MemoryBlob(frame + b"torn"), stop=len(frame)) == [b"settled"]


def test_an_impossible_length_is_refused_before_memory_is_taken_for_it():
    blob = MemoryBlob(struct.pack("<IQ", 0xFFFFFFFF, 0) + bytes(100))
    with pytest.raises(CorruptData, match="claims a length of 4294967295 bytes"):
        list(read_frames(blob, stop=1 << 40))


def test_a_payload_beyond_the_bound_is_not_written(monkeypatch):
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 10)
    with pytest.raises(ValueError, match="at most 10 bytes"):
        encode_frame(bytes(11))


def test_many_small_frames_take_few_reads():
    blob = MemoryBlob(encode_frame(b"x" * 100) * 10_000)
    assert len(payloads(blob)) == 10_000
    assert blob.reads < 20


def test_a_frame_larger_than_the_window_is_read_whole():
    large = bytes(1 << 20)
    written = [b"a", large, b"b"]
    blob = MemoryBlob(b"".join(map(encode_frame, written)))
    assert payloads(blob) == written


def test_reading_can_begin_at_any_frame():
    frames = [encode_frame(payload) for payload in (b"one", b"two", b"three")]
    blob = MemoryBlob(b"".join(frames))
    start = len(frames[0])
    assert list(read_frames(blob, start=start, stop=blob.size_bytes)) == [
        (start, b"two"),
        (start + len(frames[1]), b"three"),
    ]
    with pytest.raises(CorruptData, match="the frame at byte 1 "):
        list(read_frames(blob, start=1, stop=blob.size_bytes))
