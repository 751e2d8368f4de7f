"""How a dead child is started again."""

from __future__ import annotations

from halfrate.engines.embedded.restarts import Record
from halfrate.engines.embedded.settings import EmbeddedSettings

SETTINGS = EmbeddedSettings(
    backoff_seconds=0.5, backoff_seconds_max=30.0, healthy_seconds=60.0, load_attempts_max=3
)


def died(*lives: tuple[bool, float]) -> Record:
    record = Record()
    for was_ready, up_seconds in lives:
        record = record.after(SETTINGS, was_ready=was_ready, up_seconds=up_seconds)
    return record


def test_each_death_in_a_row_doubles_the_wait_up_to_a_bound() -> None:
    delays = [died(*[(True, 1.0)] * n).delay_seconds(SETTINGS, chance=0.0) for n in range(1, 10)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == 30.0
    assert died(*[(True, 1.0)] * 5000).delay_seconds(SETTINGS, chance=0.0) == 30.0


def test_chance_cuts_off_at_most_a_half() -> None:
    """A fleet that died together must not come back together."""
    assert 15.0 <= died(*[(True, 1.0)] * 50).delay_seconds(SETTINGS, chance=0.999) < 16.0


def test_a_long_life_makes_up_for_earlier_deaths() -> None:
    assert died(*[(True, 1.0)] * 8, (True, 61.0)).delay_seconds(SETTINGS, chance=0.0) == 0.5


def test_only_deaths_before_it_was_ever_ready_are_hopeless() -> None:
    """A model that loaded once can load again."""
    assert died(*[(False, 100.0)] * 3).hopeless(SETTINGS)
    assert not died(*[(False, 1.0)] * 2).hopeless(SETTINGS)
    assert not died((False, 1.0), (False, 1.0), (True, 1.0), (False, 1.0)).hopeless(SETTINGS)
    assert not died(*[(True, 0.1)] * 100).hopeless(SETTINGS)
