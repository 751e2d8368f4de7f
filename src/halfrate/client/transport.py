"""HTTP as the client needs it: JSON calls, raw chunks, streamed downloads, and errors as Refusals."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from halfrate.domain.errors import ConfigError, Refusal, Unreachable

DEFAULT_URL = "http://127.0.0.1:8080"
API_VERSION = "v1beta"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def refusal(self) -> Refusal:
        """Return what an answer with an error status says."""
        from halfrate.wire.gemini.errors import read_refusal  # noqa: PLC0415 - 40 ms, wanted only here

        return read_refusal(self.status, self.body)


class Transport:
    """Speaks to one server. Every call opens its own connection, so a Transport needs no closing.

    Calls raise `Unreachable` when there is no answer, and a `Refusal` when the answer is an error.
    """

    def __init__(self, url: str = DEFAULT_URL, api_key: str | None = None, *, timeout_seconds: float = 120):
        self.url = url.rstrip("/")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        _split(self.url)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Make one JSON call below the API version and return the answer's object."""
        data = None if body is None else json.dumps(body).encode()
        reply = self.exchange(
            method,
            self._address(f"/{API_VERSION}/{path}", query),
            {"Content-Type": "application/json", **self._key_header(), **(headers or {})},
            data,
        )
        if reply.status != 200:
            raise reply.refusal()
        return self._object(reply.body)

    def start_upload(self, headers: Mapping[str, str], body: object) -> Reply:
        """Make the first call of an upload, which is the only one that carries the API key."""
        address = self._address(f"/upload/{API_VERSION}/files", None)
        sent = {"Content-Type": "application/json", **self._key_header(), **headers}
        return self.exchange("POST", address, sent, json.dumps(body).encode())

    def download(self, path: str, query: Mapping[str, str]) -> http.client.HTTPResponse:
        """Open a body to be read piece by piece. The caller closes it."""
        address = self._address(f"/{API_VERSION}/{path}", query)
        response = self._open("GET", address, self._key_header(), None)
        if response.status != 200:
            with response:
                raise Reply(response.status, {}, response.read()).refusal()
        return response

    def exchange(self, method: str, address: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request to an absolute address and return the whole answer, whatever its status."""
        with self._open(method, address, headers, body) as response:
            try:
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error
            return Reply(
                response.status, {name.lower(): value for name, value in response.getheaders()}, data
            )

    def _open(
        self, method: str, address: str, headers: Mapping[str, str], body: bytes | None
    ) -> http.client.HTTPResponse:
        parts = _split(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=self._timeout_seconds)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            # "close" makes the response own the socket: closing the one closes the other.
            connection.request(method, target, body, {**headers, "Connection": "close"})
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error

    def _address(self, path: str, query: Mapping[str, str] | None) -> str:
        return self.url + path + (f"?{urlencode(query)}" if query else "")

    def _key_header(self) -> dict[str, str]:
        return {"x-goog-api-key": self._api_key} if self._api_key else {}

    def _object(self, body: bytes) -> dict[str, Any]:
        try:
            decoded = json.loads(body or b"{}")
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            raise Unreachable(f"What answers at {self.url} is no halfrate server: its answer is not JSON.")
        return decoded

    def _unreachable(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            return Unreachable(f"The server at {self.url} gave no answer in {self._timeout_seconds:g} s.")
        if isinstance(error, ConnectionRefusedError):
            return Unreachable(
                f"No server listens at {self.url}. Start one with `halfrate serve`, "
                "or name another with --url or HALFRATE_URL."
            )
        why = str(error) or type(error).__name__
        return Unreachable(f"The server at {self.url} cannot be reached, or broke off: {why}.")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{url!r} is no server address; it should look like {DEFAULT_URL}.")
    return parts
