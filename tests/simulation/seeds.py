"""Which seeds are lived: ``HALFRATE_SEEDS`` of them from ``HALFRATE_SEED_FROM`` on."""

from __future__ import annotations

import os

SEED_FROM = int(os.environ.get("HALFRATE_SEED_FROM", "0"))
SEEDS = range(SEED_FROM, SEED_FROM + int(os.environ.get("HALFRATE_SEEDS", "50")))
