"""Webhooks: registered, changed, tried, and what they are signed with."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence

from halfrate.clock import Clock
from halfrate.domain.errors import FailedPrecondition, NotFound, ResourceExhausted
from halfrate.domain.webhook import Secret, Webhook, WebhookState
from halfrate.identity import new_uuid
from halfrate.net.post import Posted
from halfrate.net.targets import Targets
from halfrate.service.paging import page_of, place_of
from halfrate.store.meta.api import MetaStore
from halfrate.store.signing_key import SigningKey
from halfrate.wire.standard_webhooks import secret_text

WEBHOOKS_MAX = 100
SECRETS_MAX = 10
SECRET_BYTES = 32
GRACE_SECONDS = 86_400.0
"""How long the secrets before a new one go on being used, unless they are revoked at once."""


class Webhooks:
    """What the Webhooks API can do. ``ping`` tells a Webhook that somebody asked for it, once."""

    def __init__(
        self,
        *,
        store: MetaStore,
        targets: Targets,
        key: SigningKey,
        ping: Callable[[Webhook], Awaitable[Posted]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._targets = targets
        self._key = key
        self._ping = ping
        self._clock = clock

    async def create(self, *, id: str | None, name: str, uri: str, events: tuple[str, ...]) -> Webhook:
        """Register a receiver and return it with its secret, which nobody is shown again.

        Raise `InvalidArgument` for a URI that may not be called, `AlreadyExists` if the id is taken,
        `ResourceExhausted` if there are too many.
        """
        self._targets.read(uri)
        now = self._clock.now()
        webhook = Webhook(
            id=id or new_uuid(),
            name=name,
            uri=uri,
            events=events,
            state=WebhookState.ENABLED,
            created_at=now,
            updated_at=now,
            secrets=(_new_secret(now),),
        )
        await self._store.create_webhook(webhook, webhooks_max=WEBHOOKS_MAX)
        return webhook

    async def get(self, webhook_id: str) -> Webhook:
        """Return a Webhook. Raise `NotFound` if there is none."""
        webhook = await self._store.get_webhook(webhook_id)
        if webhook is None:
            raise _unknown(webhook_id)
        return webhook

    async def list(self, *, page_size: int, page_token: str | None) -> tuple[list[Webhook], str | None]:
        """Return a page of Webhooks, newest first, and the token of the next page, if there is one.

        Raise `InvalidArgument` if the token is not one of ours.
        """
        found = await self._store.list_webhooks(limit=page_size + 1, after=place_of(page_token))
        return page_of(found, page_size)

    async def update(
        self,
        webhook_id: str,
        *,
        name: str | None,
        uri: str | None,
        events: Sequence[str] | None,
        state: WebhookState | None,
    ) -> Webhook:
        """Change what is not None. Raise `NotFound`, `InvalidArgument` for a URI that may not be called."""
        if uri is not None:
            self._targets.read(uri)
        if not await self._store.change_webhook(webhook_id, name=name, uri=uri, events=events, state=state):
            raise _unknown(webhook_id)
        return await self.get(webhook_id)

    async def delete(self, webhook_id: str) -> None:
        """Remove a Webhook, and what waits to be told to it. Raise `NotFound` if there is none."""
        if not await self._store.delete_webhook(webhook_id):
            raise _unknown(webhook_id)

    async def ping(self, webhook_id: str) -> None:
        """Call a Webhook, now and once. Raise `NotFound`, `FailedPrecondition` if it does not take that."""
        posted = await self._ping(await self.get(webhook_id))
        if not posted.taken:
            raise FailedPrecondition(f"The ping of the webhook {webhook_id} failed. {posted}")

    async def rotate_secret(self, webhook_id: str, *, at_once: bool) -> str:
        """Return a new secret. The others hold no more if ``at_once``, else for another day.

        Raise `NotFound`, or `ResourceExhausted` if too many would hold.
        """
        webhook = await self.get(webhook_id)
        if len(webhook.secrets) >= SECRETS_MAX and not at_once:
            raise ResourceExhausted(
                f"{SECRETS_MAX} secrets of the webhook {webhook_id} hold now. Revoke them, or wait."
            )
        now = self._clock.now()
        secret = _new_secret(now)
        others_expire_at = now if at_once else now + GRACE_SECONDS
        if not await self._store.rotate_secret(webhook_id, secret, others_expire_at=others_expire_at):
            raise _unknown(webhook_id)
        return secret.key

    async def public_keys(self) -> bytes:
        """Return the JSON Web Key Set by which calls for single Jobs can be checked."""
        return await self._key.public_keys()


def _new_secret(now: float) -> Secret:
    return Secret(secret_text(secrets.token_bytes(SECRET_BYTES)), created_at=now)


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"The webhook {webhook_id} does not exist, or it was deleted.")
