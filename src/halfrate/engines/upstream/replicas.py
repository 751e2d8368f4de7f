"""Which server a call goes to, and whose turn it is: several servers of one model, as one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice
from typing import Generic, Protocol, Self, TypeVar

from halfrate.clock import Clock
from halfrate.domain.embedding import Embedding
from halfrate.domain.outcome import Outcome
from halfrate.domain.request import AnyRequest
from halfrate.engines.upstream.bucket import Bucket
from halfrate.engines.upstream.governor import Governor

PREFIX_CHARS = 1_024
"""Prompts that begin with so many of the same characters have a prefix that a server may have warm."""

GROUPS_MAX = 10_000
"""So many prefixes are remembered, with the server that has each."""

LOOK_AHEAD = 32
"""A place goes to one of so many who wait, to find one whose prefix is warm there."""

WAIT_SECONDS_MAX = 600.0
"""Whoever would wait longer than that, or has, is told that there is no room: an Attempt has its own time."""


class Governed(Protocol):
    """A server, as far as it is chosen."""

    @property
    def governor(self) -> Governor:
        """When it may be asked."""
        ...

    @property
    def available(self) -> bool:
        """Whether it answers, as far as is known."""
        ...


R = TypeVar("R", bound=Governed)


class NoRoom(Exception):
    """No place comes free in a reasonable time. ``retry_after_seconds`` is when one may."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Place(Generic[R]):
    """The right to one call to ``replica``, asked for by ``async with``. Say what it came to by `ended`."""

    def __init__(self, replicas: Replicas[R], tokens: int, group: int | None, *, interactive: bool) -> None:
        self._replicas = replicas
        self.tokens = tokens
        self.group = group
        self.interactive = interactive
        self.since = 0.0
        self.turn: asyncio.Future[R] | None = None
        self._replica: R | None = None
        self._has_ended = False

    @property
    def is_told(self) -> bool:
        """Whether nobody waits for it any more: it was given, refused or left."""
        return self.turn is None or self.turn.done()

    def tell_no_room(self, retry_after_seconds: float) -> None:
        """Let whoever waits for it know that there is none."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_exception(NoRoom(retry_after_seconds))

    @property
    def replica(self) -> R:
        """The server to call."""
        assert self._replica is not None, "entered"
        return self._replica

    def ended(self, outcome: Outcome, *, tokens: int | None = None) -> None:
        """Say what the call came to, and how many tokens it really took, if that is known."""
        self._has_ended = True
        self._replicas.ended(self, outcome, tokens)

    async def __aenter__(self) -> Self:
        self._replica = await self._replicas.turn(self)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if not self._has_ended:
            self._replicas.given_up(self)


class Replicas(Generic[R]):
    """Gives out places at servers of one model: whose prefix is warm at one goes there while it has room.

    Interactive calls go first, the others in the order they came; but of those who have waited about as long,
    one whose prefix is warm where a place comes free is taken before one who would begin anew there. A server
    that is full lets its prefixes go to the one with the most room. ``rates`` hold for all servers together:
    of calls, and of tokens.
    """

    def __init__(
        self,
        replicas: Sequence[R],
        *,
        clock: Clock,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._requests = None if requests_per_minute is None else Bucket.per_minute(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else Bucket.per_minute(tokens_per_minute)
        self._interactive: deque[Place[R]] = deque()
        self._batch: deque[Place[R]] = deque()
        self._homes: OrderedDict[int, R] = OrderedDict()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = float("inf")

    def place(self, *, tokens: int = 0, group: int | None = None, interactive: bool = False) -> Place[R]:
        """Return a place to be entered, for about so many tokens. Entering raises `NoRoom`."""
        return Place(self, tokens, group, interactive=interactive)

    async def turn(self, place: Place[R]) -> R:
        """Wait until a place is free, and return where."""
        place.since = self._clock.now()
        place.turn = asyncio.get_running_loop().create_future()
        (self._interactive if place.interactive else self._batch).append(place)
        self.hand_out()
        try:
            return await place.turn
        except asyncio.CancelledError:
            self._leave(place)
            raise

    def ended(self, place: Place[R], outcome: Outcome, tokens: int | None) -> None:
        """Take the place back, with what came of it."""
        now = self._clock.now()
        if self._tokens is not None and tokens is not None:
            self._tokens.take(tokens - place.tokens, now)
        if place.replica.available:
            place.replica.governor.ended(now, outcome, tokens=place.tokens, waiting=len(self._batch))
        else:
            place.replica.governor.given_up(tokens=place.tokens)  # it says nothing of how much it could bear
        self.hand_out()

    def given_up(self, place: Place[R]) -> None:
        """Take the place back of a call that was hung up."""
        place.replica.governor.given_up(tokens=place.tokens)
        self.hand_out()

    def hand_out(self) -> None:
        """Give out what is free. To be called too when a server has come back."""
        if not self._batch and not self._interactive:
            return
        now = self._clock.now()
        self._send_away(now)
        while queue := self._interactive or self._batch:
            first = queue[0]
            if first.is_told:  # it waits no more
                queue.popleft()
                continue
            opens_at = max(self._open_at(first, now), self._rates_open_at(first, now))
            if opens_at > now:
                self._look_again_at(opens_at, now)
                return
            self._give(*self._choose(queue, now), now)

    def send_away(self) -> None:
        """Tell everybody who waits that there is no room: no server will have any."""
        self._send_all_away(0.0)

    def _send_all_away(self, retry_after_seconds: float) -> None:
        for queue in (self._interactive, self._batch):
            while queue:
                queue.popleft().tell_no_room(retry_after_seconds)

    def close(self) -> None:
        """Give out no place any more."""
        self.send_away()
        if self._alarm is not None:
            self._alarm.cancel()

    def _open_at(self, place: Place[R], now: float) -> float:
        """Return when the first server is open: never, where all are full, until a call ends."""
        earliest = float("inf")
        for replica in self._replicas:
            if replica.available and not replica.governor.full:
                earliest = min(earliest, replica.governor.opens_at(now, tokens=place.tokens))
        return earliest

    def _rates_open_at(self, place: Place[R], now: float) -> float:
        opens_at = now if self._requests is None else self._requests.opens_at(1, now)
        return opens_at if self._tokens is None else max(opens_at, self._tokens.opens_at(place.tokens, now))

    def _choose(self, queue: deque[Place[R]], now: float) -> tuple[Place[R], R]:
        """Return who is next, and where. There is somebody, and a server that is open."""
        if len(self._replicas) == 1:
            return queue.popleft(), self._replicas[0]
        first = queue[0]
        open_ones = [replica for replica in self._replicas if self._is_open(replica, first, now)]
        home = self._home(first)
        if home is not None and home in open_ones:
            return queue.popleft(), home
        roomiest = min(open_ones, key=_load)
        if home is not None and home.available:
            for number, place in enumerate(islice(queue, LOOK_AHEAD)):
                if not place.is_told and self._home(place) is roomiest:
                    del queue[number]
                    return place, roomiest
        return queue.popleft(), roomiest

    def _is_open(self, replica: R, place: Place[R], now: float) -> bool:
        governor = replica.governor
        return replica.available and not governor.full and governor.opens_at(now, tokens=place.tokens) <= now

    def _home(self, place: Place[R]) -> R | None:
        return None if place.group is None else self._homes.get(place.group)

    def _give(self, place: Place[R], replica: R, now: float) -> None:
        assert place.turn is not None, "waiting"
        replica.governor.began(now, tokens=place.tokens)
        for bucket, amount in ((self._requests, 1), (self._tokens, place.tokens)):
            if bucket is not None:
                bucket.take(amount, now)
        if place.group is not None and len(self._replicas) > 1:
            self._homes[place.group] = replica
            self._homes.move_to_end(place.group)
            if len(self._homes) > GROUPS_MAX:
                self._homes.popitem(last=False)
        place.turn.set_result(replica)

    def _leave(self, place: Place[R]) -> None:
        """Let somebody go who waits no more: perhaps the place had come in the meantime."""
        assert place.turn is not None, "waiting"
        if place.turn.done() and not place.turn.cancelled() and place.turn.exception() is None:
            place.turn.result().governor.given_up(tokens=place.tokens)
            self.hand_out()
            return
        queue = self._interactive if place.interactive else self._batch
        if place in queue:
            queue.remove(place)

    def _send_away(self, now: float) -> None:
        """Tell those who have waited too long. They came in order: the first is the one who waits longest."""
        for queue in (self._interactive, self._batch):
            while queue and queue[0].since <= now - WAIT_SECONDS_MAX:
                queue.popleft().tell_no_room(0.0)

    def _look_again_at(self, instant: float, now: float) -> None:
        """See to it that places are given out when it is time, or somebody has waited enough."""
        if instant == float("inf") and self._alarm is not None:
            return  # it rings before anybody has waited enough: whoever came since has waited less
        if instant < float("inf"):
            for replica in self._replicas:
                replica.governor.delayed()
            if instant - now > WAIT_SECONDS_MAX:
                self._send_all_away(instant - now)
                return
        firsts = [queue[0].since for queue in (self._interactive, self._batch) if queue]
        instant = min(instant, min(firsts) + WAIT_SECONDS_MAX)
        if self._alarm is not None:
            if self._alarm_at <= instant:
                return
            self._alarm.cancel()
        self._alarm_at = instant
        self._alarm = asyncio.create_task(self._ring(instant - now))

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._alarm = None
        self.hand_out()


def group_of(request: AnyRequest) -> int | None:
    """Return the same number for Requests that begin alike, as far as a server could have that warm."""
    if isinstance(request, Embedding):
        return None
    begin, left = [], PREFIX_CHARS
    for message in request.messages:
        begin.append(message.text[:left])
        left -= len(message.text)
        if left <= 0:
            break
    return hash((*begin, request.functions))


def _load(replica: Governed) -> float:
    governor = replica.governor
    return governor.in_flight / governor.limit
