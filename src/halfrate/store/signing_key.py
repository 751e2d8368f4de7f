"""The server's own key: RSA, made when it is first needed, and known by nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halfrate.domain.errors import CorruptData

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_BITS = 2_048


class SigningKey:
    """A key in a file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._loaded: _Key | None = None

    async def jwt(self, claims: dict[str, Any]) -> str:
        """Return claims as a JSON Web Token, signed with RS256. Raise `CorruptData` if the key is damaged."""
        return (await self._key()).jwt(claims)

    async def public_keys(self) -> bytes:
        """Return the JSON Web Key Set by which tokens can be checked."""
        return _json({"keys": [(await self._key()).public]})

    async def _key(self) -> _Key:
        async with self._turn:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(lambda: _Key(_load(self._path) or _make(self._path)))
            return self._loaded


class _Key:
    def __init__(self, private: RSAPrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        exponent, modulus = _base64(_bytes(numbers.e)), _base64(_bytes(numbers.n))
        # Its own fingerprint (RFC 7638) is its name: another key is another name.
        thumbprint = hashlib.sha256(_json({"e": exponent, "kty": "RSA", "n": modulus})).digest()
        self._id = _base64(thumbprint)
        self.public = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self._id,
            "n": modulus,
            "e": exponent,
        }

    def jwt(self, claims: dict[str, Any]) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

        head = {"alg": "RS256", "typ": "JWT", "kid": self._id}
        signed = f"{_base64(_json(head))}.{_base64(_json(claims))}"
        return f"{signed}.{_base64(self._private.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _load(path: Path) -> RSAPrivateKey | None:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        return None
    except ValueError:
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise CorruptData(
            f"{path} is no RSA key. Restore it from a backup, or remove it to have another made: receivers "
            "of webhooks fetch its public half by its name."
        )
    return key


def _make(path: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415

    key = rsa.generate_private_key(public_exponent=65_537, key_size=_BITS)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    # Never readable by others, not even for a moment; and whole under its name, or not there.
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    return key


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
