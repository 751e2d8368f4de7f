"""Names that cannot be guessed."""

from __future__ import annotations

import secrets
import uuid

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_id(length: int) -> str:
    """Return ``length`` random lowercase letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def new_uuid() -> str:
    """Return a random UUID."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
