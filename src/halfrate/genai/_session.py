"""Which server the module-level functions speak to."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

from google import genai

from halfrate.client import Client
from halfrate.client.transport import DEFAULT_URL
from halfrate.domain.errors import HalfrateError

# The SDK refuses to start without a key; a server on loopback asks for none.
_NO_KEY = "none-needed"


@dataclass(frozen=True, slots=True)
class Session:
    """The official SDK, and beside it our own client for the fields the SDK drops."""

    sdk: genai.Client
    _client: Client

    def operation(self, name: str | None) -> dict[str, Any]:
        """Return a batch's Operation as the wire has it."""
        return self._client.operation(name or "")

    def first_operation(self, name: str | None) -> dict[str, Any]:
        """Return a new batch's Operation, or nothing: the batch exists, so its name must not be lost."""
        try:
            return self.operation(name)
        except HalfrateError:
            return {}


_session: Session | None = None


def configure(api_key: str | None = None, base_url: str | None = None) -> None:
    """Choose the server and the key. What is not given comes from the environment.

    The key: ``HALFRATE_API_KEY``, ``GOOGLE_API_KEY`` or ``GEMINI_API_KEY``; a server on loopback needs
    none. The address: ``HALFRATE_URL``.
    """
    global _session  # noqa: PLW0603 - module-level functions need module-level state
    keys = (api_key, *map(os.environ.get, ("HALFRATE_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY")))
    key = next((key for key in keys if key), _NO_KEY)
    url = base_url or os.environ.get("HALFRATE_URL") or DEFAULT_URL
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK warns of keys in the environment, even when given one
        sdk = genai.Client(api_key=key, vertexai=False, http_options={"base_url": url})
    _session = Session(sdk, Client(url, key))


def session() -> Session:
    """Return the configured session, configuring it from the environment the first time."""
    if _session is None:
        configure()
    assert _session is not None
    return _session
