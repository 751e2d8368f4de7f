"""Tells receivers how Jobs ended: again and again until they take it, but not for ever."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from halfrate.clock import Clock
from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.webhook import Delivery, Event, EventKind, Told, Webhook, WebhookState, retry_at
from halfrate.identity import new_id
from halfrate.net.post import Posted
from halfrate.store import disk
from halfrate.store.meta.api import MetaStore
from halfrate.store.signing_key import SigningKey
from halfrate.upkeep.expirer import Wait
from halfrate.wire import standard_webhooks

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
IN_FLIGHT_MAX = 64
EACH_MAX = 4
"""Calls to one host at a time."""

DUE_MAX, DUE_EACH_MAX = 500, 64
"""What is read together, in all and for one receiver. To look through a backlog of ten thousand takes 40 ms:
not after every call.
"""

TOKEN_SECONDS = 300
"""How long a signed token holds: receivers refuse what is older, and each attempt has its own."""

BOOK_AGAIN_SECONDS = 5.0

T = TypeVar("T")


class Post(Protocol):
    """Makes a call."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Posted:
        """Return what came of it. Raises nothing that the other end can cause."""
        ...


class Courier:
    """Looks for Deliveries that are due, and makes them, a bounded number at a time.

    At least once: a process that dies between a call and the note of it makes the call again, under the same
    id. ``encode`` returns what is said of an Event. ``wait`` returns after some seconds, or when ``ring`` is
    called.
    """

    def __init__(
        self,
        *,
        store: MetaStore,
        post: Post,
        key: SigningKey,
        encode: Callable[[Event], bytes],
        clock: Clock,
        chance: Callable[[], float],
        give_up_seconds: float,
        wait: Wait,
        ring: Callable[[], None],
    ) -> None:
        self._store = store
        self._post = post
        self._key = key
        self._encode = encode
        self._clock = clock
        self._chance = chance
        self._give_up_seconds = give_up_seconds
        self._wait = wait
        self._ring = ring
        self._in_flight: dict[str, str] = {}
        self._due: dict[str, Delivery] = {}
        self._looked_at = 0.0
        self.told: Counter[Told] = Counter()

    async def run(self) -> None:
        """Tell until cancelled."""
        self._in_flight.clear()
        self._due.clear()
        async with asyncio.TaskGroup() as group:
            while True:
                for delivery in await self._next_ones():
                    self._in_flight[delivery.id] = host_of(delivery)
                    group.create_task(self._tell(delivery))
                await self._wait(seconds=LOOK_SECONDS)

    async def _next_ones(self) -> list[Delivery]:
        """Return what to begin: of what was found to be due, or of what is found now if that was long ago."""
        chosen = next_ones(self._due.values(), self._in_flight)
        if not chosen or self._clock.now() >= self._looked_at + LOOK_SECONDS:
            self._looked_at = self._clock.now()
            due = await self._store.deliveries_due(each=DUE_EACH_MAX, limit=DUE_MAX)
            # Not those under way: they may be done, and would be begun again, before the next look.
            self._due = {delivery.id: delivery for delivery in due if delivery.id not in self._in_flight}
            chosen = next_ones(self._due.values(), self._in_flight)
        for delivery in chosen:
            del self._due[delivery.id]
        return chosen

    async def ping(self, webhook: Webhook) -> Posted:
        """Tell a Webhook that somebody asked for it, whatever its state."""
        now = self._clock.now()
        event = Event(EventKind.PING, now)
        delivery = Delivery(f"ping_{new_id(24)}", event, webhook.uri, webhook.id, 0, now)
        return await self._call(delivery, webhook)

    async def _tell(self, delivery: Delivery) -> None:
        try:
            posted = await self._attempt(delivery)
            if posted is not None:
                reach(CrashPoint.DELIVERY_CALL_AFTER)
                await self._book(delivery, posted)
                reach(CrashPoint.DELIVERY_BOOK_AFTER)
        finally:
            self._in_flight.pop(delivery.id, None)
            self._ring()

    async def _attempt(self, delivery: Delivery) -> Posted | None:
        """Make the call. Return None if its Webhook has gone meanwhile, or was disabled."""
        if delivery.webhook_id is None:
            return await self._call(delivery, None)
        webhook = await self._store.get_webhook(delivery.webhook_id)
        if webhook is None or webhook.state is not WebhookState.ENABLED:
            return None
        return await self._call(delivery, webhook)

    async def _call(self, delivery: Delivery, webhook: Webhook | None) -> Posted:
        body, now = self._encode(delivery.event), self._clock.now()
        if webhook is None:
            signature = await self._key.jwt(claims_of(delivery, now=now, body=body))
        else:
            keys = (secret.key for secret in webhook.secrets)
            signature = standard_webhooks.signatures(keys, delivery.id, now=now, body=body)
        headers = standard_webhooks.headers(delivery.id, now=now, signature=signature)
        return await self._post(delivery.uri, headers=headers, body=body)

    async def _book(self, delivery: Delivery, posted: Posted) -> None:
        """Note what came of an attempt."""
        if posted.taken:
            await self._until_booked(lambda: self._store.delivered(delivery.id))
            self.told[Told.DELIVERED] += 1
            return
        due_at = retry_at(
            delivery,
            now=self._clock.now(),
            chance=self._chance(),
            give_up_seconds=self._give_up_seconds,
            wanted_seconds=posted.retry_after_seconds,
        )
        self.told[Told.FAILED] += 1
        if due_at is not None:
            await self._until_booked(lambda: self._store.put_off(delivery.id, due_at=due_at))
        else:
            self.told[Told.GIVEN_UP] += await self._until_booked(lambda: self._store.give_up(delivery.id))
            logger.warning("%s was not told that %s. %s", _receiver(delivery), _news(delivery), posted)

    async def _until_booked(self, change: Callable[[], Awaitable[T]]) -> T:
        """Make a change, also on a disk that is full for a while: until then it must not be tried again."""
        while True:
            try:
                return await change()
            except OSError as error:
                logger.error("A delivery cannot be noted: %s", disk.explain(error))
                await self._clock.sleep(BOOK_AGAIN_SECONDS)


def next_ones(due: Iterable[Delivery], in_flight: Mapping[str, str]) -> list[Delivery]:
    """Return which Deliveries to begin, given the hosts of those in flight by their ids.

    A host that does not answer has a few calls under way, and no more: the others' turn comes all the same.
    """
    hosts = Counter(in_flight.values())
    chosen: list[Delivery] = []
    for delivery in due:
        if len(in_flight) + len(chosen) >= IN_FLIGHT_MAX:
            break
        host = host_of(delivery)
        if delivery.id not in in_flight and hosts[host] < EACH_MAX:
            hosts[host] += 1
            chosen.append(delivery)
    return chosen


def host_of(delivery: Delivery) -> str:
    """Return whom a Delivery may hold up: the host it goes to."""
    return urlsplit(delivery.uri).netloc.lower()


def claims_of(delivery: Delivery, *, now: float, body: bytes) -> dict[str, object]:
    """Return what a token says of a call: for whom it is, that it is new, and which body it belongs to."""
    return {
        "iss": "halfrate",
        "aud": delivery.uri,
        "iat": int(now),
        "exp": int(now) + TOKEN_SECONDS,
        "jti": delivery.id,
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }


def _receiver(delivery: Delivery) -> str:
    return f"Webhook {delivery.webhook_id}" if delivery.webhook_id else host_of(delivery)


def _news(delivery: Delivery) -> str:
    return f"Job {delivery.event.job_id} came to {delivery.event.kind}"
