"""URLs are found in prompts, and pages put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.page import Page, PageStatus, ReadUrl
from halfrate.domain.request import Attachment, Message, Request, Role
from halfrate.lookup.urls import CUT, URLS_MAX, urls_in, with_pages


def asked(text: str) -> list[Message]:
    return [Message(Role.USER, text)]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("nothing here, not even www.example.org", []),
        ("See https://a.test.", ["https://a.test"]),
        (
            "(see https://a.test/x_(y)), and <http://b.test/?q=1&r=2>!",
            ["https://a.test/x_(y)", "http://b.test/?q=1&r=2"],
        ),
        ("[one](https://a.test/1) and [two](https://a.test/2)", ["https://a.test/1", "https://a.test/2"]),
        ("https://a.test https://a.test", ["https://a.test"]),
        ('"https://a.test/ü"', ["https://a.test/ü"]),
        ("**https://a.test/**", ["https://a.test/"]),
        ("HTTPS://A.test/x", ["HTTPS://A.test/x"]),
        ("ftp://a.test file:///etc/passwd", []),
    ],
)
def test_urls_are_found_without_what_is_around_them(text, urls):
    assert urls_in(asked(text)) == urls


def test_only_so_many_are_read():
    text = " ".join(f"https://a.test/{number}" for number in range(30))
    assert len(urls_in(asked(text))) == URLS_MAX


def test_only_what_users_say_counts():
    messages = [
        Message(Role.SYSTEM, "https://s.test"),
        *asked("https://u.test"),
        Message(Role.MODEL, "https://m.test"),
    ]
    assert urls_in(messages) == ["https://u.test"]


@given(st.text(max_size=200))
def test_any_text_has_urls_or_none(text):
    assert all(url in text for url in urls_in(asked(text)))


def page(text: str, status: PageStatus = PageStatus.SUCCESS) -> Page:
    return Page(ReadUrl("https://a.test", status), text)


def test_pages_stand_before_the_last_question():
    image = Attachment(3, "image/png", b"x")
    request = Request(
        (
            Message(Role.USER, "first"),
            Message(Role.MODEL, "yes"),
            Message(Role.USER, "and", attachments=(image,)),
        ),
        reads_urls=True,
    )
    informed = with_pages(request, [page("long text"), page("", PageStatus.ERROR)], chars_max=4)
    assert not informed.reads_urls
    assert [m.text for m in informed.messages[:2]] == ["first", "yes"]
    text = informed.messages[2].text
    assert text == (
        f"The page https://a.test says:\nlong{CUT}\n\nThe page https://a.test could not be read.\n\nand"
    )
    assert informed.messages[2].attachments[0].at == text.index("and") + 3
