"""What every test may use: a clock that only the test moves."""

import pytest
from hypothesis import settings

from tests.fakes import FakeClock

# A property is about what is true, never about how fast this machine is just now.
settings.register_profile("halfrate", deadline=None)
settings.load_profile("halfrate")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
