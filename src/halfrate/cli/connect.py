"""The client the commands speak through, and what they ask it in the same way."""

from __future__ import annotations

import os

from halfrate.client import Client
from halfrate.domain.errors import InvalidArgument
from halfrate.domain.kind import Kind

DEMONSTRATION_MODEL = "pocket-1"


def connect(url: str) -> Client:
    """Return a client of the server at ``url``, with the key from the environment if there is one."""
    return Client(url, os.environ.get("HALFRATE_API_KEY"))


def choose_model(client: Client, asked: str | None, kind: Kind = Kind.GENERATION) -> str:
    """Return the model to ask: the one named, or the only one of its kind, or the demonstration model."""
    if asked:
        return asked
    names = [model.name for model in client.models() if model.kind is kind]
    if len(names) == 1 or DEMONSTRATION_MODEL in names:
        return DEMONSTRATION_MODEL if DEMONSTRATION_MODEL in names else names[0]
    if not names:
        raise InvalidArgument(
            f"The server at {client.url} has no model for {kind} to ask. See its configuration."
        )
    raise InvalidArgument(f"Say which model to ask, with -m: {', '.join(names)}.")
