"""The table of crash points is the enum, in its order."""

import re
from pathlib import Path

from halfrate.crashpoints import CrashPoint

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "crash-points.md"


def test_the_table_has_every_point_in_order_and_no_other():
    told = re.findall(r"^\| `([a-z.]+)` \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert told == [point.value for point in CrashPoint]
