"""Something may have to be done: a loop waits for the bell, and looks now and then without it."""

from __future__ import annotations

import asyncio

from halfrate.clock import Clock


class Bell:
    """Wakes the one loop that waits. A ring while nobody waits is kept for the next wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the loop."""
        self._rung.set()

    async def wait(self, *, seconds: float) -> None:
        """Return when the bell rings, or after this long."""
        rung = asyncio.ensure_future(self._rung.wait())
        passed = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({rung, passed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()
            passed.cancel()
        self._rung.clear()
