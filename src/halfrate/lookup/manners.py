"""How often a host is asked: a few calls at a time, some time between the beginnings of two."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from halfrate.clock import Clock

HOSTS_KEPT = 10_000


@dataclass(slots=True)
class _Host:
    turns: asyncio.Semaphore
    next_at: float = 0.0
    inside: int = field(default=0)  # calls under way or waiting


class Manners:
    """At most ``calls_max`` calls of a host at a time, each beginning ``delay_seconds`` after the one before.

    A host that asks to be left alone is left alone, by `pause`.
    """

    def __init__(self, clock: Clock, *, calls_max: int, delay_seconds: float) -> None:
        self._clock = clock
        self._calls_max = calls_max
        self._delay_seconds = delay_seconds
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @asynccontextmanager
    async def turn(self, host: str, *, delay_seconds: float = 0.0) -> AsyncIterator[None]:
        """Wait until ``host`` may be called, and hold a place there until left.

        ``delay_seconds`` is what the host itself asks for, if that is longer.
        """
        known = self._known(host)
        known.inside += 1
        try:
            async with known.turns:
                await self._wait(known, max(delay_seconds, self._delay_seconds))
                yield
        finally:
            known.inside -= 1

    def pause(self, host: str, seconds: float) -> None:
        """Let nobody call ``host`` for a while."""
        known = self._known(host)
        known.next_at = max(known.next_at, self._clock.now() + seconds)

    async def _wait(self, host: _Host, delay_seconds: float) -> None:
        while (ahead := host.next_at - self._clock.now()) > 0:
            await self._clock.sleep(ahead)
        host.next_at = self._clock.now() + delay_seconds

    def _known(self, host: str) -> _Host:
        known = self._hosts.get(host)
        if known is None:
            known = self._hosts[host] = _Host(asyncio.Semaphore(self._calls_max))
            self._forget_the_oldest()
        self._hosts.move_to_end(host)
        return known

    def _forget_the_oldest(self) -> None:
        now = self._clock.now()
        for name in list(self._hosts)[: max(0, len(self._hosts) - HOSTS_KEPT)]:
            if not self._hosts[name].inside and self._hosts[name].next_at <= now:
                del self._hosts[name]
