import pytest

from halfrate.cli.follow import PATIENCE_SECONDS, follow
from halfrate.client import Client, JobView
from halfrate.domain.errors import Unreachable
from tests.support.stub_server import operation, succeeded


class ScriptedClient(Client):
    """Answers each look with the next entry: an Operation, or the error to raise."""

    def __init__(self, *script: object) -> None:
        super().__init__()
        self._script = list(script)

    def job(self, name: str) -> JobView:
        entry = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(entry, Exception):
            raise entry
        assert isinstance(entry, dict)
        return JobView.of(entry)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def looks(client: Client) -> list[tuple[str, float | None]]:
    clock = Clock()
    return [(job.state, rate) for job, rate in follow(client, "x", now=clock.now, sleep=clock.sleep)]


def test_the_rate_is_what_was_answered_since_the_first_look() -> None:
    some = operation("RUNNING", batchStats={"requestCount": "9", "successfulRequestCount": "4"})
    client = ScriptedClient(operation("RUNNING", batchStats={"requestCount": "9"}), some, succeeded())
    assert looks(client)[:2] == [("RUNNING", None), ("RUNNING", 8.0)]


def test_a_server_that_restarts_is_waited_for() -> None:
    client = ScriptedClient(operation("RUNNING"), Unreachable("away"), Unreachable("away"), succeeded())
    assert [state for state, _ in looks(client)] == ["RUNNING", "SUCCEEDED"]


def test_a_server_that_stays_away_is_given_up() -> None:
    clock = Clock()
    client = ScriptedClient(operation("RUNNING"), Unreachable("away"))
    with pytest.raises(Unreachable):
        list(follow(client, "x", now=clock.now, sleep=clock.sleep))
    assert clock.time - 100.0 == pytest.approx(PATIENCE_SECONDS, abs=2)


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    with pytest.raises(Unreachable):
        looks(ScriptedClient(Unreachable("nobody")))
