"""The part of the SQLite store that keeps Webhooks, and what waits to be told to them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

import apsw

from halfrate.clock import Clock
from halfrate.domain.errors import AlreadyExists, ResourceExhausted
from halfrate.domain.job import JobState
from halfrate.domain.webhook import EVENT_OF, Delivery, Event, EventKind, Secret, Webhook, WebhookState
from halfrate.store.meta.api import Place
from halfrate.store.meta.rows import Row, cursor_of, execute, rows

T = TypeVar("T")


def tell(connection: apsw.Connection, job_id: str, state: JobState) -> None:
    """Note whom to tell that a Job came to its end. The last part of the change that brings it there."""
    execute(connection, "add_deliveries", {"id": job_id, "kind": EVENT_OF[state]})


class SqliteWebhooks(ABC):
    """What `SqliteStore` does with Webhooks."""

    _clock: Clock

    @abstractmethod
    async def _change(self, change: Callable[[apsw.Connection], T]) -> T: ...

    @abstractmethod
    def _read(self, name: str, values: Row) -> list[Row]: ...

    async def create_webhook(self, webhook: Webhook, *, webhooks_max: int) -> None:
        """Add a Webhook. Raise `AlreadyExists` if its id is taken, `ResourceExhausted` if there are many."""
        values = asdict(webhook) | {"events": json.dumps(webhook.events), "webhooks_max": webhooks_max}

        def change(connection: apsw.Connection) -> None:
            try:
                created = execute(connection, "create_webhook", values)
            except apsw.ConstraintError:
                raise AlreadyExists(f"The webhook {webhook.id} already exists. Choose another id.") from None
            if not created:
                raise ResourceExhausted(
                    f"There are {webhooks_max} webhooks, and no more are kept. Delete one."
                )
            for secret in webhook.secrets:
                execute(connection, "add_secret", asdict(secret) | {"id": webhook.id})

        await self._change(change)

    async def get_webhook(self, webhook_id: str) -> Webhook | None:
        """Return a Webhook with the secrets that have not expired, or None."""
        found = self._read("get_webhook", {"id": webhook_id})
        return self._webhook(found[0]) if found else None

    async def list_webhooks(self, *, limit: int, after: Place | None) -> list[Webhook]:
        """Return up to ``limit`` Webhooks, newest first, that come after ``after``."""
        found = self._read("list_webhooks", {"limit": limit} | cursor_of(after))
        return [self._webhook(row) for row in found]

    async def change_webhook(
        self,
        webhook_id: str,
        *,
        name: str | None,
        uri: str | None,
        events: Sequence[str] | None,
        state: WebhookState | None,
    ) -> bool:
        """Change what is not None of a Webhook. Return False if there is none."""
        values = {
            "id": webhook_id,
            "name": name,
            "uri": uri,
            "events": None if events is None else json.dumps(events),
            "state": state,
            "now": self._clock.now(),
        }

        def change(connection: apsw.Connection) -> bool:
            if not execute(connection, "change_webhook", values):
                return False
            execute(connection, "drop_deliveries_of_disabled", values)
            return True

        return await self._change(change)

    async def delete_webhook(self, webhook_id: str) -> bool:
        """Remove a Webhook, and what waits to be told to it. Return False if there is none."""
        values = {"id": webhook_id}
        removed = await self._change(lambda connection: execute(connection, "delete_webhook", values))
        return removed > 0

    async def rotate_secret(self, webhook_id: str, secret: Secret, *, others_expire_at: float) -> bool:
        """Give a Webhook a new secret; the others expire by then at the latest. False if there is none."""
        values = asdict(secret) | {"id": webhook_id, "by": others_expire_at, "now": self._clock.now()}

        def change(connection: apsw.Connection) -> bool:
            if not execute(connection, "touch_webhook", values):
                return False
            execute(connection, "expire_secrets", values)
            execute(connection, "drop_expired_secrets", values)
            execute(connection, "add_secret", values)
            return True

        return await self._change(change)

    async def deliveries_due(self, *, each: int, limit: int) -> list[Delivery]:
        """Return up to ``limit`` Deliveries whose time has come, at most ``each`` to one receiver."""
        values = {"now": self._clock.now(), "each": each, "limit": limit}
        return [_delivery(row) for row in self._read("deliveries_due", values)]

    async def deliveries_waiting(self) -> int:
        """Return how many Deliveries there are, due or not."""
        (row,) = self._read("deliveries_waiting", {})
        waiting: int = row["waiting"]
        return waiting

    async def delivered(self, delivery_id: str) -> None:
        """Remove a Delivery that was taken, and note that its Webhook was reached."""
        values = {"id": delivery_id, "now": self._clock.now()}

        def change(connection: apsw.Connection) -> None:
            execute(connection, "note_reached", values)
            execute(connection, "drop_delivery", values)

        await self._change(change)

    async def put_off(self, delivery_id: str, *, due_at: float) -> None:
        """Note that a Delivery was tried in vain, and is due again then."""
        values = {"id": delivery_id, "due_at": due_at}
        await self._change(lambda connection: execute(connection, "put_off_delivery", values))

    async def give_up(self, delivery_id: str) -> int:
        """Remove a Delivery that nobody took; disable a Webhook that nothing reaches. Return how many."""
        values = {"id": delivery_id, "now": self._clock.now()}

        def change(connection: apsw.Connection) -> int:
            disabled = rows(connection, "disable_unreached", values)
            removed = execute(connection, "drop_delivery", values)
            for row in disabled:
                removed += execute(connection, "drop_deliveries_of_disabled", row)
            return removed

        return await self._change(change)

    def _webhook(self, row: Row) -> Webhook:
        secrets = self._read("secrets_of_webhook", {"id": row["id"], "now": self._clock.now()})
        return Webhook(
            id=row["id"],
            name=row["name"],
            uri=row["uri"],
            events=tuple(json.loads(row["events"])),
            state=WebhookState(row["state"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            secrets=tuple(Secret(**secret) for secret in secrets),
        )


def _delivery(row: Row) -> Delivery:
    event = Event(
        kind=EventKind(row["kind"]),
        at=row["created_at"],
        job_id=row["job_id"],
        error=row["error"],
        has_output=bool(row["has_output"]),
        user_metadata=row["user_metadata"],
    )
    return Delivery(
        id=row["id"],
        event=event,
        uri=row["uri"],
        webhook_id=row["webhook_id"],
        attempts=row["attempts"],
        created_at=row["created_at"],
    )
