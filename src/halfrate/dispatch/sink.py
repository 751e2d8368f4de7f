"""Where a Shard's Results become final: appended, synced and settled in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from halfrate.clock import Clock
from halfrate.dispatch.bell import Bell
from halfrate.domain.job import Counts
from halfrate.domain.outcome import Failed
from halfrate.domain.result import Result
from halfrate.domain.shard import Lease, SegmentRef
from halfrate.domain.usage import Usage
from halfrate.metering.price import Price
from halfrate.results.segment import SegmentWriter
from halfrate.store.meta.api import MetaStore, Tally

WAITING_MAX = 4_096

LINGER_SECONDS = 0.05
"""How long a group gathers: each costs two syncs and a transaction, on cores that an Engine could use."""

Settled = Callable[[Tally, float], None]

GROUP_ENOUGH = 512
"""A group that large does not wait for more."""


class Sink:
    """Settles Results behind the lanes' backs: while one group is synced, the next one gathers.

    `add` never waits. Await `room` before starting what will add more, and watch `failure` meanwhile.
    ``settled`` hears of each group: what it came to, and how many seconds it took.
    """

    def __init__(
        self,
        lease: Lease,
        writer: SegmentWriter,
        *,
        store: MetaStore,
        price: Price,
        clock: Clock,
        settled: Settled = lambda tally, seconds: None,
    ) -> None:
        self._lease = lease
        self._writer = writer
        self._store = store
        self._price = price
        self._clock = clock
        self._settled = settled
        self._gathered: list[Result] = []
        self._results = 0
        self._wake = asyncio.Event()
        self._enough = Bell(clock)
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def add(self, results: Sequence[Result]) -> None:
        """Take Results on their way to being settled."""
        self._gathered.extend(results)
        self._wake.set()
        if len(self._gathered) >= GROUP_ENOUGH:
            self._enough.ring()

    async def room(self) -> None:
        """Wait while `WAITING_MAX` Results or more are not settled yet. Raise what went wrong."""
        if len(self._gathered) >= WAITING_MAX:
            self._room.clear()
            await self._room.wait()
        self._raise_failure()

    async def failure(self) -> None:
        """Wait until Results cannot be settled, and raise why. Return when the Sink is closed."""
        if self._task is not None:
            await asyncio.wait({self._task})
        self._raise_failure()

    async def close(self) -> None:
        """Return when everything added is settled. Raise `LeaseLost` if another holds the Shard now.

        A caller that is cancelled stops nothing, and may call it again to wait.
        """
        self._closing = True
        self._wake.set()
        self._enough.ring()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"sink {self._lease.job_id}/{self._lease.shard}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._gathered:
                    if not self._closing and len(self._gathered) < GROUP_ENOUGH:
                        await self._enough.wait(seconds=LINGER_SECONDS)
                    group, self._gathered = self._gathered, []
                    self._room.set()
                    await self._settle(group)
                if self._closing:
                    return
        finally:
            self._room.set()

    async def _settle(self, group: list[Result]) -> None:
        began = self._clock.now()
        settled_bytes = await asyncio.to_thread(self._write, group)
        self._results += len(group)
        segment = SegmentRef(
            job_id=self._lease.job_id,
            shard=self._lease.shard,
            token=self._lease.token,
            settled_bytes=settled_bytes,
            results=self._results,
        )
        comes_to = tally(group, self._price)
        await self._store.settle(self._lease, segment, comes_to)
        self._settled(comes_to, max(0.0, self._clock.now() - began))

    def _write(self, group: list[Result]) -> int:
        settled_bytes = self._writer.append(group)
        self._writer.sync()
        return settled_bytes

    def _raise_failure(self) -> None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None:
                raise error


def tally(results: Sequence[Result], price: Price) -> Tally:
    """Add up what Results come to. An answer is paid for, an error is not."""
    answers = [result.outcome for result in results if not isinstance(result.outcome, Failed)]
    input_tokens = output_tokens = cached_tokens = 0
    for answer in answers:
        input_tokens += answer.usage.input_tokens
        output_tokens += answer.usage.output_tokens
        cached_tokens += answer.usage.cached_tokens
    usage = Usage(input_tokens, output_tokens, cached_tokens)
    return Tally(
        counts=Counts(succeeded=len(answers), failed=len(results) - len(answers)),
        usage=usage,
        cost_picos=price.batch.cost_picos(usage),
        interactive_cost_picos=price.interactive.cost_picos(usage),
    )
