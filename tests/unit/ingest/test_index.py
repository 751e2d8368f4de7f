import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from halfrate.domain.errors import CorruptData, InvalidArgument
from halfrate.domain.line import Line, Rejection
from halfrate.domain.request import Message, Request, Role
from halfrate.ingest.index import ERRORS_MAX, Indexer, IndexReader, IndexRecord, IndexSummary
from halfrate.store.blob.local import LocalBlobStore

REQUEST = Request((Message(Role.USER, "Hello"),))


def parse(data: bytes) -> Line | Rejection:
    try:
        fields = json.loads(data.decode())
    except ValueError as error:
        return Rejection(f"invalid JSON, near column {getattr(error, 'colno', 1)}")
    if not isinstance(fields, dict):
        return Rejection("expected an object")
    return Line(fields.get("key"), None, None, REQUEST)


@pytest.fixture
def index(tmp_path):
    """Index bytes and return the reader of what was written."""
    store = LocalBlobStore(tmp_path / "blobs")

    def index(data: bytes, *, chunk_bytes: int = 7, **bounds: int) -> IndexReader:
        with Indexer(parse, spill=tmp_path / "spill", **bounds) as indexer, store.writer("index") as writer:
            for start in range(0, len(data), chunk_bytes):
                indexer.feed(data[start : start + chunk_bytes])
            summary = indexer.finish(writer)
        reader = IndexReader(store.reader("index"))
        assert reader.summary == summary
        return reader

    return index


def test_every_line_has_its_record(index):
    reader = index(b'{"key": "a"}\n\n{}\nbad\n')
    assert list(reader.records()) == [
        IndexRecord(0, 1, 0, 12, bad=False, repeated=False, key_hash=xxh3_128_digest(b"a")),
        IndexRecord(1, 3, 14, 2, bad=False, repeated=False, key_hash=None),
        IndexRecord(2, 4, 17, 3, bad=True, repeated=False, key_hash=None),
    ]
    assert reader.summary == IndexSummary(
        requests=3,
        bad=1,
        bad_keys=0,
        errors=("Error on line 4: invalid JSON, near column 1",),
        input_bytes=21,
    )


def test_a_record_is_found_by_its_ordinal(index):
    reader = index(b"{}\n" * 20_000, chunk_bytes=1 << 16)
    records = list(reader.records())
    assert len(records) == 20_000
    assert [reader.record(n) for n in (0, 9_999, 19_999)] == [records[n] for n in (0, 9_999, 19_999)]
    with pytest.raises(IndexError, match="20000"):
        reader.record(20_000)


def test_a_repeated_key_names_both_lines(index):
    reader = index(b'{"key": "a"}\n{"key": "b"}\n\n{"key": "a"}\n{"key": "a"}\n')
    assert reader.summary.bad_keys == 2
    assert reader.summary.bad == 0
    assert [error.partition(";")[0] for error in reader.summary.errors] == [
        "Error on line 4: duplicate key 'a', first used on line 1",
        "Error on line 5: duplicate key 'a', first used on line 1",
    ]
    assert [record.repeated for record in reader.records()] == [False, False, True, True]


def test_errors_of_all_kinds_come_in_the_order_of_lines(index):
    reader = index(b'{"key": "a"}\nbad\n{"key": "a"}\nbad\n')
    assert [error.split()[3] for error in reader.summary.errors] == ["2:", "3:", "4:"]


def test_errors_are_bounded_and_the_first_ones_kept(index):
    lines = [b'{"key": "a"}'] + [b"bad", b'{"key": "a"}'] * ERRORS_MAX
    summary = index(b"\n".join(lines) + b"\n", chunk_bytes=1000).summary
    assert (summary.bad, summary.bad_keys) == (ERRORS_MAX, ERRORS_MAX)
    assert [int(error.split()[3][:-1]) for error in summary.errors] == list(range(2, ERRORS_MAX + 2))


def test_the_first_repeated_keys_are_kept_whatever_their_hashes(index):
    keys = [b'{"key": "%d"}' % n for n in range(ERRORS_MAX + 500)]
    summary = index(b"\n".join(keys * 2), chunk_bytes=1000).summary
    assert summary.bad_keys == len(keys)
    assert [int(error.split()[3][:-1]) for error in summary.errors] == [
        len(keys) + 1 + n for n in range(ERRORS_MAX)
    ]


def test_errors_beyond_the_bound_take_no_memory(tmp_path):
    with Indexer(parse, spill=tmp_path) as indexer:
        indexer.feed(b"bad\n" * 5000)
        assert len(indexer._errors) == ERRORS_MAX


