from halfrate.dispatch.troubles import FRESH_SECONDS, Troubles
from tests.fakes import FakeClock


def test_a_job_is_told_its_own_trouble_before_everybodys(clock: FakeClock) -> None:
    troubles = Troubles(clock)
    assert troubles.of("a") is None
    troubles.note("The disk is full.")
    troubles.note("Its output does not fit.", job_id="a")
    assert troubles.of("a") == "Its output does not fit."
    assert troubles.of("b") == "The disk is full."


def test_a_job_that_got_on_is_in_no_trouble(clock: FakeClock) -> None:
    troubles = Troubles(clock)
    troubles.note("The disk is full.")
    troubles.note("Its output does not fit.", job_id="a")
    troubles.note("Its output does not fit.", job_id="b")
    troubles.clear("a")
    assert troubles.of("a") is None
    assert troubles.of("b") == "Its output does not fit."


def test_a_trouble_nobody_speaks_of_any_more_is_forgotten(clock: FakeClock) -> None:
    troubles = Troubles(clock)
    troubles.note("The disk is full.", job_id="a")
    clock.advance(seconds=FRESH_SECONDS - 1)
    assert troubles.of("a") is not None
    clock.advance(seconds=1)
    assert troubles.of("a") is None
