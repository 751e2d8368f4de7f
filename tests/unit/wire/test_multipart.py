"""Bodies of two parts, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.errors import InvalidArgument
from halfrate.wire.gemini.multipart import TwoParts, parse_boundary

TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"--", b"--b", b"-", b"b", b"x"])).map(b"".join)


def body(content: bytes, newline: bytes) -> bytes:
    lines = [
        b"--b",
        b"A: 1",
        b"",
        b"{}",
        b"--b",
        b"Content-Type: text/plain",
        b"",
        content,
        b"--b--",
        b"after",
    ]
    return newline.join(lines)


@given(
    content=TRICKY, newline=st.sampled_from([b"\r\n", b"\n"]), sizes=st.lists(st.integers(1, 9), min_size=1)
)
def test_the_content_is_the_same_in_whatever_pieces_it_comes(content, newline, sizes):
    if newline + b"--b" in newline + content:  # then it is no content, but another part
        return
    parts, sent, got = TwoParts(b"b"), body(content, newline), b""
    for number in range(len(sent)):
        piece, sent = sent[: sizes[number % len(sizes)]], sent[sizes[number % len(sizes)] :]
        got += parts.feed(piece)
    parts.finish()
    assert got == content
    assert parts.head is not None
    assert (parts.head.document, parts.head.headers) == (b"{}", {"content-type": "text/plain"})


def test_no_more_of_the_content_is_held_than_may_be_the_end_of_it():
    parts = TwoParts(b"b")
    begun = parts.feed(body(b"", b"\r\n").removesuffix(b"\r\n--b--\r\nafter") + b"\r\n")
    assert begun == b""
    for _ in range(100):
        parts.feed(b"x" * 1_000)
    assert len(parts._unread) < len(b"\r\n--b")


def test_a_boundary_at_the_beginning_of_a_line_only():
    with pytest.raises(InvalidArgument, match="does not begin with its boundary"):
        TwoParts(b"b").feed(b"x--b\r\n\r\n{}")
    assert TwoParts(b"b").feed(b"read over\r\n" + body(b"content", b"\r\n")) == b"content"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/related; boundary=b", b"b"),
        ('Multipart/Related;type="a/b"; Boundary="a b"', b"a b"),
        ("multipart/form-data; boundary=----x;charset=utf-8", b"----x"),
    ],
)
def test_boundaries(content_type, boundary):
    assert parse_boundary(content_type) == boundary


@pytest.mark.parametrize("content_type", [None, "", "multipart/mixed; boundary=b", "multipart/related"])
def test_what_is_no_body_of_two_parts(content_type):
    with pytest.raises(InvalidArgument, match="is multipart/related"):
        parse_boundary(content_type)
