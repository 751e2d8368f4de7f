"""Webhooks as the API shows them, in snake_case for once, and what their receivers are told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import output_file_id
from halfrate.domain.job import Notify
from halfrate.domain.webhook import Event, EventKind, Webhook, WebhookState
from halfrate.wire.gemini.lenient import ABSENT, Message, Reader, given
from halfrate.wire.gemini.times import timestamp
from halfrate.wire.standard_webhooks import shortened

URIS_MAX = 10
USER_METADATA_BYTES_MAX = 16_384
NAME_CHARS_MAX = 512

FAILED_CODE = 3
"""INVALID_ARGUMENT, as in the Operation of a batch that failed."""

ANSWERED = tuple(kind.value for kind in EventKind if kind is not EventKind.PING)
"""What can be subscribed to, and happens."""

NEVER = ("interaction.requires_action", "interaction.completed", "interaction.failed", "video.generated")
"""What can be subscribed to, and never happens here."""

# What is read -----------------------------------------------------------------------------------------


class WebhookMessage(Message):
    """A webhook as a client sends it. What only the server can know is read over."""

    name: str | None = None
    uri: str | None = None
    subscribed_events: list[str] | None = None
    state: str | None = None
    id: Raw = ABSENT
    create_time: Raw = ABSENT
    update_time: Raw = ABSENT
    signing_secrets: Raw = ABSENT
    new_signing_secret: Raw = ABSENT


class RotateRequest(Message):
    """The body of a call for a new secret."""

    revocation_behavior: str | None = None


class PingRequest(Message):
    """The body of a ping, if it has one."""


class WebhookConfig(Message):
    """Whom to tell about one batch."""

    uris: list[str] | None = None
    user_metadata: Raw = ABSENT


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What a create call asks for."""

    name: str
    uri: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update call asks for; None stays as it is."""

    name: str | None = None
    uri: str | None = None
    events: tuple[str, ...] | None = None
    state: WebhookState | None = None


class Revocation(StrEnum):
    """What becomes of the secrets before a new one."""

    AFTER_24_HOURS = "revoke_previous_secrets_after_h24"
    IMMEDIATELY = "revoke_previous_secrets_immediately"


_WEBHOOK = Reader(WebhookMessage)
_ROTATE = Reader(RotateRequest)
_PING = Reader(PingRequest)
_FIELDS = ("name", "uri", "subscribed_events", "state")
_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def parse_create(body: bytes) -> NewWebhook:
    """Return what a create call asks. Raise `InvalidArgument` if it cannot be read."""
    message = _WEBHOOK.read_body(body)
    if not message.uri:
        raise _bad("uri", "is missing: where are events to be sent?")
    return NewWebhook(_name(message), message.uri, _events(message))


def parse_id(text: str | None) -> str | None:
    """Return the id that a client chose for a new webhook. Raise `InvalidArgument` if it cannot be one."""
    if text and not _ID.fullmatch(text):
        raise _bad(
            "webhook_id", "must be 1 to 63 lowercase letters, digits and dashes, no dash at either end"
        )
    return text or None


def parse_update(body: bytes, *, mask: str | None) -> Changes:
    """Return what an update call asks: the fields that ``mask`` names, or without one those in the body.

    Raise `InvalidArgument` if it cannot be read.
    """
    message = _WEBHOOK.read_body(body)
    named = _masked(mask) if mask else {field for field in _FIELDS if given(getattr(message, field))}
    if "uri" in named and not message.uri:
        raise _bad("uri", "cannot be removed")
    return Changes(
        name=_name(message) if "name" in named else None,
        uri=message.uri if "uri" in named else None,
        events=_events(message) if "subscribed_events" in named else None,
        state=_state(message) if "state" in named else None,
    )


def parse_rotate(body: bytes) -> Revocation:
    """Return what is to become of the secrets before. Raise `InvalidArgument` if it cannot be read."""
    behavior = _ROTATE.read_body(body).revocation_behavior
    try:
        return Revocation((behavior or Revocation.AFTER_24_HOURS).lower())
    except ValueError:
        raise _bad("revocation_behavior", f"is {behavior!r}; it must be {' or '.join(Revocation)}") from None


def parse_ping(body: bytes) -> None:
    """Raise `InvalidArgument` if the body of a ping has something in it."""
    _PING.read_body(body)


def notify_of(config: WebhookConfig | None, path: str) -> Notify:
    """Return whom to tell about one batch. Raise `InvalidArgument`, naming ``path``, if it cannot be."""
    if config is None:
        return Notify()
    uris = tuple(dict.fromkeys(config.uris or ()))
    if len(uris) > URIS_MAX:
        raise _bad(f"{path}.uris", f"has {len(uris)} of them; {URIS_MAX} are allowed")
    if not given(config.user_metadata):
        return Notify(uris)
    metadata = bytes(config.user_metadata)
    if not isinstance(msgspec.json.decode(metadata), dict):
        raise _bad(f"{path}.user_metadata", "must be an object")
    if len(metadata) > USER_METADATA_BYTES_MAX:
        raise _bad(f"{path}.user_metadata", f"has more than {USER_METADATA_BYTES_MAX} bytes")
    return Notify(uris, metadata.decode())


def _masked(mask: str) -> set[str]:
    named = {
        re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", field.strip()) for field in mask.split(",")
    }
    if "*" in named:
        return set(_FIELDS)
    for field in sorted(named - set(_FIELDS)):
        raise _bad("update_mask", f"names {field!r}; what can be changed is {', '.join(_FIELDS)}")
    return named


def _name(message: WebhookMessage) -> str:
    name = message.name or ""
    if len(name) > NAME_CHARS_MAX:
        raise _bad("name", f"has more than {NAME_CHARS_MAX} characters")
    return name


def _events(message: WebhookMessage) -> tuple[str, ...]:
    events = tuple(dict.fromkeys(message.subscribed_events or ()))
    if not events:
        raise _bad("subscribed_events", f"is empty; what can be told is {', '.join(ANSWERED)}")
    for event in events:
        if event not in ANSWERED + NEVER:
            raise _bad("subscribed_events", f"has {event!r}; what can be told is {', '.join(ANSWERED)}")
    return events


def _state(message: WebhookMessage) -> WebhookState:
    try:
        return WebhookState((message.state or "").lower())
    except ValueError:
        raise _bad("state", f"is {message.state!r}; it must be enabled or disabled") from None


def _bad(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {what}.", ((field, what),))


# What is written --------------------------------------------------------------------------------------


def resource(webhook: Webhook, *, new: bool = False) -> Raw:
    """Return a webhook as it is shown; a ``new`` one with its secret, this one time."""
    shown: dict[str, Any] = {
        "id": webhook.id,
        "name": webhook.name,
        "uri": webhook.uri,
        "subscribed_events": webhook.events,
        "state": webhook.state,
        "create_time": timestamp(webhook.created_at),
        "update_time": timestamp(webhook.updated_at),
        "signing_secrets": [
            {"truncated_secret": shortened(secret.key)}
            | ({} if secret.expires_at is None else {"expire_time": timestamp(secret.expires_at)})
            for secret in webhook.secrets
        ],
    }
    if new:
        shown["new_signing_secret"] = webhook.secrets[0].key
    return Raw(msgspec.json.encode({name: value for name, value in shown.items() if value != ""}))


def page(webhooks: list[Webhook], next_page_token: str | None) -> bytes:
    """Return one page of a list."""
    body: dict[str, Any] = {"webhooks": [resource(webhook) for webhook in webhooks]} if webhooks else {}
    if next_page_token:
        body["next_page_token"] = next_page_token
    return msgspec.json.encode(body)


def secret_body(secret: str) -> bytes:
    """Return a new secret, this one time."""
    return msgspec.json.encode({"secret": secret})


def config_shown(notify: Notify) -> dict[str, Any] | None:
    """Return whom a batch tells, as the batch shows it."""
    shown: dict[str, Any] = {"uris": notify.uris} if notify.uris else {}
    if notify.user_metadata is not None:
        shown["userMetadata"] = Raw(notify.user_metadata.encode())
    return shown or None


def event_body(event: Event) -> bytes:
    """Return what a receiver is told."""
    return msgspec.json.encode(
        {
            "type": event.kind,
            "version": "v1",
            "timestamp": timestamp(event.at),
            "data": _data(event),
        }
    )


def _data(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = {"id": f"batches/{event.job_id}"} if event.job_id else {}
    if event.has_output:
        data["output_file_uri"] = f"files/{output_file_id(event.job_id)}"
    if event.error is not None:
        data |= {"error_code": FAILED_CODE, "error_message": event.error}
    if event.user_metadata is not None:
        data["user_metadata"] = Raw(event.user_metadata.encode())
    return data
