import pytest

from halfrate.domain.line import Line, Rejection
from halfrate.domain.request import Message, Request, Role
from halfrate.ingest.index import Indexer, IndexReader
from halfrate.ingest.indexed import IndexedLines
from tests.unit.blobs import MemoryBlob


def parse(data: bytes) -> Line | Rejection:
    if data == b"bad":
        return Rejection("bad")
    return Line(data.decode(), None, None, Request((Message(Role.USER, "Hello"),)))


def indexed(data, tmp_path, line_bytes_max=100_000):
    index, source = MemoryBlob(), MemoryBlob(data)
    with Indexer(parse, spill=tmp_path, line_bytes_max=line_bytes_max) as indexer:
        indexer.feed(data)
        indexer.finish(index)
    return IndexedLines(IndexReader(index), source, parse, line_bytes_max=line_bytes_max), source


def verdicts(lines):
    return [line.key if isinstance(line, Line) else line.message for _, line in lines]


def test_lines_get_the_verdicts_they_got_before(tmp_path):
    lines, _ = indexed(b"\xef\xbb\xbfone\r\n\nbad\ntwo", tmp_path)
    assert verdicts(lines) == ["one", "bad", "two"]
    assert [record.number for record, _ in lines] == [1, 3, 4]


def test_single_lines_are_found_in_any_order(tmp_path):
    lines, _ = indexed(b"one\nbad\ntwo\n", tmp_path)
    assert [verdicts([lines.line(n)]) for n in (2, 0, 1, 2)] == [["two"], ["one"], ["bad"], ["two"]]
    with pytest.raises(IndexError):
        lines.line(3)


def test_a_line_too_long_is_rejected_unread(tmp_path):
    lines, source = indexed(b"x" * 500 + b"\n", tmp_path, line_bytes_max=100)
    assert verdicts(lines) == verdicts([lines.line(0)])
    assert verdicts(lines)[0].startswith("the line has 500 bytes, and at most 100 are allowed")
    assert source.reads == 0


def test_all_lines_take_few_reads_and_single_ones_little(tmp_path):
    data = b"".join(b"%0999d\n" % n for n in range(5000))
    lines, source = indexed(data, tmp_path)
    assert [int(key) for key in verdicts(lines)] == list(range(5000))
    assert source.reads <= 6
    lines.line(0)
    assert len(lines._window) == 999
