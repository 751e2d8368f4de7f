"""Points at which a simulation lets a process die."""

from pathlib import Path

import pytest

import halfrate
from halfrate.crashpoints import CrashPoint, reach, watched


def test_a_point_is_passed_in_silence_while_nobody_watches():
    reach(CrashPoint.COMMIT_BEFORE)


def test_a_watcher_is_told_each_point_and_may_raise():
    seen = []
    with watched(seen.append):
        reach(CrashPoint.COMMIT_BEFORE)
        reach(CrashPoint.COMMIT_AFTER)
    assert seen == [CrashPoint.COMMIT_BEFORE, CrashPoint.COMMIT_AFTER]

    def die(point: CrashPoint) -> None:
        raise KeyboardInterrupt(point)

    with pytest.raises(KeyboardInterrupt, match=r"commit\.after"), watched(die):
        reach(CrashPoint.COMMIT_AFTER)
    reach(CrashPoint.COMMIT_AFTER)


@pytest.mark.parametrize("point", CrashPoint)
def test_every_point_stands_somewhere(point):
    sources = Path(halfrate.__file__).parent.rglob("*.py")
    uses = sum(path.read_text("utf-8").count(f"reach(CrashPoint.{point.name})") for path in sources)
    assert uses == 1, f"{point} stands at {uses} places"
