from collections.abc import Iterator

import pytest

from tests.support.stub_server import StubServer


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server
