"""Looks up what Requests name, before they reach an Engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from halfrate.domain.cache import Cache, Contents
from halfrate.domain.embedding import Embedding
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import AnyRequest, Request
from halfrate.engines.api import Engine
from halfrate.lookup.contents import read_contents
from halfrate.lookup.documents import Documents
from halfrate.lookup.held import Held
from halfrate.lookup.web import Informed, Web
from halfrate.store.blob.api import BlobStore
from halfrate.store.meta.api import MetaStore

UNKNOWN_CACHE = "CachedContent not found (or permission denied)"

_CONTENTS_HELD = 4
"""Contents kept in memory: the lines of a Job mostly name one, one after the other."""


class Lookup:
    """Makes of Requests that name things Requests that hold them.

    What a Job's Requests name is looked up as it was when the Job was created: a Cache that is deleted or
    expires in between, and a File that expires, are there for it until it has ended.
    """

    def __init__(self, *, store: MetaStore, blobs: BlobStore, documents: Documents, web: Web) -> None:
        self._store = store
        self._blobs = blobs
        self._documents = documents
        self._web = web
        self._contents: Held[str, Contents] = Held(_CONTENTS_HELD)

    async def whole(self, request: Request, *, engine: str, at: float) -> Request | Failed:
        """Return a Request for ``engine`` that names nothing any more, or why there is none.

        ``at`` is the moment it was asked, or its Job was created.
        """
        if not _names(request):
            return request
        found = await self._documents.read(request.messages, at=at)
        if isinstance(found, Failed):
            return found
        asked = replace(request, messages=found)
        if asked.cache is None:
            return asked
        contents = await self._contents_of(asked.cache, engine=engine, at=at)
        if isinstance(contents, Failed):
            return contents
        return _joined(contents, asked)

    async def informed(self, request: Request, *, engine: Engine, job_id: str | None) -> Informed | Failed:
        """Return a whole Request with the pages in it that it wants read. It takes as long as the web does.

        ``job_id`` is whose pages they are: a Job reads each once.
        """
        if not request.reads_urls:
            return Informed(request)
        return await self._web.inform(request, engine=engine, job_id=job_id)

    async def fetch(self, request: Request, *, job_id: str) -> None:
        """Have the pages read that a Request of a Job will want."""
        await self._web.fetch(request, job_id=job_id)

    async def close(self) -> None:
        """Give up the reading of pages."""
        await self._web.close()

    async def whole_contents(self, contents: Contents, *, at: float) -> Contents | Failed:
        """Return Contents that name nothing any more, or why there are none."""
        messages = await self._documents.read(contents.messages, at=at)
        return messages if isinstance(messages, Failed) else Contents(messages, contents.functions)

    async def check(self, caches: Sequence[tuple[str, int, str]], *, at: float) -> None:
        """Raise `InvalidArgument` unless every Cache is there, and of the Engine that is to use it.

        Each comes with the number of the first line that names it, and the Engine which that line goes to.
        """
        errors = []
        for cache_id, line, engine in caches:
            found = await self._cache(cache_id, engine=engine, at=at)
            if isinstance(found, Failed):
                errors.append(f"Error on line {line}: cachedContents/{cache_id}: {found.detail}")
        if errors:
            raise InvalidArgument("\n".join(errors))

    async def tokens_of(self, cache_id: str) -> int:
        """Return how many tokens the Contents of a Cache take, 0 if it is gone."""
        cache = await self._store.get_cache(cache_id)
        return 0 if cache is None else cache.tokens

    async def _cache(self, cache_id: str, *, engine: str, at: float) -> Cache | Failed:
        cache = await self._store.get_cache(cache_id, at=at)
        if cache is None:
            return Failed(Cause.FORBIDDEN, UNKNOWN_CACHE)
        if cache.engine != engine:
            return Failed(
                Cause.INVALID,
                f"The model used by a request has to be the same as that of its CachedContent: {cache.model} "
                f"has cachedContents/{cache_id}, and the request is for {engine}.",
            )
        return cache

    async def _contents_of(self, cache_id: str, *, engine: str, at: float) -> Contents | Failed:
        cache = await self._cache(cache_id, engine=engine, at=at)
        if isinstance(cache, Failed):
            return cache
        held = self._contents.get(cache.blob)
        if held is not None:
            return held
        try:
            contents = await asyncio.to_thread(read_contents, self._blobs, cache.blob)
        except FileNotFoundError:  # it expired just now
            return Failed(Cause.FORBIDDEN, UNKNOWN_CACHE)
        self._contents.put(cache.blob, contents)
        return contents


def is_whole(request: AnyRequest) -> bool:
    """Whether a Request holds all it asks about, as most do."""
    if isinstance(request, Embedding):
        return True
    return not (request.reads_urls or _names(request))


def _names(request: Request) -> bool:
    return request.cache is not None or any(message.attachments for message in request.messages)


def _joined(contents: Contents, request: Request) -> Request | Failed:
    sampling = request.sampling
    if contents.functions is not None and (sampling.json_schema or sampling.choices):
        return Failed(
            Cause.INVALID,
            "The cached content has functions, and generation_config asks for an answer in a given form, "
            "which is not possible together: leave one of them out.",
        )
    return contents.before(request)
