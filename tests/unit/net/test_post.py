"""A call goes to the address that was checked, and nothing the other end does can hold it up."""

import asyncio
import ssl

import pytest

from halfrate.net.post import Poster
from halfrate.net.targets import Targets
from tests.support.certificates import certificate_for
from tests.support.receiver import Received, answered, receiving


@pytest.fixture
async def receiver():
    async with receiving() as receiver:
        yield receiver


def names(**hosts: list[str]):
    asked = []

    async def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return hosts[host.partition(".")[0]]

    look_up.asked = asked
    return look_up


def poster(look_up=None, *, allow=("127.0.0.1",), timeout_seconds=10.0, **options) -> Poster:
    targets = Targets(allow, allow_http=True)
    return Poster(targets, timeout_seconds=timeout_seconds, look_up=look_up, **options)


async def test_the_body_and_the_headers_arrive(receiver):
    url = f"http://127.0.0.1:{receiver.port}/hook?a=b"
    posted = await poster().post(url, headers={"webhook-id": "evt_1"}, body=b'{"a": 1}')
    assert (posted.status, posted.taken) == (200, True)
    (call,) = receiver.calls
    assert (call.path, call.body, call.headers["webhook-id"]) == ("/hook?a=b", b'{"a": 1}', "evt_1")
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [300, 302, 307, 308, 400, 404, 410, 429, 500, 503])
async def test_what_is_not_2xx_is_not_taken_and_no_redirect_is_followed(receiver, status):
    receiver.answer = lambda call: answered(status, f"Location: http://127.0.0.1:{receiver.port}/other\r\n")
    posted = await poster().post(f"http://127.0.0.1:{receiver.port}/", headers={}, body=b"")
    assert (posted.status, posted.taken) == (status, False)
    assert [call.path for call in receiver.calls] == ["/"]
    assert str(posted) == f"The receiver answered {status}."


@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [
        (429, "120", 120.0),
        (503, "0", 0.0),
        (503, "9" * 400, 999_999_999.0),
        (429, "-1", None),
        (429, "soon", None),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (500, "120", None),
        (200, "120", None),
    ],
)
async def test_a_receiver_may_say_when_to_come_again(receiver, status, said, seconds):
    receiver.answer = lambda call: answered(status, f"Retry-After: {said}\r\n")
    posted = await poster().post(f"http://127.0.0.1:{receiver.port}/", headers={}, body=b"")
    assert posted.retry_after_seconds == seconds


async def test_a_name_is_called_at_the_address_that_was_checked(receiver):
    look_up = names(inside=["127.0.0.1"])
    posted = await poster(look_up).post(f"http://inside.test:{receiver.port}/", headers={}, body=b"")
    assert posted.taken
    assert receiver.calls[0].headers["host"] == f"inside.test:{receiver.port}"
    assert look_up.asked == ["inside.test"]  # once: a second answer might be another


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["::1"], ["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]]
)
async def test_a_name_that_leads_inside_is_not_called(receiver, addresses):
    url = f"https://rebound.test:{receiver.port}/"
    posted = await poster(names(rebound=addresses), allow=()).post(url, headers={}, body=b"")
    assert posted.status is None
    assert "no public address" in posted.problem
    assert receiver.calls == []


async def test_a_name_that_is_rebound_between_two_calls_is_not_called_again(receiver):
    answers = [["127.0.0.1"], ["127.0.0.2"]]

    async def look_up(host: str, port: int) -> list[str]:
        return answers.pop(0)

    sender = poster(look_up)
    url = f"http://rebound.test:{receiver.port}/"
    assert (await sender.post(url, headers={}, body=b"")).taken
    assert not (await sender.post(url, headers={}, body=b"")).taken
    assert len(receiver.calls) == 1


async def test_the_next_address_of_a_name_is_tried(receiver):
    look_up = names(many=["127.0.0.2", "127.0.0.1"])
    sender = poster(look_up, allow=["127.0.0.0/8"])
    assert (await sender.post(f"http://many.test:{receiver.port}/", headers={}, body=b"")).taken


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (None, "no answer within"),
        (b"", "cannot be reached"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, "too long"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, "cannot be reached"),
    ],
)
async def test_a_receiver_that_misbehaves_is_a_problem_and_no_more(receiver, said, problem):
    receiver.answer = lambda call: said
    sender = poster(timeout_seconds=0.2 if said is None else 10)
    posted = await sender.post(f"http://127.0.0.1:{receiver.port}/", headers={}, body=b"")
    assert posted.status is None
    assert problem in posted.problem


async def test_the_body_of_an_answer_is_not_waited_for(receiver):
    receiver.answer = lambda call: b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx"
    assert (await poster().post(f"http://127.0.0.1:{receiver.port}/", headers={}, body=b"")).taken


async def test_where_nobody_listens_the_problem_says_so(unused_port):
    posted = await poster().post(f"http://127.0.0.1:{unused_port}/", headers={}, body=b"")
    assert "cannot be reached" in posted.problem


async def test_a_name_that_is_not_there_is_a_problem():
    posted = await poster(allow=["nowhere.invalid"]).post("http://nowhere.invalid/", headers={}, body=b"")
    assert "cannot be reached" in posted.problem


async def test_a_receiver_must_prove_its_name(tmp_path):
    certificate = certificate_for("hooks.test", tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    look_up = names(hooks=["127.0.0.1"], other=["127.0.0.1"])
    async with receiving(tls=serving) as receiver:
        trusted, untrusted = poster(look_up, tls=trusting), poster(look_up)
        good, other = (f"https://{name}.test:{receiver.port}/" for name in ("hooks", "other"))
        assert (await trusted.post(good, headers={}, body=b"")).taken
        for sender, url in ((untrusted, good), (trusted, other)):
            posted = await sender.post(url, headers={}, body=b"")
            assert "certificate verify failed" in posted.problem
        assert len(receiver.calls) == 1
        assert isinstance(receiver.calls[0], Received)


@pytest.fixture
async def unused_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return int(port)
