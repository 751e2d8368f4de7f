"""What clients want, and how they go about it: each does again what was not acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import apsw

from halfrate.app import App
from halfrate.domain.cache import Cache, Contents
from halfrate.domain.deadline import Deadline
from halfrate.domain.errors import Forbidden, NotFound, Refusal
from halfrate.domain.file import File, Upload, output_file_id
from halfrate.domain.job import Job, JobState
from halfrate.domain.request import Message, Role
from tests.fakes import FakeClock, line, pieces
from tests.simulation import invariants

MODEL, OTHER = "pocket-1", "other-2"
PRICES = {MODEL: (300_000, 2_500_000), OTHER: (700_000, 9_000_000)}
"""What a token of the input, and one of the output, costs at each in pico-USD, interactively."""

FOR_OTHER = " ask "
"""Stands in the texts of lines that name the other model."""

KEEP_UPLOAD_SECONDS = 600
CACHE_SECONDS = 86_400.0
BAD = "}not json{"


class GivenUp(Exception):
    """A client broke its upload off on purpose."""


@dataclass
class Wish:
    """One Job that a client wants, and what was acknowledged of it so far.

    Times are seconds since the simulation began, infinite for never. ``texts`` are what the lines ask;
    some lines cannot be read.
    """

    number: int
    texts: list[str]
    priority: int
    inline: bool
    begin_at: float
    cancel_at: float
    delete_at: float
    delete_file: bool
    gives_up: bool
    cached: bool
    cache: Cache | None = None
    cache_deleted: bool = False
    upload: Upload | None = None
    received_bytes: int = 0
    finishing: bool = False
    file: File | None = None
    job: Job | None = None
    deleted: bool = False
    ended: bool = False
    output: bytes | None = None

    @classmethod
    def by_chance(cls, number: int, chance: random.Random) -> Wish:
        texts = [f"{number} say {chance.randint(0, 30)}" for _ in range(chance.randint(0, 30))]
        texts += [f"{number} refuse"] * chance.randint(0, 2) + [f"{number} stumble"] * chance.randint(0, 2)
        texts += [f"{number} poison"] if chance.random() < 0.15 else []
        texts += [BAD] * chance.randint(1, 3) if chance.random() < 0.25 else []
        chance.shuffle(texts)
        return cls(
            number=number,
            texts=texts or [f"{number} hello"],
            priority=chance.randint(-1, 1),
            inline=BAD not in texts and chance.random() < 0.3,
            begin_at=chance.choice([0, 0, 3, 9]),
            cancel_at=chance.choice([2, 5, 12, *[float("inf")] * 4]),
            delete_at=chance.choice([4, 15, 40, *[float("inf")] * 8]),
            delete_file=chance.random() < 0.35,
            gives_up=chance.random() < 0.15,
            cached=chance.random() < 0.6,
        )

    def have_others(self, chance: random.Random) -> None:
        """Have some lines name the other model: all of one text, as they may be twins."""
        chosen = {text for text in sorted(set(self.texts)) if text != BAD and chance.random() < 0.4}
        self.texts = [FOR_OTHER.join(text.split(" ", 1)) if text in chosen else text for text in self.texts]

    @property
    def name(self) -> str:
        """What the client calls its Job, to find it again."""
        return f"wish {self.number}"

    @property
    def keys(self) -> list[str | None]:
        return [None if text == BAD else f"k{ordinal}" for ordinal, text in enumerate(self.texts)]

    @property
    def lines(self) -> list[bytes]:
        return [
            BAD.encode() if text == BAD else self._naming(text, line(text, f"k{ordinal}", temperature=0))
            for ordinal, text in enumerate(self.texts)
        ]

    def _naming(self, asked: str, text: bytes) -> bytes:
        if FOR_OTHER in asked:
            return text.removesuffix(b"}}") + f', "model": "models/{OTHER}"}}}}'.encode()
        if self.cache is None:
            return text
        return text.removesuffix(b"}}") + f', "cachedContent": "cachedContents/{self.cache.id}"}}}}'.encode()


class Client:
    """One wish in one life of the process."""

    def __init__(self, wish: Wish, app: App, clock: FakeClock, began_at: float) -> None:
        self._wish = wish
        self._app = app
        self._clock = clock
        self._began_at = began_at

    async def run(self) -> None:
        """Return when the Job has ended or is deleted."""
        if self._wish.ended:
            return
        await self._until(self._wish.begin_at)
        try:
            await self._again_and_again(self._have_a_job)
        except GivenUp:
            self._wish.ended = True
        while not self._wish.ended:
            await self._again_and_again(self._look)
            await self._clock.sleep(1)

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except (OSError, apsw.FullError):
                await self._clock.sleep(2)

    async def _have_a_job(self) -> None:
        wish = self._wish
        known = {
            job.display_name: job for job in (await self._app.jobs.list(page_size=100, page_token=None))[0]
        }
        if wish.job is None and wish.name in known:
            wish.job = known[wish.name]  # it was made, but the process died before it said so
        if wish.job is not None:
            return
        if wish.cached:
            await self._have_a_cache()
        if wish.inline:
            wish.job = await self._app.jobs.create_inline(
                model=MODEL, items=wish.lines, display_name=wish.name, priority=wish.priority
            )
        else:
            file = await self._have_a_file()
            wish.job = await self._app.jobs.create_from_file(
                model=MODEL,
                file_id=file.id,
                display_name=wish.name,
                priority=wish.priority,
                keep_going=BAD in wish.texts,
            )

    async def _have_a_cache(self) -> None:
        wish, caches = self._wish, self._app.caches
        if wish.cache is not None:
            found = await caches.get(wish.cache.id)
            invariants.what_was_acknowledged_is_still_there("a cached content", wish.cache, found)
            return
        contents = Contents((Message(Role.USER, "word " * 40),))
        wish.cache = await caches.create(
            model=MODEL, display_name="", contents=contents, expiry=Deadline(CACHE_SECONDS)
        )

    async def _delete_cache(self, cache: Cache) -> None:
        """The Job, which is older, has it all the same."""
        with suppress(Forbidden):  # it is gone already, and the first answer was lost
            await self._app.caches.delete(cache.id)
        self._wish.cache_deleted = True

    async def _have_a_file(self) -> File:
        wish = self._wish
        data = b"\n".join(wish.lines)
        if wish.file is not None:
            found = await self._app.files.get(wish.file.id)
            invariants.what_was_acknowledged_is_still_there("a File", wish.file, found)
            return wish.file
        try:
            await self._upload(data)
        except NotFound:
            assert wish.upload is not None
            # A death while it becomes a File may send its client back to the start.
            given_up = self._clock.now() - wish.upload.created_at > KEEP_UPLOAD_SECONDS
            assert given_up or wish.finishing, "an upload is gone"
            wish.upload = None
            return await self._have_a_file()
        assert wish.file is not None
        told = (wish.file.size_bytes, wish.file.sha256)
        sent = (len(data), hashlib.sha256(data).hexdigest())
        invariants.what_was_acknowledged_is_still_there("an upload", sent, told)
        return wish.file

    async def _upload(self, data: bytes) -> None:
        wish, uploads = self._wish, self._app.uploads
        if wish.upload is None:
            wish.received_bytes, wish.finishing = 0, False
            wish.upload = await uploads.begin(
                file_id=None, display_name="", mime_type="jsonl", declared_bytes=len(data)
            )
        progress = await uploads.progress(wish.upload.id)
        assert progress.received_bytes >= wish.received_bytes, "bytes of an upload are gone"
        if progress.file is None:
            rest = data[progress.received_bytes :]
            if wish.gives_up:
                await uploads.append(wish.upload.id, offset=progress.received_bytes, chunks=pieces(rest[:9]))
                raise GivenUp
            for start in range(0, len(rest), 700):
                offset = progress.received_bytes + start
                wish.received_bytes = await uploads.append(
                    wish.upload.id, offset=offset, chunks=pieces(rest[start : start + 700], 300)
                )
        wish.received_bytes, wish.finishing = 0, True
        wish.file = progress.file or await uploads.finish(wish.upload.id)

    async def _look(self) -> None:
        wish, jobs = self._wish, self._app.jobs
        assert wish.job is not None
        if wish.deleted:
            wish.ended = True
            return
        try:
            job = await jobs.get(wish.job.id)
        except NotFound:
            assert self._passed(wish.delete_at), "a Job that was acknowledged is gone"
            wish.deleted = True
            return
        for invariant in (
            invariants.a_final_state_never_moves,
            invariants.a_stopped_job_never_runs_on,
            invariants.what_was_counted_stays_counted,
        ):
            invariant(wish.job, job)
        invariants.no_job_is_lost_to_a_fault(job)
        wish.job = job
        if wish.cache is not None and not wish.cache_deleted and self._clock.now() > job.created_at:
            await self._delete_cache(wish.cache)
        if wish.delete_file and wish.file is not None:
            await self._delete_file(wish.file)
        if self._passed(wish.delete_at):
            await jobs.delete(job.id)
            wish.deleted = True
        elif self._passed(wish.cancel_at) and not job.state.final:
            await jobs.cancel(job.id)
            stopped = await jobs.get(job.id)
            assert stopped.stopped_by is not None or stopped.state in (
                JobState.ASSEMBLING,
                JobState.SUCCEEDED,
            ), "a Job that was cancelled goes on"
            wish.job = stopped
        wish.ended = wish.deleted or wish.job.state.final

    async def _delete_file(self, file: File) -> None:
        try:
            await self._app.files.delete(file.id)
        except Refusal:
            return  # it is gone already, and the first answer was lost

    def _passed(self, seconds: float) -> bool:
        return self._clock.now() - self._began_at >= seconds

    async def _until(self, seconds: float) -> None:
        while not self._passed(seconds):
            await self._clock.sleep(1)


async def read_output(app: App, job: Job) -> bytes:
    """The whole output of a Job."""
    _, chunks = await app.files.download(output_file_id(job.id))
    return b"".join([chunk async for chunk in chunks])


def parsed(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(text) for text in output.splitlines()]


async def everything(app: App) -> list[str]:
    """The names of all blobs."""
    folders = ("inputs", "indexes", "jobs", "outputs", "uploads", "caches")
    return await asyncio.to_thread(lambda: [name for folder in folders for name in app.blobs.names(folder)])
