"""One server of an upstream: what is asked of it, and whether it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from halfrate.clock import Clock
from halfrate.domain.errors import EngineBroken, Unreachable
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest, Request
from halfrate.domain.trouble import Trouble
from halfrate.engines.api import EngineFacts, EngineState, Wrote
from halfrate.engines.upstream.dialect import Call, Dialect, Instead, Lack, Listener, NoReply, Reply
from halfrate.engines.upstream.governor import Governor
from halfrate.engines.upstream.load import Load, load_of
from halfrate.engines.upstream.settings import UpstreamSettings
from halfrate.engines.upstream.transport import Transport
from halfrate.wire.allowances import NOTHING_SAID, allowances_of
from halfrate.wire.rejected import Rejected

STOPPED = "The engine has been stopped."

FAILURES_MAX = 5
"""After so many failures in a row a server is left alone, and looked at before it is asked again."""

LOAD_SECONDS = 2.0
LOAD_SECONDS_MAX = 60.0
"""How often a server is asked for its load, and how often one that does not tell."""

_FAULTS = frozenset({Cause.TIMED_OUT, Cause.UPSTREAM})


class Replica:
    """Asks the server at ``url``. A lifetime is ``async with replica``; it bounds no number of calls.

    It is READY while the server answers, LOADING while it does not, and BROKEN while it refuses whatever is
    asked; ``changed`` is called when that or ``trouble`` is another. In both cases it is asked again, until
    it answers.
    """

    def __init__(
        self,
        url: str,
        settings: UpstreamSettings,
        dialect: Dialect,
        *,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self.url = url
        self.state = EngineState.LOADING
        self.trouble: Trouble | None = None
        self.facts: EngineFacts | None = None
        self.dialect = dialect
        self.governor = Governor(least=settings.concurrency_min, most=settings.concurrency_max)
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._transport = Transport(
            url,
            headers=dialect.headers(),
            patience=settings.patience,
            answer_bytes_max=settings.answer_bytes_max,
            proxy_from_env=settings.proxy_from_env,
            ca_file=settings.ca_file,
        )
        self._left_ready = asyncio.Event()
        self._check: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._faults = 0  # how many calls in a row failed for no fault of theirs
        self._failures = 0  # how often in a row it was looked for in vain

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._watch_load())]
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [*self._tasks, *([] if self._check is None else [self._check])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._become(EngineState.BROKEN, STOPPED)
        await self._transport.__aexit__(*exc)

    @property
    def available(self) -> bool:
        """Whether the server answers, as far as is known."""
        return self.state is EngineState.READY

    async def answer(self, request: AnyRequest, *, wrote: Wrote | None = None) -> Outcome:
        """Make one call for a Request, now. Cancelling hangs up."""
        outcome = await self._ask(request, wrote)
        if isinstance(outcome, Instead):
            outcome = await self._ask(outcome.request, wrote)
        match outcome:
            case NoReply():
                return await self._lost(outcome)
            case Rejected():
                self._become(EngineState.BROKEN, outcome.why)
                return Failed(Cause.OVERLOADED, outcome.why)
            case Instead():
                return Failed(Cause.UNSUPPORTED, f"{self.url} cannot be asked for this.")
            case Failed() if outcome.cause in _FAULTS:
                return self._at_fault(outcome)
            case _:
                self._failures = self._faults = 0
                return outcome

    async def _ask(self, request: AnyRequest, wrote: Wrote | None) -> Outcome | Rejected | Instead | NoReply:
        streamed = isinstance(request, Request) and (wrote is not None or self._settings.stream)
        call = self.dialect.ask(request, streamed=streamed)
        if not isinstance(call, Call):
            return call
        listener = self.dialect.listener(request) if streamed else None
        reply = await self._transport.send(call, None if listener is None else _hearing(listener, wrote))
        if isinstance(reply, NoReply):
            return reply
        said = allowances_of(reply.headers)
        if said is not NOTHING_SAID:
            self.governor.allowed(self._clock.now(), said)
        if listener is not None and reply.status == 200:
            return listener.outcome()
        return self.dialect.read(request, reply)

    async def fetch(self, call: Call) -> Reply | NoReply:
        """Make one call that is no Request. They are few: none keeps a connection."""
        return await self._transport.send(call, keep=False)

    async def _lost(self, lost: NoReply) -> Failed:
        """Say what it means for a Request that its call got no answer."""
        match lost.why:
            case Lack.UNREACHABLE:
                self._become(EngineState.LOADING, lost.detail)
                return Failed(Cause.OVERLOADED, lost.detail)
            case Lack.SILENT:
                return self._at_fault(Failed(Cause.TIMED_OUT, lost.detail))
            case Lack.BROKEN_OFF if not await self._is_there():
                return Failed(Cause.ENGINE_DIED, lost.detail)
            case _:
                return self._at_fault(Failed(Cause.UPSTREAM, lost.detail))

    def _at_fault(self, failed: Failed) -> Failed:
        """Leave a server alone for a while that fails whatever is asked."""
        self._faults += 1
        if self._faults >= FAILURES_MAX:
            self._faults = 0
            self._become(EngineState.LOADING, f"{FAILURES_MAX} calls in a row failed. {failed.detail}")
        return failed

    async def _is_there(self) -> bool:
        """Whether the server still answers, which is found out once for all whose calls broke off."""
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._look())
        await asyncio.shield(self._check)
        return self.state is EngineState.READY

    async def _keep(self) -> None:
        """Look for the server until it answers, and again when it does no more."""
        while True:
            await self._look()
            while self.state is EngineState.READY:
                self._left_ready.clear()
                await self._left_ready.wait()
            await self._clock.sleep(self._pause())

    async def _watch_load(self) -> None:
        """Have the governor know of the server's load, where it tells."""
        while True:
            seconds = LOAD_SECONDS
            if self.available:
                load = await self._load()
                if load is not None:
                    self.governor.loaded(load)
                else:
                    seconds = LOAD_SECONDS_MAX
            await self._clock.sleep(seconds)

    async def _load(self) -> Load | None:
        reply = await self.fetch(Call("/metrics", from_root=True))
        if not isinstance(reply, Reply) or reply.status != 200:
            return None
        return load_of(reply.body.decode(errors="replace"))

    async def _look(self) -> None:
        try:
            self.facts = await self.dialect.discover(self.fetch)
        except Unreachable as error:
            self._become(EngineState.LOADING, str(error))
        except EngineBroken as error:
            self._become(EngineState.BROKEN, str(error))
        else:
            self._become(EngineState.READY)

    def _pause(self) -> float:
        """Return how long to wait before the next look, and have the trouble tell it."""
        self._failures += 1
        doubled = self._settings.look_seconds * 2.0 ** min(self._failures - 1, 30)
        seconds = min(doubled, self._settings.look_seconds_max)
        if self.trouble is not None:
            self.trouble = replace(
                self.trouble, again_at=self._clock.now() + seconds, attempt=self._failures + 1
            )
        return seconds

    def _become(self, state: EngineState, trouble: str | None = None) -> None:
        self.state = state
        self.trouble = None if trouble is None else Trouble(trouble)
        if state is not EngineState.READY:
            self._left_ready.set()
        self._changed()


def _hearing(listener: Listener, wrote: Wrote | None) -> Callable[[bytes], bool]:
    def heard(piece: bytes) -> bool:
        for delta in listener.hear(piece):
            if wrote is not None:
                wrote(delta)
        return listener.done

    return heard
