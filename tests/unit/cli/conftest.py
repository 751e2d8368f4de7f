import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from halfrate import cli
from halfrate.cli import follow
from tests.support.stub_server import StubServer


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    """A server that HALFRATE_URL names."""
    with StubServer() as server:
        monkeypatch.setenv("HALFRATE_URL", server.url)
        yield server


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def halfrate(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run the command line in this process and say how it ended."""
    monkeypatch.setattr(follow, "LOOK_EVERY_SECONDS", 0.0)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["halfrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert b"Traceback" not in err
        return Ended(code, out.decode(), err.decode())

    return run
