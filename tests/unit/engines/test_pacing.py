"""When a server may be asked: what is allowed, what it asked for, and what it says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.domain.outcome import Answered, Cause, Failed, Finish
from halfrate.domain.request import Message, Request, Role, Sampling
from halfrate.domain.usage import Usage
from halfrate.engines.upstream.bucket import Bucket
from halfrate.engines.upstream.estimate import Estimate
from halfrate.engines.upstream.governor import Governor
from halfrate.engines.upstream.load import Load, load_of
from halfrate.engines.upstream.throttle import Throttle
from halfrate.wire.allowances import Allowance, Allowances

ANSWER = Answered.of("yes", Finish.STOP, Usage(3, 1, 0))


@given(st.floats(1, 10_000), st.lists(st.floats(0.1, 50), min_size=1, max_size=60))
def test_a_bucket_lets_through_what_is_allowed_and_not_more(per_minute, amounts):
    """Whoever takes as soon as it opens gets the rate, a second's worth ahead, and one amount beyond it."""
    bucket, now, taken = Bucket.per_minute(per_minute), 0.0, 0.0
    for amount in amounts:
        now = bucket.opens_at(amount, now)
        bucket.take(amount, now)
        taken += amount
        allowed = now * per_minute / 60 + max(per_minute / 60, 1) + max(amounts)
        assert taken <= allowed + 1e-6
    assert now <= sum(amounts) * 60 / per_minute + 1e-6, "nor less"


def test_what_a_call_took_beyond_the_estimate_is_owed():
    bucket = Bucket.per_minute(600)
    bucket.take(10, 0.0)
    bucket.take(20, 0.0)  # it took so much more
    assert bucket.opens_at(10, 0.0) == pytest.approx(3.0)
    bucket.take(-20, 0.0)
    assert bucket.opens_at(10, 0.0) == pytest.approx(1.0)


def allowing_rate(per_second: float, depth: float, pause: float, seconds: float, fast: float) -> float:
    """The fraction of its rate that a server with a bucket gives to a client that would send ``fast``."""
    server = Bucket(capacity=depth, per_second=per_second)
    throttle, now, answers = Throttle(), 0.0, 0
    while now < seconds:
        now = max(throttle.opens_at(now), now + 1 / fast)
        throttle.began(now)
        if server.opens_at(1, now) <= now:
            server.take(1, now)
            throttle.answered()
            answers += 1
        else:
            throttle.refused(now, pause_seconds=pause)
    return answers / (per_second * seconds)


@pytest.mark.parametrize("depth_seconds", [0.05, 0.2, 1.0, 5.0])
@pytest.mark.parametrize("times_faster", [1.5, 10.0])
def test_the_rate_that_a_server_allows_is_learned_from_its_refusals(depth_seconds, times_faster):
    """Also where a pause of a second loses what the server would have allowed in it."""
    fraction = allowing_rate(100.0, 100 * depth_seconds, pause=1.0, seconds=300.0, fast=100 * times_faster)
    assert fraction >= (0.93 if depth_seconds >= 0.2 else 0.85)


def test_a_server_that_allows_more_again_is_asked_more():
    throttle, now = Throttle(), 0.0
    for _ in range(2):  # ten answers a second, twice
        for _ in range(100):
            now = throttle.opens_at(now + 0.1)
            throttle.began(now)
            throttle.answered()
        throttle.refused(now, pause_seconds=1.0)
    began = now
    for _ in range(3_000):
        now = throttle.opens_at(now)
        throttle.began(now)
    assert 3_000 / (now - began) > 11


def governor(**options: int) -> Governor:
    return Governor(**({"most": 8} | options))


def test_what_one_call_is_told_holds_for_all():
    paced = governor()
    for _ in range(3):
        paced.began(0.0, tokens=1)
    paced.ended(0.0, Failed(Cause.OVERLOADED, "Busy.", 30.0), tokens=1, waiting=1)
    assert paced.paused_until == 30.0
    assert paced.opens_at(1.0, tokens=1) == 30.0
    paced.ended(2.0, Failed(Cause.OVERLOADED, "Busy.", 5.0), tokens=1, waiting=1)
    assert paced.opens_at(2.0, tokens=1) == 30.0, "a later answer does not shorten it"
    assert paced.opens_at(31.0, tokens=1) == 31.0
    assert paced.limit == 4, "and there were not too many at once"


def test_a_refusal_without_a_time_means_too_many_at_once():
    paced = governor()
    for _ in range(4):
        paced.began(0.0, tokens=1)
    assert paced.full
    for _ in range(2):
        paced.ended(0.0, Failed(Cause.OVERLOADED, "Busy."), tokens=1, waiting=1)
    assert paced.limit == 2


