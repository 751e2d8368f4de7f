"""Webhooks: whom to tell how a Job ended, and what is on its way to them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from halfrate.domain.job import JobState

FIRST_DELAY_SECONDS = 5.0
LONGEST_DELAY_SECONDS = 3_600.0


class EventKind(StrEnum):
    """What a receiver is told of, by the name it knows."""

    SUCCEEDED = "batch.succeeded"
    FAILED = "batch.failed"
    CANCELLED = "batch.cancelled"
    EXPIRED = "batch.expired"
    PING = "webhook.ping"  # asked for by a client, of no Job


EVENT_OF: dict[JobState, EventKind] = {
    JobState.SUCCEEDED: EventKind.SUCCEEDED,
    JobState.FAILED: EventKind.FAILED,
    JobState.CANCELLED: EventKind.CANCELLED,
    JobState.EXPIRED: EventKind.EXPIRED,
}
"""The event of each final state."""


class WebhookState(StrEnum):
    """Whether a Webhook is told anything."""

    ENABLED = "enabled"
    DISABLED = "disabled"  # by a client
    FAILED = "disabled_due_to_failed_deliveries"  # by the server: nothing reached it for as long as it tries


@dataclass(frozen=True, slots=True)
class Secret:
    """What a Webhook's Deliveries are signed with. ``key`` is the text a client is given, once."""

    key: str
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """A registered receiver. ``secrets`` are those that hold now, the newest first."""

    id: str
    name: str
    uri: str
    events: tuple[str, ...]
    state: WebhookState
    created_at: float
    updated_at: float
    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a Job, or for PING what somebody asked for.

    ``error`` is set for FAILED, ``has_output`` where there is a File of the Results. ``user_metadata`` is the
    JSON object that came with the Job, None if none did.
    """

    kind: EventKind
    at: float
    job_id: str = ""
    error: str | None = None
    has_output: bool = False
    user_metadata: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An Event on its way to one receiver: a registered Webhook, or a URI that came with the Job.

    ``id`` stays the same however often it is tried; so a receiver knows what it has had already.
    """

    id: str
    event: Event
    uri: str
    webhook_id: str | None
    attempts: int
    created_at: float


class Told(StrEnum):
    """What an attempt, or in the end a Delivery, came to."""

    DELIVERED = "delivered"
    FAILED = "failed"  # this attempt; there will be another
    GIVEN_UP = "given_up"


def retry_at(
    delivery: Delivery,
    *,
    now: float,
    chance: float,
    give_up_seconds: float,
    wanted_seconds: float | None = None,
) -> float | None:
    """Return when to try again a Delivery that failed now, None to give it up.

    ``chance``, from 0 to 1, spreads what failed together: they wait half as long again, or half as long.
    ``wanted_seconds`` is how long the receiver wants to be left alone: it is, up to the longest delay.
    """
    delay_seconds = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(delivery.attempts, 20))
    left_alone_seconds = min(LONGEST_DELAY_SECONDS, wanted_seconds or 0.0)
    at = now + max(delay_seconds * (0.5 + chance), left_alone_seconds)
    return at if at <= delivery.created_at + give_up_seconds else None
