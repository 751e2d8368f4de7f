"""``kill -9`` at random moments, of a server and of its children, while it answers Jobs of all kinds.

Every output is that of an undisturbed run, whatever died meanwhile. ``HALFRATE_KILLS`` says how many kills
there are (`make crash`: 200), ``HALFRATE_SEED`` repeats a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import report
from halfrate.dispatch.sink import GROUP_ENOUGH
from tests.crash.customers import ENDED, Customer
from tests.crash.victims import Victim
from tests.engines import real_model
from tests.support.processes import halfrate

KILLS = int(os.environ.get("HALFRATE_KILLS", "5"))
SEED = int(os.environ.get("HALFRATE_SEED", "0")) or random.SystemRandom().randrange(2**32)
SCALE = 10 if KILLS >= 50 else 1
JOBS_AT_ONCE = 4
LANES = 128
STARTING = 0.2
"""How many kills do not wait until there is work again: they meet servers and engines that start."""

MOMENT_SECONDS = 2.0
"""How long a kill waits for the moment that was chosen for it."""

pytestmark = pytest.mark.crash


@dataclass(frozen=True)
class Order:
    """What a customer orders again and again, and what an undisturbed run answered."""

    kind: str
    lines: list[bytes]
    inline: bool = False
    skip: bool = False

    def place(self, customer: Customer, display_name: str) -> None:
        if self.inline:
            items = [json.loads(line) for line in self.lines]
            source: dict[str, Any] = {"requests": {"requests": items}}
        else:
            source = {"fileName": customer.upload(b"\n".join(self.lines))[0]}
        customer.create(display_name, source, skip=self.skip)


def orders() -> list[Order]:
    """Jobs of several sizes: of files and inline, with twins, and with bad lines that are passed over."""
    bad = [asked(number, "bad") for number in range(20 * SCALE)]
    bad[5::17] = [b'{"key": "no request"}'] * len(bad[5::17])
    bad[7::23] = [b"this is no JSON"] * len(bad[7::23])
    bad[9::31] = [bad[1]] * len(bad[9::31])
    return [
        Order("large", [asked(number, "large") for number in range(60 * SCALE)]),
        Order("inline", [inline(number) for number in range(8 * SCALE)], inline=True),
        Order("twins", [asked(number, "twins", prompt=number % 30) for number in range(40 * SCALE)]),
        Order("small", [asked(number, "small") for number in range(3)]),
        Order("bad", bad, skip=True),
    ]


REVIEWS = ["It broke after a day.", "Best purchase this year.", "It is a box.", "Loud, slow and ugly."]


def request_of(number: int, kind: str) -> dict[str, Any]:
    text = f"Is this review good? It is number {number} ({kind}).\n\n{REVIEWS[number % len(REVIEWS)]}"
    config = {"temperature": 0, "maxOutputTokens": 4 + number % 13}
    return {"contents": [{"parts": [{"text": text}]}], "generationConfig": config}


def asked(number: int, kind: str, *, prompt: int | None = None) -> bytes:
    request = request_of(number if prompt is None else prompt, kind)
    return json.dumps({"key": f"{kind}-{number}", "request": request}).encode()


def inline(number: int) -> bytes:
    return json.dumps({"request": request_of(number, "inline"), "metadata": {"key": f"i{number}"}}).encode()


def bare(result: Any) -> Any:
    """A Result without what tells two runs apart: its id, and what the cache happened to hold."""
    response = result.get("response")
    if response is not None:
        response.pop("responseId")
        for name in ("cachedContentTokenCount", "cacheTokensDetails"):
            response["usageMetadata"].pop(name, None)
    return result


class Campaign:
    """The kills: whom, when, and what they came to."""

    def __init__(self, victim: Victim, customer: Customer, chance: random.Random) -> None:
        self._victim = victim
        self._customer = customer
        self._chance = chance
        self._turns = cycle(["server", "engine", "worker"])
        self.kills: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()
        self.at_work = 0
        self._asked_at_kill = 0

    def kill(self) -> None:
        """Wait for a moment, and kill whose turn it is; where there is none of its kind, another one."""
        if self._chance.random() < STARTING:
            moment = "starting"
        else:
            moment = self._chance.choice(["any", "any", "upload", "assembly"])
            self._await_work()
        if not self._await(moment):
            moment = "any"
        self.at_work += self._asks() > self._asked_at_kill
        self.moments[moment] += 1
        kind = next(self._turns)
        if kind == "worker" and self._victim.child("worker") is None:
            kind = self._chance.choice(["server", "engine"])
        child = None if kind == "server" else self._victim.child(kind)
        if child is None:
            kind = "server"
            self._victim.kill()
        else:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.kills[kind] += 1
        self._asked_at_kill = self._asks()

    def _asks(self) -> int:
        return asks_of(self._victim)

    def _await_work(self) -> None:
        """Wait until the engine is asked again, for a while."""
        deadline = time.monotonic() + 2 * MOMENT_SECONDS
        while self._asks() <= self._asked_at_kill and time.monotonic() < deadline:
            time.sleep(0.01)

    def _await(self, moment: str) -> bool:
        if moment in ("any", "starting"):
            time.sleep(self._chance.uniform(0, MOMENT_SECONDS / 2))
            return True
        if moment == "upload":
            came = self._customer.uploading.wait(MOMENT_SECONDS)
            time.sleep(self._chance.uniform(0, 0.05))
            return came
        deadline = time.monotonic() + MOMENT_SECONDS
        while time.monotonic() < deadline:
            if states(self._victim.data)["ASSEMBLING"]:
                time.sleep(self._chance.uniform(0, 0.02))
                return True
            time.sleep(0.001)
        return False


def states(data: Path) -> Counter[str]:
    """How many Jobs are in each state, read beside the server."""
    database = sqlite3.connect(f"file:{data}/halfrate.db?mode=ro", uri=True)
    try:
        return Counter(dict(database.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall()))
    finally:
        database.close()


@contextmanager
def ordering(customer: Customer) -> Iterator[Counter[str]]:
    """Have Jobs ordered all the time, so that there is work. Yields how many of each kind there are.

    The customer uploads while it waits, too, so that kills meet uploads.
    """
    ordered: Counter[str] = Counter()
    over = threading.Event()

    def order() -> None:
        content = b"\n".join(orders()[0].lines)
        for number, order in zip(count(), cycle(orders())):
            while customer.unfinished() >= JOBS_AT_ONCE and not over.wait(0.3):
                name, sha256 = customer.upload(content)
                assert sha256 == hashlib.sha256(content).hexdigest()
                customer.forget(name)
            if over.is_set():
                return
            order.place(customer, f"{order.kind}-{number}")
            ordered[order.kind] += 1

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(order)
        try:
            yield ordered
        finally:
            over.set()
    done.result()


def until_all_ended(customer: Customer) -> None:
    deadline = time.monotonic() + 300
    while customer.unfinished():
        assert time.monotonic() < deadline, f"some Jobs do not end: {customer.jobs()}"
        time.sleep(0.05)


def asks_of(victim: Victim) -> int:
    return victim.asks.stat().st_size if victim.asks.exists() else 0


def test_whatever_is_killed_every_output_is_that_of_an_undisturbed_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nHALFRATE_SEED={SEED} HALFRATE_KILLS={KILLS}", flush=True)
    real_model()
    began = time.monotonic()
    victim = Victim(tmp_path / "data", tmp_path)
    try:
        figures = lives(victim, random.Random(SEED))
    finally:
        victim.stop()
    figures |= {"wall_seconds": round(time.monotonic() - began, 1), "seed": SEED}
    with capsys.disabled():
        if os.environ.get("HALFRATE_REPORT"):
            report("crash", figures)
        else:
            print(json.dumps(figures))


def lives(victim: Victim, chance: random.Random) -> dict[str, Any]:
    customer = Customer(lambda: victim.url)
    expected, needed = undisturbed(victim, customer)
    asked_before = asks_of(victim)

    campaign = Campaign(victim, customer, chance)
    cancelling = min(10, KILLS // 5)
    with ordering(customer) as ordered:
        for _ in range(KILLS - cancelling):
            campaign.kill()
    until_all_ended(customer)
    asked_again = asks_of(victim) - asked_before - sum(needed[kind] * jobs for kind, jobs in ordered.items())
    requests = check_outputs(customer, expected)

    cancel_in_between(customer, campaign, kills=cancelling)
    check_cancelled(customer, expected)
    check_what_is_left(victim)

    # At most what was in flight is asked again: on the lanes, being settled, or waiting to be.
    assert 0 <= asked_again <= campaign.kills.total() * (LANES + 2 * GROUP_ENOUGH)
    return {
        "kills": dict(campaign.kills),
        "moments": dict(campaign.moments),
        "at_work": campaign.at_work,
        "restarts": victim.restarts,
        "jobs": ordered.total() + len(expected),
        "requests": requests,
        "asked_again": asked_again,
        "asked_again_per_kill": round(asked_again / max(1, KILLS - cancelling), 1),
        "uploads_resumed": customer.resumed,
    }


def undisturbed(victim: Victim, customer: Customer) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """What every order is answered, and how often the engine is asked for it, while nothing is killed."""
    expected, needed = {}, {}
    for order in orders():
        before = asks_of(victim)
        order.place(customer, order.kind)
        until_all_ended(customer)
        expected[order.kind] = [bare(result) for result in customer.results(customer.jobs()[order.kind])]
        needed[order.kind] = asks_of(victim) - before
        assert len(expected[order.kind]) == len(order.lines)
    return expected, needed


def check_outputs(customer: Customer, expected: dict[str, list[Any]]) -> int:
    """Compare every Job's output, line by line and in order. Return how many lines there were."""
    requests = 0
    for name, job in customer.jobs().items():
        assert job["state"] == "BATCH_STATE_SUCCEEDED", (name, job)
        results = [bare(result) for result in customer.results(job)]
        wanted = expected[name.split("-")[0]]
        different = [(got, want) for got, want in zip(results, wanted, strict=True) if got != want]
        assert not different, f"{name} has {len(different)} other Results, the first: {different[0]}"
        requests += len(results)
    return requests