def test_a_long_key_is_shown_by_its_beginning(index):
    line = b'{"key": "%s"}\n' % (b"x" * 10_000)
    (error,) = index(line * 2).summary.errors
    assert f"duplicate key '{'x' * 59}…'" in error


def test_an_index_of_another_format_says_so(index, monkeypatch):
    monkeypatch.setattr("halfrate.ingest.index._VERSION", 2)
    reader = index(b"{}\n")._reader
    monkeypatch.undo()
    with pytest.raises(CorruptData, match="it has format 2, and this halfrate reads 1"):
        IndexReader(reader)


def test_a_line_too_long_says_how_long_and_what_to_do(index):
    (error,) = index(b"{}\n" + b"x" * 5000 + b"\n{}\n", line_bytes_max=100).summary.errors
    assert error.startswith("Error on line 2: the line has 5,000 bytes, and at most 100 are allowed: shorten")


def test_a_last_line_that_was_cut_off_says_so(index):
    errors = index(b'{}\n{"key": "a').summary.errors
    assert len(errors) == 1
    assert "may have been cut off" in errors[0]


def test_a_whole_last_line_needs_no_newline(index):
    assert index(b'{}\n{"key": "a"}').summary.errors == ()


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"id,prompt\n1,Hello\n", "does not look like a JSON Lines file"),
        (b'[\n{"key": "a"},\n{"key": "b"}\n]\n', "one JSON array"),
        (b'[{"key": "a"}, {"key": "b"}]', "one JSON array"),
        (b'{\n"key": "a"\n}\n', "spread over several lines"),
        (b"\x1f\x8b\x08\x00\n\n", "unpack it first"),
        ('{"key": "a"}\n'.encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_another_kind_of_file_gets_a_hint_and_an_example(index, data, hint):
    errors = index(data).summary.errors
    assert hint in errors[0]
    assert '{"key": "1", "request":' in errors[0]
    assert all("for example" not in error for error in errors[1:])


def test_a_slip_in_a_json_line_gets_no_lecture(index):
    assert index(b'{"key": }\n').summary.errors == ("Error on line 1: invalid JSON, near column 9",)


@pytest.mark.parametrize("data", [b"", b"\n \r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_requests_says_so(index, data):
    summary = index(data).summary
    assert summary.requests == 0
    assert len(summary.errors) == 1
    assert "no requests" in summary.errors[0]


def test_too_many_lines_are_refused_at_once(index):
    assert index(b"{}\n" * 3, lines_max=3).summary.requests == 3
    with pytest.raises(InvalidArgument, match="more than 3 lines"):
        index(b"{}\n" * 4, lines_max=3)


def test_a_damaged_index_is_never_read(index, tmp_path):
    index(b'{"key": "a"}\nbad\n')
    path = tmp_path / "blobs" / "index"
    whole = path.read_bytes()
    store = LocalBlobStore(tmp_path / "blobs")
    damaged = [whole[:n] for n in range(len(whole))] + [b"", whole + b"x"]
    damaged += [
        whole[:n] + bytes([whole[n] ^ 1 << bit]) + whole[n + 1 :]
        for n in range(len(whole))
        for bit in range(8)
    ]
    for data in damaged:
        path.write_bytes(data)
        with store.reader("index") as reader, pytest.raises(CorruptData, match="Upload the input file again"):
            IndexReader(reader)


def test_nothing_is_left_in_the_spill_folder(index, tmp_path):
    index(b'{"key": "a"}\nbad\n')
    assert list((tmp_path / "spill").iterdir()) == []


KEYS = st.none() | st.text(max_size=2)


@given(st.lists(st.just(b"") | st.just(b"bad") | KEYS.map(lambda key: json.dumps({"key": key}).encode())))
def test_every_line_yields_a_record_and_every_repetition_is_found(tmp_path_factory, lines):
    root = tmp_path_factory.getbasetemp() / "index"
    store = LocalBlobStore(root)
    data = b"\n".join(lines) + b"\n"
    with Indexer(parse, spill=root / "spill") as indexer, store.writer("index") as writer:
        indexer.feed(data)
        summary = indexer.finish(writer)
    with store.reader("index") as reader:
        records = list(IndexReader(reader).records())
    keys = [json.loads(line)["key"] for line in lines if line.startswith(b"{")]
    named = [key for key in keys if key is not None]
    assert [data[r.offset : r.offset + r.length] for r in records] == [line for line in lines if line]
    assert summary.requests == len(records)
    assert summary.bad == lines.count(b"bad") == sum(r.bad for r in records)
    assert summary.bad_keys == len(named) - len(set(named)) == sum(r.repeated for r in records)
