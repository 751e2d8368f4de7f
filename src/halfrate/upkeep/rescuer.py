"""Gives the Shards of Workers that fell silent back to be claimed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from halfrate.clock import Clock
from halfrate.store.meta.api import MetaStore

logger = logging.getLogger(__name__)


class Rescuer:
    """Looks for lapsed Leases every ``every_seconds``."""

    def __init__(
        self, *, store: MetaStore, clock: Clock, every_seconds: float, rescued: Callable[[], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._every_seconds = every_seconds
        self._rescued = rescued

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._every_seconds)
            if count := await self._store.rescue_shards(lapsed_only=True):
                logger.warning("%d Shards were given back: their Leases had lapsed.", count)
                self._rescued()