def cancel_in_between(customer: Customer, campaign: Campaign, *, kills: int) -> None:
    """Cancel Jobs that run, while servers and engines go on dying."""
    large = orders()[0]
    for number in range(3):
        large.place(customer, f"cancel-{number}")
    for number in range(3):
        for _ in range(kills // 3 + (number < kills % 3)):
            campaign.kill()
        customer.cancel(customer.jobs()[f"cancel-{number}"])
    until_all_ended(customer)


def check_cancelled(customer: Customer, expected: dict[str, list[Any]]) -> None:
    """A cancelled Job has a line for each Request: what was answered, and an error for what was not."""
    for number in range(3):
        job = customer.jobs()[f"cancel-{number}"]
        assert job["state"].endswith(ENDED)
        for got, want in zip(customer.results(job), expected["large"], strict=True):
            cancelled = got.get("error", {}).get("code") == 1
            assert got["key"] == want["key"]
            assert cancelled or bare(got) == want


def check_what_is_left(victim: Victim) -> None:
    """After a last start nothing is left half-done, and the doctor finds nothing."""
    victim.stop()
    victim.start()
    assert list((victim.data / "spill").iterdir()) == []
    assert [path for path in victim.data.rglob("*") if path.name.startswith(".tmp-")] == []
    seen = halfrate("doctor", "--data", victim.data, "--json", url=victim.url)
    findings = [finding for finding in json.loads(seen.stdout)["findings"] if finding["subject"] == "store"]
    assert [finding["verdict"] for finding in findings] == ["ok"], findings
    assert seen.returncode == 0
