"""What stands beside text in a prompt: read as text, or attached."""

from __future__ import annotations

import binascii
from base64 import b64decode

from halfrate.domain.request import Attachment
from halfrate.wire.gemini.inability import invalid, unsupported

IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
PDF = "application/pdf"
_TEXTS = frozenset(
    {
        "application/json",
        "application/jsonl",
        "application/x-ndjson",
        "application/xml",
        "application/javascript",
        "application/x-javascript",
        "application/x-python",
        "application/x-python-code",
        "application/x-typescript",
        "application/yaml",
        "application/csv",
        "jsonl",
    }
)


def is_text(mime_type: str) -> bool:
    """Whether what is of this type is read as the text it is."""
    return mime_type.startswith("text/") or mime_type in _TEXTS


def bare_type(mime_type: str | None) -> str:
    """Return a MIME type in lower case and without parameters."""
    return (mime_type or "").partition(";")[0].strip().lower()


def inline_attachment(mime_type: str | None, data: str | None, *, at: int, place: str) -> Attachment | str:
    """Return what came inside a request in base64: its text if it is one. Raise `Inability`."""
    kind = bare_type(mime_type)
    _check_type(kind, place)
    content = _decoded(data or "", place)
    if not is_text(kind):
        return Attachment(at, kind, content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise invalid(f"{place}.data is of type {kind} and not UTF-8: byte {error.start}.") from None


def attachment(mime_type: str | None, uri: str | None, *, at: int, place: str) -> Attachment:
    """Return what is to be looked up among the Files, which says its type if none is given here.

    Raise `Inability` if it cannot be.
    """
    kind = bare_type(mime_type)
    if kind:
        _check_type(kind, place)
    if not uri:
        raise invalid(f"{place}.file_uri is missing. Give the uri of a File.")
    return Attachment(at, kind, uri=uri)


def _check_type(kind: str, place: str) -> None:
    if is_text(kind) or kind in IMAGES or kind == PDF:
        return
    if kind.startswith(("audio/", "video/", "image/")):
        raise unsupported(f"{place}.mime_type: {kind} cannot be understood here. Text, PDF and images can.")
    raise invalid(f"{place}.mime_type: Unsupported MIME type: {kind or 'none is given'}.")


def _decoded(data: str, place: str) -> bytes:
    """Return bytes from standard or URL-safe base64, with or without padding."""
    text = data.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"{place}.data is not base64: {error}.") from None
