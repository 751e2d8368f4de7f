"""Reads the pages that Requests name: each once for a Job, however many of its Requests name it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from hashlib import blake2b
from urllib.parse import urlsplit

import msgspec
from xxhash import xxh3_64_intdigest

from halfrate.clock import Clock
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.page import Page, PageStatus, ReadUrl
from halfrate.lookup.manners import Manners
from halfrate.lookup.page_reader import PageReader, Unread
from halfrate.lookup.robots import Robots
from halfrate.net.fetch import Fetcher, Got, NotGot, normalised
from halfrate.store.blob.api import BlobStore, read_chunks
from halfrate.store.blob.names import page_blob

ACCEPT = "text/html, application/xhtml+xml, text/*;q=0.9, application/pdf;q=0.8, application/json;q=0.8"
TRIES_MAX = 3
BACKOFF_SECONDS = 1.0
RETRY_AFTER_SECONDS_MAX = 60.0

_CHECKSUM = struct.Struct("<Q")
_WALLS = frozenset({401, 402})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Pages:
    """Fetches pages, makes text of them, and keeps it with the Job that wants it.

    What a Job has read is a blob of its own, so that a restart reads nothing again; it goes with the Job.
    """

    def __init__(
        self,
        *,
        blobs: BlobStore,
        fetcher: Fetcher,
        reader: PageReader,
        robots: Robots | None,
        manners: Manners,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        """``robots`` is None where what owners want left alone is read all the same."""
        self._blobs = blobs
        self._fetcher = fetcher
        self._reader = reader
        self._robots = robots
        self._manners = manners
        self._clock = clock
        self._chance = chance
        self._under_way: dict[tuple[str | None, str], asyncio.Task[Page]] = {}

    async def read(self, url: str, *, job_id: str | None) -> Page:
        """Return the page at a URL; a failure is a Page without text. ``job_id`` says whose it is."""
        under_way = self._under_way.get((job_id, url))
        if under_way is None:
            under_way = asyncio.create_task(self._page(url, job_id), name=f"page {url[:80]}")
            self._under_way[job_id, url] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop((job_id, url)))
        # Shielded: others may wait for the same page.
        return await asyncio.shield(under_way)

    async def close(self) -> None:
        """Give up what is under way, and end the process that reads."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.close()

    async def _page(self, url: str, job_id: str | None) -> Page:
        if job_id is None:
            return await self._fetch(url)
        blob = page_blob(job_id, blake2b(url.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest())
        kept = await asyncio.to_thread(_load, self._blobs, blob)
        if kept is not None:
            return kept
        page = await self._fetch(url)
        await asyncio.to_thread(_save, self._blobs, blob, page)
        return page

    async def _fetch(self, url: str) -> Page:
        try:
            return await self._fetch_politely(url, normalised(url))
        except InvalidArgument as error:
            return _failed(url, PageStatus.UNSAFE, str(error))

    async def _fetch_politely(self, url: str, sent: str) -> Page:
        parts = urlsplit(sent)
        delay_seconds = 0.0
        if self._robots is not None:
            rule = await self._robots.rule(sent, origin=f"{parts.scheme}://{parts.netloc}")
            delay_seconds = rule.delay_seconds
            if not rule.allowed:
                return _failed(url, PageStatus.ERROR, "its owner does not want it read (robots.txt)")
        for attempt in range(TRIES_MAX):
            async with self._manners.turn(parts.netloc, delay_seconds=delay_seconds):
                got = await self._fetcher.get(sent, accept=ACCEPT)
            if not _passes(got):
                break
            asked = got.retry_after_seconds if isinstance(got, Got) else None
            if asked is not None:
                self._manners.pause(parts.netloc, min(asked, RETRY_AFTER_SECONDS_MAX))
            elif attempt + 1 < TRIES_MAX:
                await self._clock.sleep(BACKOFF_SECONDS * 2**attempt * (1 - self._chance() / 2))
        return await self._understand(url, got)

    async def _understand(self, url: str, got: Got | NotGot) -> Page:
        match got:
            case NotGot(problem, unsafe=unsafe):
                return _failed(url, PageStatus.UNSAFE if unsafe else PageStatus.ERROR, problem)
            case Got(status=status) if status in _WALLS:
                return _failed(url, PageStatus.PAYWALL, f"the answer was {status}")
            case Got(status=status) if status != 200:
                return _failed(url, PageStatus.ERROR, f"the answer was {status}")
        try:
            text = await self._reader.text(got.body, media_type=got.media_type, charset=got.charset)
        except Unread as error:
            return _failed(url, PageStatus.PAYWALL if error.walled else PageStatus.ERROR, str(error))
        return Page(ReadUrl(url, PageStatus.SUCCESS), text)


def _passes(got: Got | NotGot) -> bool:
    return got.passing if isinstance(got, NotGot) else got.status in _PASSING


def _failed(url: str, status: PageStatus, problem: str) -> Page:
    return Page(ReadUrl(url, status, problem))


# Pages as blobs: a checksum and msgpack ---------------------------------------------------------------


def _save(blobs: BlobStore, blob: str, page: Page) -> None:
    packed = msgspec.msgpack.encode(page)
    with blobs.writer(blob) as writer:
        writer.write(_CHECKSUM.pack(xxh3_64_intdigest(packed)))
        writer.write(packed)
        writer.commit()


def _load(blobs: BlobStore, blob: str) -> Page | None:
    """Return a page that was kept; None if there is none, or it is damaged: then it is read again."""
    try:
        with blobs.reader(blob) as reader:
            data = b"".join(read_chunks(reader))
    except FileNotFoundError:
        return None
    packed = data[_CHECKSUM.size :]
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack(data[: _CHECKSUM.size])[0] != xxh3_64_intdigest(packed):
        return None
    return msgspec.msgpack.decode(packed, type=Page)
