"""The headers of Standard Webhooks, by which a receiver knows who calls, and that the call is a new one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

_PREFIX = "whsec_"


def secret_text(key: bytes) -> str:
    """Return a key as its receiver gets to know it."""
    return _PREFIX + base64.b64encode(key).decode()


def shortened(secret: str) -> str:
    """Return enough of a secret to tell it from others, and not enough to use it."""
    return f"{_PREFIX}...{secret[-4:]}"


def headers(delivery_id: str, *, now: float, signature: str) -> dict[str, str]:
    """Return the headers of one call."""
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": signature,
    }


def signatures(secrets: Iterable[str], delivery_id: str, *, now: float, body: bytes) -> str:
    """Return the signature of a call under each secret: any of them will do for the receiver."""
    signed = f"{delivery_id}.{int(now)}.".encode() + body
    return " ".join(f"v1,{_hmac(secret, signed)}" for secret in secrets)


def _hmac(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
