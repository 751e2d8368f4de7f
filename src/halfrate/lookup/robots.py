"""What the owners of hosts want left alone, as their robots.txt says it (RFC 9309)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halfrate.clock import Clock
from halfrate.lookup.held import Held
from halfrate.net.fetch import Fetcher, Got, NotGot

if TYPE_CHECKING:
    from protego import Protego

AGENT = "halfrate"
KEEP_SECONDS = 3_600.0
ORIGINS_KEPT = 1_000
DELAY_SECONDS_MAX = 30.0
"""A crawl delay beyond this is not waited for: few pages would come to an end."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a URL may be read, and how long to wait between two calls of its host."""

    allowed: bool
    delay_seconds: float = 0.0


class Robots:
    """Looks robots.txt up, once an hour for each origin."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._known: Held[str, tuple[float, asyncio.Task[Protego | bool]]] = Held(ORIGINS_KEPT)

    async def rule(self, url: str, *, origin: str) -> Rule:
        """Return what the owner of ``origin`` says of ``url``."""
        known = self._known.get(origin)
        now = self._clock.now()
        if known is None or now - known[0] > KEEP_SECONDS:
            known = now, asyncio.create_task(self._read(origin))
            self._known.put(origin, known)
        # Shielded: whoever stops waiting does not take it from the others.
        rules = await asyncio.shield(known[1])
        if isinstance(rules, bool):
            return Rule(rules)
        delay_seconds = rules.crawl_delay(AGENT) or 0.0
        return Rule(rules.can_fetch(url, AGENT), min(float(delay_seconds), DELAY_SECONDS_MAX))

    async def _read(self, origin: str) -> Protego | bool:
        """Return the rules, or whether everything may be read."""
        from protego import Protego  # noqa: PLC0415 - an extra

        got = await self._fetcher.get(f"{origin}/robots.txt", accept="text/plain")
        match got:
            case NotGot(passing=passing):
                return not passing  # a host that does not answer is not asked for more
            case Got(status=status) if status >= 500 or status == 429:
                return False
            case Got(status=200, body=body):
                return await asyncio.to_thread(Protego.parse, body.decode("utf-8", "replace"))
        return True