def test_unless_its_headers_say_that_too_many_came_in_a_time():
    paced = governor()
    for _ in range(4):
        paced.began(0.0, tokens=1)
    paced.allowed(0.0, Allowances(requests=Allowance(0, 60, 60.0, refills=True)))
    paced.ended(0.0, Failed(Cause.OVERLOADED, "Busy."), tokens=1, waiting=1)
    assert paced.limit == 4


@pytest.mark.parametrize("cause", [Cause.TIMED_OUT, Cause.UPSTREAM, Cause.ENGINE_DIED])
def test_a_server_that_breaks_down_gets_less(cause):
    paced = governor()
    paced.began(0.0, tokens=1)
    paced.ended(0.0, Failed(cause, "Why."), tokens=1, waiting=1)
    assert paced.limit == 2


@pytest.mark.parametrize("cause", [Cause.INVALID, Cause.TOO_LONG, Cause.UNSUPPORTED])
def test_a_fault_of_the_request_says_nothing_of_the_server(cause):
    paced = governor()
    paced.began(0.0, tokens=1)
    paced.ended(0.0, Failed(cause, "Why."), tokens=1, waiting=1)
    assert (paced.limit, paced.in_flight, paced.opens_at(0.0, tokens=1)) == (4, 0, 0.0)


def test_what_grows_back_is_used_as_it_grows():
    """60 in a minute, of which none is left: the next may begin when one is back."""
    paced = governor()
    paced.began(0.0, tokens=1)
    paced.allowed(0.0, Allowances(requests=Allowance(0, 60, 60.0, refills=True)))
    assert paced.opens_at(0.0, tokens=1) == pytest.approx(1.0)


def test_what_comes_back_all_at_once_is_waited_for():
    paced = governor()
    paced.began(0.0, tokens=1)
    paced.allowed(0.0, Allowances(requests=Allowance(0, 60, 40.0, refills=False)))
    assert paced.opens_at(0.0, tokens=1) == 40.0
    assert paced.opens_at(40.0, tokens=1) == 40.0


def test_calls_on_the_wire_are_taken_off_what_is_left():
    paced = governor(least=8)
    for _ in range(3):
        paced.began(0.0, tokens=100)
    paced.allowed(0.0, Allowances(tokens=Allowance(450, 1_000, 10.0, refills=True)))
    assert paced.opens_at(0.0, tokens=150) == 0.0
    assert paced.opens_at(0.0, tokens=200) > 0.0


def test_a_call_that_was_hung_up_leaves_its_place():
    paced = governor(most=1)
    paced.began(0.0, tokens=1)
    assert paced.full
    paced.given_up(tokens=1)
    assert not paced.full


def test_a_queue_at_the_server_is_kept_short():
    assert Load(running=8, waiting=0).most(8) is None
    assert Load(running=8, waiting=2).most(10) == 10
    assert Load(running=8, waiting=20).most(28) == 10
    assert Load(running=64, waiting=30).most(94) == 72
    assert Load(running=8, waiting=0, cache=0.99).most(8) == 8
    paced = governor(least=1, most=64)
    paced.loaded(Load(running=2, waiting=10))
    assert paced.limit == 1
    paced.loaded(Load(running=2, waiting=0))


@pytest.mark.parametrize(
    ("text", "load"),
    [
        (
            'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
            'vllm:num_requests_waiting{model_name="m"} 2.0\nvllm:kv_cache_usage_perc{a="b"} 0.5',
            Load(3, 2, 0.5),
        ),
        ("vllm:num_requests_running 1.0\nvllm:gpu_cache_usage_perc 1e-1", Load(1, 0, 0.1)),
        (
            "# HELP llamacpp:requests_processing x\nllamacpp:requests_processing 4\n"
            "llamacpp:requests_deferred 7\n",
            Load(4, 7),
        ),
        ('sglang:num_running_reqs{a="}"} 4\n', None),
        ("sglang:num_running_reqs 4\nsglang:num_queue_reqs 1\n", Load(4, 1)),
        ("tgi_batch_current_size 4\ntgi_queue_size 1\n", Load(4, 1)),
        ("vllm:num_requests_running 1\nvllm:num_requests_running 2\n", Load(3, 0)),
        ("vllm:num_requests_waiting 3\n", None),
        ("<html>", None),
    ],
)
def test_the_load_of_known_servers_is_read(text, load):
    assert load_of(text) == load


def ask(chars: int, **sampling: int) -> Request:
    return Request((Message(Role.USER, "x" * chars),), Sampling(**sampling))


def test_estimates_follow_what_calls_took():
    estimate = Estimate()
    assert estimate.tokens(ask(400)) == 100 + 256 + 1
    assert estimate.tokens(ask(400, max_output_tokens=10)) == 100 + 10 + 1
    for _ in range(200):
        assert estimate.correct(ask(400), Answered.of("x", Finish.STOP, Usage(200, 20, 0))) == 220
    assert estimate.tokens(ask(400)) == pytest.approx(221, abs=2)
    assert estimate.correct(ask(400), Failed(Cause.INVALID, "no")) is None
