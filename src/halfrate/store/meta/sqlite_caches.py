"""The part of the SQLite store that keeps cached contents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

import apsw

from halfrate.clock import Clock
from halfrate.domain.cache import Cache
from halfrate.domain.errors import ResourceExhausted
from halfrate.store.meta.api import Place
from halfrate.store.meta.rows import Row, cursor_of, execute

T = TypeVar("T")


class SqliteCaches(ABC):
    """What `SqliteStore` does with Caches."""

    _clock: Clock

    @abstractmethod
    async def _change(self, change: Callable[[apsw.Connection], T]) -> T: ...

    @abstractmethod
    def _read(self, name: str, values: Row) -> list[Row]: ...

    async def create_cache(self, cache: Cache, *, caches_max: int) -> None:
        """Add a Cache. Raise `ResourceExhausted` if there are ``caches_max``."""
        values = asdict(cache) | {"caches_max": caches_max}
        if not await self._change(lambda connection: execute(connection, "create_cache", values)):
            raise ResourceExhausted(
                f"There are {caches_max} cached contents, and no more are kept. Delete one, or wait until "
                "one expires."
            )

    async def get_cache(self, cache_id: str, *, at: float | None = None) -> Cache | None:
        """Return a Cache that is there, or that was there ``at`` a moment, or None."""
        values = {"id": cache_id, "at": self._clock.now() if at is None else at}
        found = self._read("get_cache", values)
        return Cache(**found[0]) if found else None

    async def list_caches(self, *, limit: int, after: Place | None) -> list[Cache]:
        """Return up to ``limit`` Caches, newest first, that come after ``after``."""
        values = {"limit": limit, "now": self._clock.now()} | cursor_of(after)
        return [Cache(**row) for row in self._read("list_caches", values)]

    async def expire_cache(self, cache_id: str, *, expires_at: float) -> bool:
        """Have a Cache expire then. Return False if there is none."""
        values = {"id": cache_id, "expires_at": expires_at, "now": self._clock.now()}
        return bool(await self._change(lambda connection: execute(connection, "change_cache", values)))

    async def caches_gone(self, *, limit: int) -> list[Cache]:
        """Return up to ``limit`` Caches that have expired, and that no unfinished Job may still need."""
        values = {"now": self._clock.now(), "limit": limit}
        return [Cache(**row) for row in self._read("caches_gone", values)]

    async def drop_cache(self, cache_id: str) -> None:
        """Remove a Cache that has expired."""
        values = {"id": cache_id, "now": self._clock.now()}
        await self._change(lambda connection: execute(connection, "drop_cache", values))

    async def stored_caches(self, *, limit: int, after: str) -> list[Cache]:
        """Return up to ``limit`` Caches, expired ones too, in order of id, that come after ``after``."""
        return [Cache(**row) for row in self._read("stored_caches", {"limit": limit, "after": after})]

    async def cache_stored(self, cache_id: str) -> bool:
        """Whether there is a row of a Cache, expired or not."""
        return bool(self._read("cache_stored", {"id": cache_id}))
