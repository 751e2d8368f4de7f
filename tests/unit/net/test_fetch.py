"""Pages are got within bounds, and from nowhere inside."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc

import pytest

from halfrate.domain.errors import InvalidArgument
from halfrate.net.fetch import REDIRECTS_MAX, Bounds, Fetcher, Got, NotGot, normalised
from halfrate.net.targets import Targets
from tests.support.receiver import answered, receiving
from tests.unit.net.test_targets import HOSTILE_URLS, INSIDE

LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
async def host():
    async with receiving() as host:
        yield host


def fetcher(look_up=None, *, allow=LOOPBACK, **bounds):
    return Fetcher(Targets(allow, allow_http=True, web=True), bounds=Bounds(**bounds), look_up=look_up)


def names(**known):
    async def look_up(name: str, port: int) -> list[str]:
        return known[name.split(".", maxsplit=1)[0]]

    return look_up


async def get(url, **settings):
    async with fetcher(**settings) as one:
        return await one.get(url)


async def test_a_page_comes_with_its_kind(host):
    host.answer = lambda call: answered(200, "Content-Type: Text/HTML; charset=ISO-8859-1\r\n", "<p>hi")
    url = f"http://127.0.0.1:{host.port}/a?b=c"
    assert await get(url) == Got(url, 200, "text/html", "iso-8859-1", b"<p>hi")
    (call,) = host.calls
    assert call.path == "/a?b=c"
    assert "halfrate" in call.headers["user-agent"]
    assert "cookie" not in call.headers


async def test_a_name_is_called_where_it_was_found_to_be(host):
    host.answer = lambda call: answered(200, body="x")
    got = await get(f"http://here.test:{host.port}/", look_up=names(here=["127.0.0.1"]))
    assert isinstance(got, Got)
    assert host.calls[0].headers["host"] == f"here.test:{host.port}"


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1"], ["8.8.8.8", "127.0.0.1"], ["10.1.2.3"]])
async def test_a_name_that_leads_inside_is_not_called(host, addresses):
    # On a port of the web, so that nothing but the address is against it.
    got = await get("http://rebound.test/", look_up=names(rebound=addresses), allow=())
    assert isinstance(got, NotGot)
    assert got.unsafe
    assert "no public address" in got.problem


@pytest.mark.parametrize("url", HOSTILE_URLS)
async def test_a_hostile_url_is_not_called(url):
    async def look_up(name: str, port: int) -> list[str]:
        # A name like any other: the addresses it leads to are checked.
        return ["127.0.0.1"]

    try:
        sent = normalised(url)
    except InvalidArgument:
        return
    got = await get(sent, look_up=look_up, allow=())
    assert isinstance(got, NotGot)
    assert got.unsafe


@pytest.mark.parametrize("address", INSIDE)
async def test_no_address_inside_is_called(address):
    got = await get("http://inside.test/", look_up=names(inside=[address]), allow=())
    assert isinstance(got, NotGot)
    assert got.unsafe


async def test_a_redirect_is_followed(host):
    async def to(place: str) -> Got | NotGot:
        host.answer = lambda call: (
            answered(302, f"Location: {place}\r\n") if call.path == "/from" else answered(200, body="there")
        )
        return await get(f"http://127.0.0.1:{host.port}/from")

    for place in ("/to#part", f"//127.0.0.1:{host.port}/to"):
        got = await to(place)
        assert isinstance(got, Got), place
        assert got.url.endswith("/to")
        assert got.body == b"there"


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "file:///etc/passwd",
        "http://a@b.test/",
        "//10.0.0.1/x",
    ],
)
async def test_a_redirect_that_leads_inside_is_not_followed(host, place):
    host.answer = lambda call: answered(301, f"Location: {place}\r\n")
    got = await get(f"http://127.0.0.1:{host.port}/")
    assert isinstance(got, NotGot)
    assert got.unsafe
    assert len(host.calls) == 1


async def test_a_name_that_is_rebound_between_redirects_is_not_called(host):
    found = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]

    async def look_up(name: str, port: int) -> list[str]:
        return found.pop(0)

    # Another name each time: what was found for the first is kept for a moment.
    host.answer = lambda call: answered(302, f"Location: http://b{len(host.calls)}.test:{host.port}/\r\n")
    got = await get(f"http://a.test:{host.port}/", look_up=look_up)
    assert isinstance(got, NotGot)
    assert got.unsafe
    assert len(host.calls) == 2


async def test_a_circle_of_redirects_ends(host):
    host.answer = lambda call: answered(302, "Location: /again\r\n")
    got = await get(f"http://127.0.0.1:{host.port}/")
    assert isinstance(got, NotGot)
    assert "leads on" in got.problem
    assert len(host.calls) == REDIRECTS_MAX + 1


async def test_a_page_that_is_too_large_is_not_read(host):
    host.answer = lambda call: answered(200, body="x" * 100_001)
    got = await get(f"http://127.0.0.1:{host.port}/", bytes_max=100_000)
    assert isinstance(got, NotGot)
    assert "100,000 bytes" in got.problem


async def test_what_is_compressed_is_counted_when_it_is_not_any_more(host):
    bomb = gzip.compress(bytes(200 << 20))
    head = f"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    host.answer = lambda call: head + bomb
    tracemalloc.start()
    try:
        got = await get(f"http://127.0.0.1:{host.port}/", bytes_max=1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(got, NotGot)
    assert peak < 64 << 20


async def test_a_page_that_comes_by_drops_is_given_up(host):
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        got = await get(f"http://127.0.0.1:{port}/", seconds=0.3)
    assert isinstance(got, NotGot)
    assert got.passing
    assert "after 0.3 s" in got.problem


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000])
async def test_a_host_that_misbehaves_is_a_problem_and_no_more(host, said):
    host.answer = lambda call: said
    got = await get(f"http://127.0.0.1:{host.port}/")
    assert isinstance(got, NotGot)
    assert not got.unsafe


def test_urls_are_sent_one_way():
    assert (
        normalised("HTTP://Exämple.test/a b/ü?q=ä#part") == "http://xn--exmple-cua.test/a%20b/%C3%BC?q=%C3%A4"
    )


async def test_an_odd_port_of_a_public_host_is_not_called():
    got = await get("http://public.test:22/", look_up=names(public=["8.8.8.8"]), allow=())
    assert isinstance(got, NotGot)
    assert got.unsafe
    assert "port 22" in got.problem
