import pytest

from halfrate.domain.line import Line
from halfrate.ingest.index import IndexReader
from halfrate.ingest.indexed import IndexedLines
from halfrate.store.blob.names import index_blob
from tests.unit.blobs import MemoryBlob
from tests.unit.ingest.conftest import parse_lines


def verdicts(lines):
    return [line.key if isinstance(line, Line) else line.message for line in lines]


async def test_lines_get_the_verdicts_they_got_before(index):
    indexed = await index(b'\xef\xbb\xbf{"key": "one", "text": "b"}\r\n\nbad\n{"key": "two", "text": "a"}')
    in_run_order = indexed.lines.in_run_order(0, 3)
    assert verdicts(line for _, line in in_run_order) == ["invalid JSON, near column 1", "two", "one"]
    assert [entry.number for entry, _ in in_run_order] == [3, 4, 1]
    assert verdicts(indexed.lines.in_input_order()) == ["one", "invalid JSON, near column 1", "two"]


async def test_a_line_too_long_is_rejected_unread(index):
    indexed = await index(b"x" * 500 + b"\n{}\n", line_bytes=100)
    (_, first), (_, second) = indexed.lines.in_run_order(0, 2)
    assert first.message.startswith("the line has 500 bytes, and at most 100 are allowed")
    assert second.key is None
    assert verdicts(indexed.lines.in_input_order())[0] == first.message


@pytest.mark.parametrize(("gap", "reads"), [(100, 1), (20_000, 50)])
async def test_neighbours_are_read_together_and_what_lies_far_apart_is_not(index, gap, reads):
    """Every second line belongs to the Shard that is read."""
    data = b"".join(b'{"key": "%d", "text": "%d%s"}\n' % (n, n % 2, b"x" * gap * (n % 2)) for n in range(100))
    indexed = await index(data, piece_bytes=1 << 16, chunk_bytes_min=1 << 20)
    source = MemoryBlob(data)
    with indexed.store.reader(index_blob("inputs/x")) as reader:
        lines = IndexedLines(IndexReader(reader), source, parse_lines, line_bytes_max=1 << 20)
        found = lines.in_run_order(0, 50)
    assert [int(line.key) for _, line in found] == list(range(0, 100, 2))
    assert source.reads == reads
