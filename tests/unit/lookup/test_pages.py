"""Pages are read once for a Job, politely, and what they say is kept with it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

import pytest

from halfrate.domain.page import PageStatus
from halfrate.lookup.manners import Manners
from halfrate.lookup.page_reader import PageReader, Unread
from halfrate.lookup.pages import TRIES_MAX, Pages
from halfrate.lookup.robots import Robots
from halfrate.net.fetch import Got, NotGot
from halfrate.store.blob.local import LocalBlobStore
from tests.fakes import FakeClock
from tests.unit.lookup.pdfs import pdf

URL = "https://a.test/page"
HTML = "<html><body><article><h1>Otters</h1><p>{}</p></article></body></html>"
OTTERS = "Otters sleep in the water and hold each other by their hands so that none drifts away. " * 5


class Web:
    """A web of few pages, in place of a `Fetcher`. It counts what was asked of it."""

    def __init__(self, **pages: Got | NotGot | list[Got | NotGot]) -> None:
        self.pages: dict[str, Got | NotGot | list[Got | NotGot]] = {}
        self.asked: list[str] = []

    async def get(self, url: str, *, accept: str = "") -> Got | NotGot:
        self.asked.append(url)
        await asyncio.sleep(0)
        found = self.pages.get(url, NotGot("nobody is there"))
        return found.pop(0) if isinstance(found, list) else found


def html(text: str = OTTERS, *, status: int = 200, kind: str = "text/html", url: str = URL, **more) -> Got:
    return Got(url, status, kind, None, HTML.format(text).encode(), **more)


@pytest.fixture
def web() -> Web:
    web = Web()
    web.pages["https://a.test/robots.txt"] = Got("", 404, "text/plain", None, b"")
    return web


@pytest.fixture
async def clock():
    """A clock that goes on whenever nothing else does."""
    clock = FakeClock()

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.001)
            clock.advance(seconds=0.5)

    going = asyncio.create_task(go_on())
    yield clock
    going.cancel()


@pytest.fixture
async def pages(web, clock, tmp_path):
    pages = Pages(
        blobs=LocalBlobStore(tmp_path),
        fetcher=web,
        reader=PageReader(bytes_max=1 << 20),
        robots=Robots(web, clock),
        manners=Manners(clock, calls_max=2, delay_seconds=0.5),
        clock=clock,
        chance=lambda: 0.0,
    )
    yield pages
    await pages.close()


async def test_a_page_is_its_text(pages, web):
    web.pages[URL] = html()
    page = await pages.read(URL, job_id=None)
    assert page.read.status is PageStatus.SUCCESS
    assert "Otters sleep in the water" in page.text
    assert "<p>" not in page.text


async def test_a_job_reads_a_page_once(pages, web, tmp_path):
    web.pages[URL] = html()
    read = await asyncio.gather(*(pages.read(URL, job_id="job") for _ in range(20)))
    assert len({page.text for page in read}) == 1
    assert web.asked.count(URL) == 1
    del web.pages[URL]
    assert await pages.read(URL, job_id="job") == read[0]
    assert (await pages.read(URL, job_id="another")).read.status is PageStatus.ERROR
    (kept,) = LocalBlobStore(tmp_path).names("jobs/job/pages")
    path = tmp_path / kept
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    web.pages[URL] = html("Something else stands there now, and it is long enough to be read as a text.")
    assert "Something else" in (await pages.read(URL, job_id="job")).text


@pytest.mark.parametrize(
    ("got", "status"),
    [
        (html(status=404), PageStatus.ERROR),
        (html(status=402), PageStatus.PAYWALL),
        (html(status=401), PageStatus.PAYWALL),
        (NotGot("no", unsafe=True), PageStatus.UNSAFE),
        (NotGot("no"), PageStatus.ERROR),
        (html(kind="video/mp4"), PageStatus.ERROR),
        (html(kind="text/" + "x" * 5_000), PageStatus.ERROR),
        (Got(URL, 200, "text/html", None, b"<html><body></body></html>"), PageStatus.ERROR),
    ],
)
async def test_what_cannot_be_read_says_so(pages, web, got, status):
    web.pages[URL] = got
    page = await pages.read(URL, job_id=None)
    assert (page.read.status, page.text) == (status, "")
    assert page.read.detail


async def test_a_page_behind_a_wall_is_told_by_what_it_says_of_itself(pages, web):
    walled = '<script type="application/ld+json">{"isAccessibleForFree": "False"}</script>' + OTTERS
    web.pages[URL] = html(walled)
    assert (await pages.read(URL, job_id=None)).read.status is PageStatus.PAYWALL


async def test_what_owners_want_left_alone_is(pages, web):
    rules = b"User-agent: *\nDisallow: /private\nCrawl-delay: 7\n"
    web.pages["https://a.test/robots.txt"] = Got("", 200, "text/plain", None, rules)
    web.pages["https://a.test/private/x"] = web.pages[URL] = html()
    page = await pages.read("https://a.test/private/x", job_id=None)
    assert page.read.status is PageStatus.ERROR
    assert "robots.txt" in page.read.detail
    assert (await pages.read(URL, job_id=None)).read.status is PageStatus.SUCCESS
    assert web.asked.count("https://a.test/robots.txt") == 1


@pytest.mark.parametrize("got", [NotGot("no", passing=True), Got("", 503, "", None, b"")])
async def test_a_host_that_cannot_say_what_it_wants_is_left_alone(pages, web, got):
    web.pages["https://a.test/robots.txt"] = got
    web.pages[URL] = html()
    assert (await pages.read(URL, job_id=None)).read.status is PageStatus.ERROR
    assert URL not in web.asked


async def test_what_may_pass_is_tried_again(pages, web, clock):
    web.pages[URL] = [html(status=503), NotGot("reset", passing=True), html()]
    assert (await pages.read(URL, job_id=None)).read.status is PageStatus.SUCCESS
    web.pages[URL] = [html(status=503)] * (TRIES_MAX + 1)
    page = await pages.read(URL, job_id=None)
    assert "503" in page.read.detail
    assert len(web.pages[URL]) == 1


async def test_a_host_that_asks_for_time_gets_it(pages, web, clock):
    web.pages[URL] = [html(status=429, retry_after_seconds=40.0), html()]
    began = clock.now()
    await pages.read(URL, job_id=None)
    assert clock.now() - began >= 40


# The process that reads -------------------------------------------------------------------------------


@pytest.fixture
async def reader():
    reader = PageReader(bytes_max=1 << 20, seconds=10)
    yield reader
    await reader.close()


@pytest.mark.parametrize(
    ("data", "kind", "charset", "text"),
    [
        ("grün".encode(), "text/plain", None, "grün"),
        ("grün".encode("latin-1"), "text/plain", "iso-8859-1", "grün"),
        ("grün".encode("latin-1"), "text/plain", None, "grün"),
        ("grün".encode("utf-16"), "text/csv", None, "grün"),
        (b"x", "text/plain", "no-such-charset", "x"),
        (b'{"a": 1}', "application/json", None, '{"a": 1}'),
        (pdf("one", "two"), "application/pdf", None, "one\ntwo"),
    ],
)
async def test_texts_are_read_as_what_they_are(reader, data, kind, charset, text):
    assert await reader.text(data, media_type=kind, charset=charset) == text


async def test_a_page_that_takes_too_long_is_given_up_and_the_next_is_read(reader):
    await reader.text(b"x", media_type="text/plain", charset=None)
    slow = PageReader(bytes_max=1 << 20, seconds=0.0)
    with pytest.raises(Unread, match="after 0 s"):
        await slow.text(b"x", media_type="text/plain", charset=None)
    os.kill(reader._process.pid, signal.SIGKILL)
    with pytest.raises(Unread):
        await reader.text(b"x", media_type="text/plain", charset=None)
    assert await reader.text(b"y", media_type="text/plain", charset=None) == "y"


@pytest.mark.parametrize(
    "data", [b"\x00" * 1000, b"<" * 100_000, b"<div>" * 50_000, b"<!DOCTYPE x [<!ENTITY a 'b'>]>&a;"]
)
async def test_hostile_pages_harm_nobody(reader, data):
    with suppress(Unread):
        await reader.text(data, media_type="text/html", charset=None)
    assert await reader.text(b"y", media_type="text/plain", charset=None) == "y"
