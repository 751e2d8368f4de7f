"""Cached contents: created, shown, given another expiry, removed."""

from __future__ import annotations

import asyncio

from halfrate.clock import Clock
from halfrate.config import Limits
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.cache import Cache, Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import Forbidden, InvalidArgument, Refusal
from halfrate.domain.request import Message, Request, Role
from halfrate.identity import new_id
from halfrate.lookup.contents import write_contents
from halfrate.lookup.lookup import UNKNOWN_CACHE
from halfrate.service.models import Models
from halfrate.service.paging import page_of, place_of
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.names import cache_blob
from halfrate.store.meta.api import MetaStore

SECONDS_MAX = 10 * 365 * 86_400.0
"""How far ahead an expiry may be."""


class Caches:
    """What the cached contents API can do. A call about an unknown one raises `Forbidden`: the protocol does
    not tell one that is not there from one that is somebody else's.
    """

    def __init__(
        self, *, store: MetaStore, blobs: BlobStore, models: Models, clock: Clock, limits: Limits
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._models = models
        self._clock = clock
        self._limits = limits

    async def create(self, *, model: str, display_name: str, contents: Contents, expiry: Deadline) -> Cache:
        """Keep Contents. Files they name are read now, and need not stay.

        Raise `NotFound` for an unknown model, `Forbidden` for an unknown File, `InvalidArgument` for Contents
        that are too few tokens or cannot be read and for an expiry out of bounds, `ResourceExhausted` if
        there are too many, `Unavailable` if the model cannot count.
        """
        whole = await self._models.whole_contents(model, contents)
        expires_at = self._within_bounds(expiry)
        tokens = await self._counted(model, whole)
        cache_id, now = new_id(40), self._clock.now()
        cache = Cache(
            id=cache_id,
            model=f"models/{model.removeprefix('models/')}",
            engine=self._models.resolve(model).name,
            display_name=display_name,
            tokens=tokens,
            blob=cache_blob(cache_id),
            created_at=now,
            updated_at=now,
            expires_at=expires_at,
        )
        await asyncio.to_thread(write_contents, self._blobs, cache.blob, whole)
        reach(CrashPoint.CACHE_WRITE_AFTER)
        try:
            await self._store.create_cache(cache, caches_max=self._limits.caches)
        except Refusal:
            # Only a refusal says that there is no row; what belongs to none is removed at the next start.
            await asyncio.to_thread(self._blobs.delete, cache.blob)
            raise
        reach(CrashPoint.CACHE_CREATE_AFTER)
        return cache

    async def get(self, cache_id: str) -> Cache:
        """Return a Cache."""
        cache = await self._store.get_cache(cache_id)
        if cache is None:
            raise Forbidden(UNKNOWN_CACHE)
        return cache

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[Cache], str | None]:
        """Return a page of Caches, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        caches = await self._store.list_caches(limit=page_size + 1, after=place_of(page_token))
        return page_of(caches, page_size)

    async def expire(self, cache_id: str, expiry: Deadline) -> Cache:
        """Have a Cache expire at another moment. Raise `InvalidArgument` if that is out of bounds."""
        if not await self._store.expire_cache(cache_id, expires_at=self._within_bounds(expiry)):
            raise Forbidden(UNKNOWN_CACHE)
        return await self.get(cache_id)

    async def delete(self, cache_id: str) -> None:
        """Remove a Cache. Jobs that were created before have it until they have ended."""
        if not await self._store.expire_cache(cache_id, expires_at=self._clock.now()):
            raise Forbidden(UNKNOWN_CACHE)

    async def _counted(self, model: str, contents: Contents) -> int:
        """Return how many tokens Contents take. Raise `InvalidArgument` if that is too few."""
        messages = contents.messages or (Message(Role.USER, ""),)
        request = Request(messages, functions=contents.functions)
        tokens = (await self._models.count_tokens(model, request)).total
        least = self._limits.cache_tokens_min
        if tokens < least:
            raise InvalidArgument(
                f"Cached content is too small. total_token_count={tokens}, min_total_token_count={least} "
                "(limits.cache_tokens_min). Send it with each request instead."
            )
        return tokens

    def _within_bounds(self, expiry: Deadline) -> float:
        now = self._clock.now()
        instant = expiry.instant(now)
        if not now < instant <= now + SECONDS_MAX:
            raise InvalidArgument(
                f"The cached content would expire {instant - now:.0f} s from now; that must be ahead, and at "
                "most ten years."
            )
        return instant
