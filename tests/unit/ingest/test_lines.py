from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from halfrate.ingest.lines import LineScanner, RawLine


def scan(data: bytes, *, cuts: list[int] | None = None, line_bytes_max: int = 1000) -> list[RawLine]:
    """Feed ``data`` cut at the given places."""
    scanner = LineScanner(line_bytes_max)
    borders = [0, *sorted(min(cut, len(data)) for cut in cuts or []), len(data)]
    lines = []
    for start, stop in pairwise(borders):
        lines += scanner.feed(data[start:stop])
    return lines + list(scanner.finish())


def test_lines_have_numbers_offsets_and_lengths():
    assert scan(b"one\ntwo\n") == [RawLine(1, 0, 3, b"one"), RawLine(2, 4, 3, b"two")]


def test_the_last_line_needs_no_newline():
    assert scan(b"one\ntwo")[-1] == RawLine(2, 4, 3, b"two")


def test_blank_lines_are_counted_and_skipped():
    assert scan(b"\n\r\n  \t\none\n\n") == [RawLine(4, 7, 3, b"one")]


def test_a_carriage_return_before_the_newline_is_not_part_of_the_line():
    assert scan(b"one\r\ntwo\r\n") == [RawLine(1, 0, 3, b"one"), RawLine(2, 5, 3, b"two")]


def test_a_byte_order_mark_is_skipped_only_at_the_start():
    bom = b"\xef\xbb\xbf"
    lines = scan(bom + b"one\n" + bom + b"two\n")
    assert lines == [RawLine(1, 3, 3, b"one"), RawLine(2, 7, 6, bom + b"two")]


def test_the_beginning_of_a_byte_order_mark_alone_is_a_line():
    assert scan(b"\xef\xbb") == [RawLine(1, 0, 2, b"\xef\xbb")]


def test_a_long_line_is_reported_without_its_bytes():
    assert scan(b"12345\n123456\n1\n", line_bytes_max=5) == [
        RawLine(1, 0, 5, b"12345"),
        RawLine(2, 6, 6, None),
        RawLine(3, 13, 1, b"1"),
    ]


def test_a_long_line_is_not_buffered():
    scanner = LineScanner(line_bytes_max=10)
    for _ in range(1000):
        assert list(scanner.feed(b"x" * 1000)) == []
    assert len(scanner._held) <= 11
    assert list(scanner.feed(b"\r\nnext\n")) == [
        RawLine(1, 0, 1_000_000, None),
        RawLine(2, 1_000_002, 4, b"next"),
    ]


def expected(data: bytes, line_bytes_max: int) -> list[RawLine]:
    """The same by `bytes.splitlines`' semantics for CRLF and LF, with everything in memory."""
    offset = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    lines = []
    for number, whole in enumerate(data[offset:].split(b"\n"), start=1):
        line = whole.removesuffix(b"\r")
        if len(line) > line_bytes_max:
            lines.append(RawLine(number, offset, len(line), None))
        elif line.strip():
            lines.append(RawLine(number, offset, len(line), line))
        offset += len(whole) + 1
    return lines


PIECES = st.sampled_from([b"\n", b"\r", b"\r\n", b" ", b"a", b"bcdefgh", b"\xef\xbb\xbf", b"\xef", b"\xbb"])


@given(st.lists(PIECES).map(b"".join), st.lists(st.integers(0, 60)), st.integers(1, 12))
@example(b"\na\r", [], 5)
@example(b"a\n\nb\r", [2], 5)
def test_chunk_borders_make_no_difference(data, cuts, line_bytes_max):
    assert scan(data, cuts=cuts, line_bytes_max=line_bytes_max) == expected(data, line_bytes_max)


@given(st.lists(st.text("ab c", min_size=1).map(str.encode)), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_are_those_of_splitlines(lines, newline):
    data = newline.join(lines)
    assert [line.data for line in scan(data)] == [line for line in data.splitlines() if line.strip()]


@given(st.lists(PIECES).map(b"".join))
def test_offset_and_length_find_the_line_in_the_file(data):
    for line in scan(data):
        assert data[line.offset : line.offset + line.length] == line.data
