"""Texts and PDFs become text where they stand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Attachment, Message, Role
from halfrate.lookup import pdf as pdf_module
from halfrate.lookup.documents import with_texts
from halfrate.lookup.held import Held
from halfrate.lookup.pdf import PdfReader
from halfrate.wire.gemini.content import Content, messages_of
from halfrate.wire.gemini.lenient import Reader
from tests.unit.lookup.pdfs import pdf

NAME = "files/abc"
IMAGE = Attachment(0, "image/png", b"x")
PART = st.one_of(st.text("ab\n", min_size=1, max_size=4), st.just(IMAGE), st.just(None))


@given(st.lists(PART, min_size=1, max_size=6))
def test_found_text_stands_as_a_part_of_its_own_would(parts):
    """None is a file, which is found to hold "TEXT"."""
    texts, attachments = [], []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        else:
            at = len("\n".join(texts))
            attachments.append(Attachment(at, "", uri="files/x") if part is None else replace(IMAGE, at=at))
    message = Message(Role.USER, "\n".join(texts), attachments=tuple(attachments))
    found = with_texts(message, ["TEXT" if each.uri else each for each in attachments])

    expected, kept = [], []
    for part in parts:
        if part is IMAGE:
            kept.append(len("\n".join(expected)))
        else:
            expected.append("TEXT" if part is None else part)
    assert found.text == "\n".join(expected)
    assert [each.at for each in found.attachments] == kept


def test_the_places_are_those_the_dialect_gives():
    sent = Reader(Content).read(
        b'{"parts": [{"fileData": {"fileUri": "files/a"}}, {"text": "x"}, '
        b'{"fileData": {"fileUri": "files/b"}}]}'
    )
    (message,) = messages_of([sent], None)
    assert with_texts(message, ["A", "B"]).text == "A\nx\nB"


async def test_a_pdf_is_read_page_by_page():
    assert await PdfReader(bytes_max=1 << 20).text(pdf("one", "two"), name=NAME) == "one\ntwo"


@pytest.mark.parametrize(
    ("data", "bytes_max", "says"),
    [
        (b"no pdf", 99, "files/abc cannot be read as a PDF: "),
        (pdf("x"), 99, "bytes, and at most 99 are read into a prompt (limits.prompt_file_bytes)"),
        (pdf(*["x"] * 1_001), 1 << 20, "it has 1,001 pages, and at most 1,000 are read"),
    ],
)
async def test_what_is_no_pdf_or_too_much_of_one_is_refused(data, bytes_max, says):
    outcome = await PdfReader(bytes_max=bytes_max).text(data, name=NAME)
    assert isinstance(outcome, Failed)
    assert outcome.cause is Cause.INVALID
    assert says in outcome.detail


async def test_a_pdf_of_too_much_text_is_refused():
    """A small file may come to very much text: its pages may share what is on them."""
    pages = 100
    shared = pdf("w" * 900, *["x"] * (pages - 1))
    for number in range(1, pages):
        shared = shared.replace(b"/Contents %d 0 R" % (5 + 2 * number), b"/Contents 5 0 R")
    assert len(shared) < 40_000
    outcome = await PdfReader(bytes_max=40_000).text(shared, name=NAME)
    assert isinstance(outcome, Failed)
    assert "its text has more than 40,000 bytes" in outcome.detail


async def test_a_reader_that_takes_for_ever_is_ended():
    outcome = await PdfReader(bytes_max=1 << 20, seconds=0.001).text(pdf("x"), name=NAME)
    assert isinstance(outcome, Failed)
    assert "it was not read after 0.001 s" in outcome.detail


async def test_without_what_reads_them_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pdf_module, "find_spec", lambda name: None)
    outcome = await PdfReader(bytes_max=1 << 20).text(pdf("x"), name=NAME)
    assert outcome == Failed(
        Cause.UNSUPPORTED,
        "files/abc cannot be read: install what reads PDFs with pip install 'halfrate[pdf]', or send "
        "its text.",
    )


def test_what_was_used_last_is_held():
    held = Held[str, int](2)
    held.put("a", 1)
    held.put("b", 2)
    assert held.get("a") == 1
    held.put("c", 3)
    assert (held.get("a"), held.get("b"), held.get("c")) == (1, None, 3)
