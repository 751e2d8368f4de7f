"""The composition root: reads a Config, builds the objects, owns start and stop.

The only module that names a concrete store, dialect or Engine.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import functools
import logging
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import xxhash

from halfrate.clock import Clock, WallClock
from halfrate.config import Config, ModelConfig, UpstreamConfig, UrlsConfig, model_name
from halfrate.dispatch.assembling import Assembler
from halfrate.dispatch.assignments import Asked
from halfrate.dispatch.bell import Bell
from halfrate.dispatch.dispatcher import Dispatcher
from halfrate.dispatch.output import Output
from halfrate.dispatch.planning import Planner
from halfrate.dispatch.troubles import Troubles
from halfrate.domain.errors import ConfigError, CorruptData, Unreachable
from halfrate.domain.job import Job
from halfrate.domain.kind import Kind
from halfrate.domain.line import Line
from halfrate.domain.outcome import Failed
from halfrate.domain.request import AnyRequest
from halfrate.domain.result import Result
from halfrate.engines.api import Ability, Engine, EngineFacts, EngineState
from halfrate.engines.embedded.engine import EmbeddedEngine
from halfrate.engines.embedded.kept import kept_folder
from halfrate.engines.embedded.loading import kind_of
from halfrate.engines.embedded.settings import EmbeddedSettings
from halfrate.engines.upstream.gemini_batch.settings import BatchSettings
from halfrate.engines.upstream.settings import Patience, UpstreamSettings
from halfrate.ingest.inputs import Inputs
from halfrate.ingest.worker import READING
from halfrate.ingest.workers import ProcessWorkers, ThreadWorkers, Workers
from halfrate.lookup.documents import Documents
from halfrate.lookup.lookup import Lookup
from halfrate.lookup.manners import Manners
from halfrate.lookup.page_reader import PageReader
from halfrate.lookup.pages import Pages
from halfrate.lookup.pdf import PdfReader
from halfrate.lookup.robots import Robots
from halfrate.lookup.web import Web
from halfrate.metering.meter import JOBS_MAX, Meter
from halfrate.metering.price import Price
from halfrate.net.fetch import Bounds, Fetcher
from halfrate.net.post import Poster
from halfrate.net.targets import Targets
from halfrate.service.caches import Caches
from halfrate.service.files import Files
from halfrate.service.jobs import Jobs
from halfrate.service.models import Model, Models
from halfrate.service.monitor import Monitor
from halfrate.service.outlooks import Outlooks
from halfrate.service.outputs import Outputs
from halfrate.service.retries import Retries
from halfrate.service.uploads import Uploads
from halfrate.service.webhooks import Webhooks
from halfrate.store import disk
from halfrate.store.blob.api import BlobStore
from halfrate.store.blob.disk import make_directories
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.meta.api import MetaStore
from halfrate.store.meta.sqlite import SqliteStore
from halfrate.store.signing_key import SigningKey
from halfrate.upkeep.courier import Courier, Post
from halfrate.upkeep.expirer import Expirer
from halfrate.upkeep.flaws import Tour
from halfrate.upkeep.inspector import Inspector
from halfrate.upkeep.promises import PromiseWatch
from halfrate.upkeep.pruner import Pruner
from halfrate.upkeep.rescuer import Rescuer
from halfrate.wire.gemini.lines import asked_of, result_line
from halfrate.wire.gemini.webhooks import event_body
from halfrate.wire.lines import parse_lines

logger = logging.getLogger(__name__)

DATABASE = "halfrate.db"
SIGNING_KEY = "webhooks.pem"
RESTART_SECONDS = 5.0
PROMISES_EVERY_SECONDS = 30.0
PRUNE_EVERY_SECONDS = 60.0
LOOK_SECONDS = 0.01
START_BYTES = 64 << 10
"""What a database needs beside it to be opened, with some room."""

MakeEngine = Callable[[ModelConfig], Engine]


@dataclass(frozen=True, slots=True)
class Stores:
    """Where everything that outlives the process is kept, and who reads inputs there."""

    meta: MetaStore
    blobs: BlobStore
    workers: Workers


OpenStores = Callable[[Path, Clock], Stores]


@dataclass(frozen=True, slots=True)
class App:
    """A running halfrate, without its HTTP face."""

    config: Config
    jobs: Jobs
    retries: Retries
    files: Files
    uploads: Uploads
    models: Models
    monitor: Monitor
    webhooks: Webhooks
    caches: Caches
    courier: Courier
    pruner: Pruner
    meters: Mapping[str, Meter]
    store: MetaStore
    blobs: BlobStore


def local_stores(data: Path, clock: Clock) -> Stores:
    """Open the stores of one machine: SQLite, and files. Raise `CorruptData` if they cannot be used."""
    root = data / "blobs"
    return Stores(
        meta=SqliteStore(data / DATABASE, clock),
        blobs=LocalBlobStore(root),
        workers=ProcessWorkers(root),
    )


@asynccontextmanager
async def open_app(
    config: Config,
    *,
    clock: Clock | None = None,
    chance: Callable[[], float] = random.random,
    make_engine: MakeEngine | None = None,
    open_stores: OpenStores = local_stores,
    post: Post | None = None,
) -> AsyncIterator[App]:
    """Run halfrate on ``config.data_dir``: engines loading, Jobs going on where they were left.

    ``post`` makes the calls of webhooks, if they are not to be real ones. Leaving settles what has been
    answered and ends every process that was started. Raise `ConfigError` if another process uses the
    directory or its disk cannot be used, `CorruptData` if its database cannot.
    """
    clock = clock or WallClock()
    async with AsyncExitStack() as stack:
        data = config.data_path
        stack.enter_context(only_process(data))
        with _told_if_full(data):
            stores = open_stores(data, clock)
            stack.callback(stores.meta.close)
            stores.blobs.sweep()
            # This process has the directory to itself: whoever held a Lease is dead.
            await stores.meta.rescue_shards(lapsed_only=False)
            spill = _empty_directory(data / "spill")
        fetcher = await stack.enter_async_context(_fetcher(config.urls))
        lookup = _lookup(stores, config, clock, chance, fetcher)
        stack.push_async_callback(lookup.close)
        served = await _start_models(
            config, make_engine or functools.partial(configured_engine, data=data), stack
        )
        models = Models(served, lookup=lookup, clock=clock)
        parts = _Parts(config, stores, models, clock, chance, lookup=lookup, post=post, spill=spill)
        await stack.enter_async_context(stores.workers)
        stack.push_async_callback(parts.close)
        await parts.pruner.find_orphans()
        await parts.remember_paces()
        tasks = [asyncio.create_task(_keep_running(loop, clock, parts.troubles)) for loop in parts.loops()]
        stack.push_async_callback(_cancel, tasks)
        yield App(
            config=config,
            jobs=parts.jobs,
            retries=parts.retries,
            files=parts.files,
            uploads=parts.uploads,
            models=models,
            monitor=parts.monitor,
            webhooks=parts.webhooks,
            caches=parts.caches,
            courier=parts.courier,
            pruner=parts.pruner,
            meters=parts.meters,
            store=stores.meta,
            blobs=stores.blobs,
        )


class _Parts:
    """Every object of an application, tied to the others."""

    def __init__(
        self,
        config: Config,
        stores: Stores,
        models: Models,
        clock: Clock,
        chance: Callable[[], float],
        *,
        lookup: Lookup,
        post: Post | None,
        spill: Path,
    ) -> None:
        store, blobs, limits = stores.meta, stores.blobs, config.limits
        inputs = Inputs(
            blobs,
            stores.workers,
            parse=parse_lines,
            spill=spill,
            limits=limits,
            small=ThreadWorkers(blobs, READING),
        )
        self._inputs = inputs
        self._store = store
        output = Output(blobs, inputs=inputs, encode=_encoder(models), spill=spill)
        self.troubles = Troubles(clock)
        self.assembler = Assembler(
            store=store,
            blobs=blobs,
            output=output,
            count=_counter(inputs),
            clock=clock,
            troubles=self.troubles,
            keep_output_seconds=limits.output_days * 86_400,
        )
        self.meters = {model.name: Meter() for model in models.all()}
        self.dispatchers = {
            model.name: Dispatcher(
                model.name,
                model.engine,
                price=model.price,
                store=store,
                blobs=blobs,
                inputs=inputs,
                asked=_asked(models),
                lookup=lookup,
                clock=clock,
                chance=chance,
                config=config.dispatch,
                troubles=self.troubles,
                drained=self.assembler.bell.ring,
                meter=self.meters[model.name],
            )
            for model in models.all()
        }
        self.planner = Planner(
            store=store,
            inputs=inputs,
            lookup=lookup,
            engine_of=models.engine_of,
            clock=clock,
            config=config.dispatch,
            troubles=self.troubles,
            planned=self._ring,
        )
        outlooks = Outlooks(
            store=store,
            models=models,
            meters=self.meters,
            clock=clock,
            troubles=self.troubles.of,
            indexed=inputs.percent,
            assembled=self.assembler.written_percent,
        )
        targets = Targets(config.webhooks.allow, allow_http=config.webhooks.allow_http)
        key = SigningKey(config.data_path / SIGNING_KEY)
        self._courier_bell = Bell(clock)
        self.courier = Courier(
            store=store,
            post=post or Poster(targets, timeout_seconds=config.webhooks.timeout_seconds).post,
            key=key,
            encode=event_body,
            clock=clock,
            chance=chance,
            give_up_seconds=config.webhooks.retry_hours * 3_600,
            wait=self._courier_bell.wait,
            ring=self._courier_bell.ring,
        )
        self.webhooks = Webhooks(store=store, targets=targets, key=key, ping=self.courier.ping, clock=clock)
        self.jobs = Jobs(
            store=store,
            blobs=blobs,
            inputs=inputs,
            lookup=lookup,
            models=models,
            clock=clock,
            limits=limits,
            outlooks=outlooks,
            targets=targets,
            created=self._created,
            let_go=self._let_go,
        )
        self.caches = Caches(store=store, blobs=blobs, models=models, clock=clock, limits=limits)
        self.retries = Retries(
            jobs=self.jobs,
            store=store,
            blobs=blobs,
            inputs=inputs,
            output=output,
            clock=clock,
            limits=limits,
        )
        outputs = Outputs(
            store=store, blobs=blobs, output=output, model_version=_model_version(models), spill=spill
        )
        self.files = Files(store=store, blobs=blobs, inputs=inputs, outputs=outputs)
        self.uploads = Uploads(store=store, blobs=blobs, inputs=inputs, clock=clock, limits=limits)
        self.pruner = Pruner(
            store=store,
            blobs=blobs,
            inputs=inputs,
            clock=clock,
            every_seconds=PRUNE_EVERY_SECONDS,
            keep_upload_seconds=limits.upload_hours * 3_600,
            keep_input_seconds=limits.file_hours * 3_600,
            keep_output_seconds=limits.output_days * 86_400,
        )
        self._job_bell = Bell(clock)
        self.expirer = Expirer(store=store, stop=self.jobs.stop, clock=clock, wait=self._job_bell.wait)
        self.monitor = Monitor(
            store=store,
            models=models,
            outlooks=outlooks,
            meters=self.meters,
            lanes_in_use=lambda name: self.dispatchers[name].lanes_in_use,
            told=self.courier.told,
            clock=clock,
        )
        self.promises = PromiseWatch(
            store=store, outlook=outlooks.of, clock=clock, every_seconds=PROMISES_EVERY_SECONDS
        )
        self.rescuer = Rescuer(
            store=store,
            clock=clock,
            every_seconds=config.dispatch.lease_seconds / 3,
            rescued=self._ring,
        )

    async def close(self) -> None:
        """Let go of uploads under way, and of indexes in the making."""
        await self.uploads.close()
        await self._inputs.close()

    def loops(self) -> list[Callable[[], Awaitable[None]]]:
        """Return what has to run all the time."""
        return [
            self.planner.run,
            *(dispatcher.run for dispatcher in self.dispatchers.values()),
            self.assembler.run,
            self.expirer.run,
            self.promises.run,
            self.rescuer.run,
            self.pruner.run,
            self.courier.run,
        ]

    def _created(self) -> None:
        self.planner.bell.ring()
        self._job_bell.ring()

    async def remember_paces(self) -> None:
        """Take up the paces of the Jobs that were being run before, as far as their rows tell them."""
        for job in await self._store.unfinished_jobs(limit=JOBS_MAX):
            if job.started_at is None:
                continue
            # Up to the last Result: how long nothing ran since then says nothing of the pace.
            seconds = job.updated_at - job.started_at
            for share in await self._store.shares(job):
                if share.engine in self.meters:
                    self.meters[share.engine].remember(job.id, share.results, seconds=seconds)

    def _ring(self) -> None:
        """Have everyone look who may have something to do after a plan or a rescue."""
        for dispatcher in self.dispatchers.values():
            dispatcher.bell.ring()
        self.assembler.bell.ring()

    async def _let_go(self, job: Job) -> None:
        # Of all, since a plan that was made just now may have given some of it to any.
        await asyncio.gather(*(dispatcher.let_go(job.id) for dispatcher in self.dispatchers.values()))
        self.assembler.bell.ring()


@contextmanager
def open_inspector(
    config: Config, *, quick: bool = False, on_progress: Callable[[Tour], None] = lambda tour: None
) -> Iterator[Inspector]:
    """Look at the data directory of ``config`` without touching it, also while a process works in it.

    Raise `CorruptData` if its database cannot be used at all, `ConfigError` if another version wrote it.
    """
    data = config.data_path
    prices = {name: _price(entry) for name, entry in config.models.items()}
    store = SqliteStore(data / DATABASE, WallClock(), read_only=True)
    try:
        yield Inspector(
            store=store,
            blobs=LocalBlobStore(data / "blobs"),
            price_of=prices.get,
            quick=quick,
            on_progress=on_progress,
        )
    finally:
        store.close()


def configured_engine(entry: ModelConfig, *, data: Path) -> Engine:
    """Return the Engine for a configured model. Raise `ConfigError` if its key is not there.

    ``data`` is the data directory, for an Engine that has something to remember.
    """
    if entry.upstream is None:
        return embedded_engine(entry)
    return upstream_engine(entry, entry.upstream, folder=data / "upstream")


def upstream_engine(entry: ModelConfig, upstream: UpstreamConfig, *, folder: Path | None) -> Engine:
    """Return the Engine that asks another server. Raise `ConfigError` if its key is not there.

    Batches of an upstream are kept in ``folder``. Without one they are let alone, and it is only asked.
    """
    # Imported here: only who has an upstream pays for an HTTP client.
    from halfrate.engines.upstream.anthropic import AnthropicDialect  # noqa: PLC0415
    from halfrate.engines.upstream.engine import MakeDialect, UpstreamEngine  # noqa: PLC0415
    from halfrate.engines.upstream.gemini import GeminiDialect  # noqa: PLC0415
    from halfrate.engines.upstream.gemini_batch.engine import GeminiBatchEngine  # noqa: PLC0415
    from halfrate.engines.upstream.openai import OpenAIDialect  # noqa: PLC0415

    settings = upstream_settings(entry, upstream)
    if upstream.api == "gemini-batch" and folder is not None:
        return GeminiBatchEngine(settings, batch_settings(upstream, kind=settings.kind, folder=folder))
    dialects: dict[str, MakeDialect] = {
        "openai": OpenAIDialect,
        "gemini": GeminiDialect,
        "gemini-batch": GeminiDialect,
        "anthropic": AnthropicDialect,
    }
    return UpstreamEngine(settings, dialects[upstream.api])


def batch_settings(upstream: UpstreamConfig, *, kind: Kind, folder: Path) -> BatchSettings:
    """Return how Requests become batches. They are kept in a folder of their upstream and model."""
    batch = upstream.batch
    of = f"{upstream.urls[0].rstrip('/')} {upstream.model or ''} {kind.value}"
    return BatchSettings(
        folder=folder / f"{model_name(upstream.model or 'only')}-{xxhash.xxh64_hexdigest(of.encode())}",
        lanes=batch.lanes,
        requests_max=batch.requests,
        bytes_max=batch.bytes,
        wait_seconds=batch.wait_seconds,
        active_max=batch.active,
        tokens_max=batch.tokens,
        poll_seconds=batch.poll_seconds,
        poll_seconds_max=batch.poll_seconds_max,
        retry_seconds=batch.retry_seconds,
        retry_seconds_max=batch.retry_seconds_max,
        abandon_seconds=batch.abandon_seconds,
        settle_seconds=batch.settle_seconds,
        keep_seconds=batch.keep_hours * 3_600,
    )


async def look_at_upstream(entry: ModelConfig) -> EngineFacts:
    """Return what an upstream says of itself now.

    Raise `Unreachable` if it does not answer, `EngineBroken` if it refuses, `ConfigError` without its key.
    """
    assert entry.upstream is not None, "looked at on its own account"
    async with upstream_engine(entry, entry.upstream, folder=None) as engine:
        # A server that is down is looked for again and again: its first trouble is the answer here.
        while engine.state is EngineState.LOADING and engine.trouble is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(LOOK_SECONDS)
        if engine.state is EngineState.LOADING:
            raise Unreachable(str(engine.trouble))
        return await engine.ready()


def upstream_settings(entry: ModelConfig, upstream: UpstreamConfig) -> UpstreamSettings:
    """Return what an Engine is told of an upstream. Raise `ConfigError` if its key is not there."""
    return UpstreamSettings(
        urls=upstream.urls,
        model=upstream.model,
        kind=entry.kind or Kind.GENERATION,
        server=upstream.server,
        key=upstream.key(),
        key_env=upstream.key_env,
        context_tokens=upstream.context_tokens,
        abilities=None if upstream.abilities is None else frozenset(map(Ability, upstream.abilities)),
        thinks=upstream.thinks,
        stream=upstream.stream,
        concurrency_min=upstream.concurrency_min,
        concurrency_max=upstream.concurrency_max,
        requests_per_minute=upstream.requests_per_minute,
        tokens_per_minute=upstream.tokens_per_minute,
        patience=Patience(
            connect_seconds=upstream.connect_seconds,
            first_token_seconds=upstream.first_token_seconds,
            between_tokens_seconds=upstream.between_tokens_seconds,
            total_seconds=upstream.total_seconds,
        ),
        answer_bytes_max=upstream.answer_bytes,
        proxy_from_env=upstream.proxy_from_env,
        ca_file=upstream.ca_file,
        body=upstream.body,
        max_tokens=upstream.max_tokens,
        cache_ttl=upstream.cache_ttl,
    )


def embedded_engine(entry: ModelConfig) -> Engine:
    """Return the embedded engine for a configured model."""
    settings = EmbeddedSettings(
        threads=entry.threads,
        cache_gib=entry.kv_cache_gigabytes,
        hang_seconds=entry.hang_seconds,
        keep_in=str(kept_folder()),
        calibrate=entry.calibrate,
    )
    return EmbeddedEngine(entry.path, kind=entry.kind or kind_of(entry.path), settings=settings)


@contextmanager
def only_process(data: Path) -> Iterator[None]:
    """Hold a data directory. Raise `ConfigError` if another process does, or it cannot be written."""
    with ExitStack() as stack:
        try:
            make_directories(data)
            # Unbuffered: on a full disk, what is left in a buffer fails once more when the file is closed.
            lock = stack.enter_context((data / "lock").open("a+b", buffering=0))
        except OSError as error:
            raise ConfigError(
                f"The data directory {data} cannot be used: {error.strerror}. Choose another with --data."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().decode().strip() or "unknown"
            raise ConfigError(
                f"Another halfrate (process {holder}) uses the data directory {data}. "
                "Stop it, or choose another directory with --data."
            ) from None
        with suppress(OSError):  # on a full disk too: the name is only told, the lock is what counts
            lock.truncate(0)
            lock.write(str(os.getpid()).encode())
        yield


@contextmanager
def _told_if_full(data: Path) -> Iterator[None]:
    """Raise `ConfigError` where the disk takes nothing: a database cannot even be read there."""
    try:
        yield
    except OSError as error:
        # SQLite reports an input/output error where a full disk has no room for what it shares with readers.
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), error.filename)
        why = disk.explain(full if _free_bytes(data) < START_BYTES else error).partition(": everything")[0]
        raise ConfigError(
            f"halfrate cannot start in {data}. {why.rstrip('.')}, and start again. Nothing is lost."
        ) from error


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def _lookup(
    stores: Stores, config: Config, clock: Clock, chance: Callable[[], float], fetcher: Fetcher
) -> Lookup:
    bytes_max, urls = config.limits.prompt_file_bytes, config.urls
    documents = Documents(
        store=stores.meta, blobs=stores.blobs, pdf=PdfReader(bytes_max=bytes_max), bytes_max=bytes_max
    )
    pages = Pages(
        blobs=stores.blobs,
        fetcher=fetcher,
        reader=PageReader(bytes_max=urls.page_bytes),
        robots=Robots(fetcher, clock) if urls.robots else None,
        manners=Manners(clock, calls_max=urls.host_calls, delay_seconds=urls.host_delay_seconds),
        clock=clock,
        chance=chance,
    )
    web = Web(pages, page_chars_max=urls.page_chars)
    return Lookup(store=stores.meta, blobs=stores.blobs, documents=documents, web=web)


def _fetcher(urls: UrlsConfig) -> Fetcher:
    targets = Targets(urls.allow, allow_http=True, web=True)
    return Fetcher(targets, bounds=Bounds(bytes_max=urls.page_bytes, seconds=urls.timeout_seconds))


async def _start_models(config: Config, make_engine: MakeEngine, stack: AsyncExitStack) -> list[Model]:
    """Start the Engine of every configured model; each ends with ``stack``."""
    models = []
    for name, entry in config.models.items():
        models.append(
            Model(
                name=name,
                version=_version(name, entry),
                engine=await stack.enter_async_context(make_engine(entry)),
                price=_price(entry),
                aliases=entry.aliases,
                description=entry.description,
                kind=_kind(entry),
            )
        )
    return models


def _version(name: str, entry: ModelConfig) -> str:
    """Return what is told as the version of a model: what really answers, as far as the settings say it."""
    return model_name(entry.path) if entry.upstream is None else entry.upstream.model or name


def _kind(entry: ModelConfig) -> Kind:
    return entry.kind or (kind_of(entry.path) if entry.upstream is None else Kind.GENERATION)


def _price(entry: ModelConfig) -> Price:
    price = entry.price
    return Price.of(
        input=price.input,
        output=price.output,
        cached_input=price.cached_input,
        batch_percent=price.batch_percent,
    )


def _model_version(models: Models) -> Callable[[str], str]:
    @functools.cache
    def version_of(engine: str) -> str:
        model = models.named(engine)
        # A Job outlives the settings it was made under: its model may not be served any more.
        return model.version if model else engine

    return version_of


def _encoder(models: Models) -> Callable[[Job, Result], bytes]:
    version = _model_version(models)

    def encode(job: Job, result: Result) -> bytes:
        return result_line(
            result.asker.key,
            result.outcome,
            metadata=result.asker.metadata,
            model_version=version(result.engine or job.engine),
            of_other_model=result.engine is not None,
            response_id=f"{job.id}-{result.asker.ordinal}",
        )

    return encode


def _asked(models: Models) -> Asked:
    """Return what says what a line asks: any name of the Job's own model may stand in it."""

    def asked(line: Line, model: str | None, kind: Kind) -> AnyRequest | Failed:
        own = line.model is not None and model is not None and models.same(line.model, model)
        return asked_of(replace(line, model=None) if own else line, model, kind)

    return asked


def _counter(inputs: Inputs) -> Callable[[str], Awaitable[int]]:
    async def count(blob: str) -> int:
        return (await inputs.read_summary(blob)).requests

    return count


def _empty_directory(path: Path) -> Path:
    """Make a directory for what is worthless after a restart, without what the last process left in it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(exist_ok=True)  # what is mounted stays
    return path


async def _keep_running(loop: Callable[[], Awaitable[None]], clock: Clock, troubles: Troubles) -> None:
    """Run a loop that should never end; a failure nobody foresaw is told, and it starts again."""
    while True:
        try:
            await loop()
        except (OSError, CorruptData) as error:
            why = disk.explain(error) if isinstance(error, OSError) else str(error)
            logger.error("%s", why)
            troubles.note(why)
            await clock.sleep(RESTART_SECONDS)
        except Exception:
            logger.exception("%s failed and starts again in %g s.", loop, RESTART_SECONDS)
            await clock.sleep(RESTART_SECONDS)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
