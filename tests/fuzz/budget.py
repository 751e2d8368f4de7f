"""How much is tried: a little in `make test`, a lot in `make fuzz`, which sets ``HALFRATE_FUZZ``.

``HALFRATE_FUZZ`` is the number of mutated lines, ``HALFRATE_SEED`` where chance begins.
"""

from __future__ import annotations

import os

from hypothesis import settings

LINES = int(os.environ.get("HALFRATE_FUZZ", "4000"))
SEED = int(os.environ.get("HALFRATE_SEED", "0"))

_LINES_PER_EXAMPLE = 40


def property_settings() -> settings:
    """Return hypothesis' settings for a property of single values."""
    return settings(max_examples=max(50, LINES // _LINES_PER_EXAMPLE), deadline=None)


def state_settings() -> settings:
    """Return hypothesis' settings for a machine that opens a whole application in every example."""
    return settings(max_examples=max(15, LINES // 5_000), stateful_step_count=30, deadline=None)
