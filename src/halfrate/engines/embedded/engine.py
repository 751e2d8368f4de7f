"""The embedded engine as the server sees it: a child process that is asked, watched, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from halfrate.clock import Clock, WallClock
from halfrate.domain.embedding import Embedded, Embedding
from halfrate.domain.errors import EngineBroken, InvalidArgument, Unavailable
from halfrate.domain.kind import Kind
from halfrate.domain.outcome import Cause, Failed, Outcome
from halfrate.domain.request import AnyRequest
from halfrate.domain.trouble import Trouble
from halfrate.engines.abilities import inability
from halfrate.engines.api import EngineFacts, EngineState, Took, Wrote
from halfrate.engines.embedded import protocol
from halfrate.engines.embedded.process import MODULE, Child
from halfrate.engines.embedded.prompts import BYTES_PER_TOKEN_MAX, prompt_bytes
from halfrate.engines.embedded.restarts import Record
from halfrate.engines.embedded.settings import EmbeddedSettings

_Reply = protocol.Done | protocol.Vector | protocol.Refused | protocol.Counted
_Question = protocol.Ask | protocol.Embed | protocol.Count | protocol.CountText


class EmbeddedEngine:
    """Answers with one model, loaded by a child process.

    ``model`` is a GGUF file, a folder with a model in OpenVINO's format, or the hub id of one; of the kind
    EMBEDDING, a GGUF file or a folder in the format of Hugging Face with a BERT in it. When the
    child dies, every Request it held comes back as ``Failed(Cause.ENGINE_DIED)`` and it is started again,
    after a delay that doubles with each death in a row. A model that cannot be loaded makes the Engine
    BROKEN, for good.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        kind: Kind = Kind.GENERATION,
        settings: EmbeddedSettings | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        child_module: str = MODULE,
    ) -> None:
        self._model = str(model)
        self._kind = kind
        self._settings = settings or EmbeddedSettings()
        self._clock = clock or WallClock()
        self._chance = chance
        self._child_module = child_module
        self._state = EngineState.LOADING
        self._trouble: Trouble | None = None
        self._facts: EngineFacts | None = None
        self._changed = asyncio.Condition()
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._waiting: dict[int, Callable[[_Reply], None]] = {}  # by the id of what was asked
        self._streams: dict[int, Wrote] = {}  # by the id of the Ask whose answer is told as it is written
        self._last_id = 0
        self._progress_at = 0.0  # monotonic seconds: when the child last got on with what it holds
        self._beat: protocol.Beat | None = None

    @property
    def state(self) -> EngineState:
        """LOADING until the model is in memory, and again while a dead child is restarted."""
        return self._state

    @property
    def trouble(self) -> Trouble | None:
        """Why the Engine is not READY, when there is more to say than "loading"."""
        return self._trouble

    @property
    def pid(self) -> int | None:
        """The child's process id, for operators and tests; None when there is none."""
        return self._child.pid if self._child is not None else None

    @property
    def beat(self) -> protocol.Beat | None:
        """The child's last report of how it is doing, at most a second or one step old while it works."""
        return self._beat

    async def ready(self) -> EngineFacts:
        """Wait until READY and say what was loaded. Raise `EngineBroken` if it cannot load."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._state is not EngineState.LOADING)
        if self._state is EngineState.BROKEN or self._facts is None:
            raise EngineBroken(str(self._trouble or "the engine has been stopped"))
        return self._facts

    async def answer(
        self, request: AnyRequest, *, interactive: bool = False, wrote: Wrote | None = None
    ) -> Outcome:
        """Make one Attempt, once the model is loaded. Interactive Requests go ahead of the others.

        Every failure is a returned `Failed`. Cancelling the awaiting task frees what the Attempt holds.
        """
        outcomes: list[Outcome] = []
        await self._answer(
            [request], lambda _, outcome: outcomes.append(outcome), interactive=interactive, wrote=wrote
        )
        (outcome,) = outcomes
        return outcome

    async def answer_many(self, requests: Sequence[AnyRequest], took: Took) -> None:
        """Make one Attempt of each, behind interactive Requests, and return when all have their Outcome.

        The promise is that of `halfrate.engines.api.Engine`. No task is made for a Request.
        """
        await self._answer(requests, took, interactive=False)

    async def _answer(
        self, requests: Sequence[AnyRequest], took: Took, *, interactive: bool, wrote: Wrote | None = None
    ) -> None:
        try:
            facts = await self.ready()
        except EngineBroken as error:
            for position in range(len(requests)):
                took(position, Failed(Cause.ENGINE_DIED, str(error)))
            return
        asks = []
        for position, request in enumerate(requests):
            refusal = _refuse(request, facts)
            if refusal is None:
                streamed = wrote is not None
                id = self._next_id()
                asks.append((position, _question(id, request, interactive=interactive, streamed=streamed)))
            else:
                took(position, refusal)
        positions = {ask.id: position for position, ask in asks}
        if wrote is not None:
            self._streams.update(dict.fromkeys(positions, wrote))
        await self._ask([ask for _, ask in asks], lambda reply: took(positions[reply.id], _outcome(reply)))

    async def count_tokens(self, request: AnyRequest) -> int:
        """The tokens of the rendered prompt, exactly as `answer` would report ``input_tokens``.

        Raise `EngineBroken`; `InvalidArgument` for a prompt that could never be answered; `Unavailable`
        when the child dies over it.
        """
        facts = await self.ready()
        refusal = _refuse(request, facts)
        if refusal is not None:
            raise InvalidArgument(refusal.detail)
        replies: list[_Reply] = []
        id = self._next_id()
        await self._ask([_count(id, request)], replies.append)
        match replies[0]:
            case protocol.Counted(tokens=tokens):
                return tokens
            case protocol.Refused(cause=Cause.ENGINE_DIED, detail=detail):
                raise Unavailable(detail)
            case protocol.Refused(detail=detail):
                raise InvalidArgument(detail)
            case protocol.Done() | protocol.Vector():
                raise AssertionError("an answer to a Count")

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._supervisor is not None
        self._supervisor.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        finally:
            await self._give_up("The engine has been stopped.")

    async def _ask(self, asks: Sequence[_Question], hear: Callable[[_Reply], None]) -> None:
        """Send questions, and return when `hear` was called with the reply to each.

        A cancelled wait tells the child to forget those that have none yet.
        """
        left = {ask.id for ask in asks}
        complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def replied(reply: _Reply) -> None:
            self._waiting.pop(reply.id, None)
            self._streams.pop(reply.id, None)
            left.discard(reply.id)
            hear(reply)
            if not left and not complete.done():
                complete.set_result(None)

        self._send(asks, replied)
        if not left:
            return
        try:
            await complete
        finally:
            self._forget(left)

    def _send(self, asks: Sequence[_Question], replied: Callable[[_Reply], None]) -> None:
        """Put questions on their way to the child. What cannot be sent has its reply at once."""
        if not self._waiting:
            self._progress_at = time.monotonic()  # silence counts from when there is something to say
        for ask in asks:
            self._waiting[ask.id] = replied
            if self._child is None:
                detail = str(self._trouble or "The engine's process has ended.")
                replied(protocol.Refused(ask.id, Cause.ENGINE_DIED, detail))
                continue
            try:
                self._child.send(ask)
            except protocol.BadFrame as error:
                detail = f"The Request cannot be given to the engine: {error}."
                replied(protocol.Refused(ask.id, Cause.INVALID, detail))

    def _forget(self, ids: set[int]) -> None:
        """Tell the child that nobody waits for these any more. One that was started since ignores it."""
        for id in ids:
            del self._waiting[id]
            self._streams.pop(id, None)
            if self._child is not None:
                self._child.send(protocol.Cancel(id))

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    async def _run(self) -> None:
        try:
            await self._supervise()
        except Exception as error:  # a fault of ours must not leave anyone waiting
            await self._give_up(f"The engine's supervisor failed: {error!r}.")
            raise

    async def _supervise(self) -> None:
        """Keep a child alive until cancelled, or until the model proves to be unloadable."""
        record = Record()
        while True:
            started = time.monotonic()
            last_words = await self._live_once()
            up_seconds = time.monotonic() - started
            record = record.after(self._settings, was_ready=self._facts is not None, up_seconds=up_seconds)
            self._facts = None
            self._fail_all(last_words)
            if self._state is EngineState.BROKEN:
                return
            if record.hopeless(self._settings):
                detail = f"{self._model} could not be loaded in {record.loads_failed} attempts. {last_words}"
                await self._become(EngineState.BROKEN, Trouble(detail))
                return
            delay = record.delay_seconds(self._settings, chance=self._chance())
            again_at = self._clock.now() + delay
            await self._become(EngineState.LOADING, Trouble(last_words, again_at, record.deaths))
            await self._clock.sleep(delay)

    async def _live_once(self) -> str:
        """Start a child and read what it says until it is gone. Why it went, as a sentence."""
        try:
            return await self._live()
        except OSError as error:
            return f"The engine's process cannot be started: {error}."

    async def _live(self) -> str:
        stop_seconds = self._settings.stop_seconds
        async with Child.start(stop_seconds=stop_seconds, module=self._child_module) as child:
            self._beat = None
            child.send(protocol.Load(self._model, self._settings, self._kind))
            self._progress_at = time.monotonic()
            watch = asyncio.create_task(self._watch(child))
            try:
                async for message in child.messages():
                    if not self._stands_still(message):
                        self._progress_at = time.monotonic()
                    await self._hear(child, message)
            finally:
                self._child = None
                watch.cancel()
            if self._state is EngineState.READY:
                await self._become(EngineState.LOADING, Trouble("The engine's process has ended."))
            return await child.last_words()

    async def _hear(self, child: Child, message: protocol.FromChild) -> None:
        match message:
            case protocol.Loaded():
                self._child = child
                self._facts = EngineFacts(
                    model_version=message.model_version,
                    context_tokens=message.context_tokens,
                    default_temperature=message.default_temperature,
                    lanes=message.lanes,
                    dimensions=message.dimensions,
                    abilities=message.abilities,
                    logprobs_max=message.logprobs_max,
                    thinks=message.thinks,
                )
                await self._become(EngineState.READY, None)
            case protocol.Broken(detail=detail):
                await self._become(EngineState.BROKEN, Trouble(detail))
            case protocol.Beat():
                self._beat = message
            case protocol.Wrote(id=id, deltas=deltas):
                wrote = self._streams.get(id)
                if wrote is not None:  # else its asker was cancelled a moment ago
                    for delta in deltas:
                        wrote(delta)
            case protocol.Done() | protocol.Vector() | protocol.Refused() | protocol.Counted():
                replied = self._waiting.get(message.id)
                if replied is not None:  # else its asker was cancelled a moment ago
                    replied(message)

    def _stands_still(self, message: protocol.FromChild) -> bool:
        """Whether the child says only that it lives: it made no step since it said so last time."""
        return (
            isinstance(message, protocol.Beat)
            and self._beat is not None
            and message.steps == self._beat.steps
        )

    async def _watch(self, child: Child) -> None:
        """Kill a child that makes no progress for too long while it holds work or loads."""
        nap = min(self._settings.load_seconds_max, self._settings.hang_seconds, 20.0) / 4
        while True:
            loading = self._state is EngineState.LOADING
            patience = self._settings.load_seconds_max if loading else self._settings.hang_seconds
            stuck_seconds = time.monotonic() - self._progress_at if loading or self._waiting else 0.0
            if stuck_seconds >= patience:
                child.kill(_stuck(patience, loading=loading))
                return
            await asyncio.sleep(nap)

    async def _give_up(self, trouble: str) -> None:
        """Nobody will answer any more: whoever waits, now or later, is told why."""
        self._fail_all(trouble)
        if self._state is not EngineState.BROKEN:
            await self._become(EngineState.BROKEN, Trouble(trouble))

    def _fail_all(self, detail: str) -> None:
        """Every Request in flight learns that it was in the hands of a process that is gone."""
        for id, replied in list(self._waiting.items()):
            replied(protocol.Refused(id, Cause.ENGINE_DIED, detail))

    async def _become(self, state: EngineState, trouble: Trouble | None) -> None:
        self._state, self._trouble = state, trouble
        async with self._changed:
            self._changed.notify_all()


def _stuck(seconds: float, *, loading: bool) -> str:
    if loading:
        return f"it did not finish loading in {seconds:g} s, and was killed"
    return (
        f"it made no progress with the Requests it held in {seconds:g} s, and was killed. "
        "If the model is only slow, raise models.NAME.hang_seconds"
    )


def _question(id: int, request: AnyRequest, *, interactive: bool, streamed: bool) -> _Question:
    if isinstance(request, Embedding):
        return protocol.Embed(id, request, interactive)
    return protocol.Ask(id, request, interactive, streamed)


def _count(id: int, request: AnyRequest) -> _Question:
    return protocol.CountText(id, request) if isinstance(request, Embedding) else protocol.Count(id, request)


def _outcome(reply: _Reply) -> Outcome:
    """What the child made of an Ask."""
    match reply:
        case protocol.Done(answered=answered):
            return answered
        case protocol.Vector(packed=packed, usage=usage):
            return Embedded(packed, usage)
        case protocol.Refused(cause=cause, detail=detail):
            return Failed(cause, detail)
        case protocol.Counted():
            raise AssertionError("a count in answer to an Ask")


def _refuse(request: AnyRequest, facts: EngineFacts) -> Failed | None:
    """Refuse what cannot be answered before it costs a copy, let alone a tokenizer's time."""
    unable = inability(request, facts)
    if unable is not None:
        return unable
    try:
        size = prompt_bytes(request)
    except UnicodeEncodeError:
        return Failed(Cause.INVALID, "The prompt is not valid Unicode: it holds half a surrogate pair.")
    if isinstance(request, Embedding):
        return None  # of a text that is too long, the beginning is embedded
    if size > facts.context_tokens * BYTES_PER_TOKEN_MAX:
        return Failed(
            Cause.TOO_LONG,
            f"A prompt of {size} bytes does not fit the context of {facts.context_tokens} tokens of "
            f"{facts.model_version}. Shorten the prompt.",
        )
    return None
