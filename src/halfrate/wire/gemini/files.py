"""Files, and the upload protocols that bring them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument, Unimplemented
from halfrate.domain.file import File, FileSource
from halfrate.wire.gemini.lenient import ABSENT, Message, Reader
from halfrate.wire.gemini.multipart import Head
from halfrate.wire.gemini.times import timestamp

# Starting an upload -----------------------------------------------------------------------------------


class FileFields(Message):
    """A File as a client sends it. What only the server can know is read over."""

    name: str | None = None
    display_name: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None
    create_time: Raw = ABSENT
    update_time: Raw = ABSENT
    expiration_time: Raw = ABSENT
    sha256_hash: str | None = None
    uri: Raw = ABSENT
    download_uri: Raw = ABSENT
    state: Raw = ABSENT
    source: Raw = ABSENT
    error: Raw = ABSENT
    video_metadata: Raw = ABSENT


class CreateFileRequest(Message):
    """The body of the call that starts an upload."""

    file: FileFields | None = None


@dataclass(frozen=True, slots=True)
class NewFile:
    """What a client says about the File it is about to send. ``id`` is None where ours to choose.

    ``sha256`` and ``md5`` are hexadecimal, and None where nothing is said.
    """

    id: str | None
    display_name: str
    mime_type: str
    declared_bytes: int | None
    sha256: str | None = None
    md5: str | None = None


DISPLAY_NAME_MAX = 512
FILE_ID_MAX = 40
_CREATE = Reader(CreateFileRequest)
_FILE_ID = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def parse_new_file(body: bytes, headers: Mapping[str, str]) -> NewFile:
    """Return what the start of an upload says: ``body`` before ``headers``, which have lower-case names.

    Raise `InvalidArgument` if it cannot be read, or names a File no upload can have.
    """
    sent = _CREATE.read_body(body).file or FileFields()
    display_name = sent.display_name or ""
    if len(display_name) > DISPLAY_NAME_MAX:
        raise _bad("display_name", f"is longer than {DISPLAY_NAME_MAX} characters")
    digests = parse_digests(headers)
    sha256 = None if sent.sha256_hash is None else _digest("sha256", sent.sha256_hash)
    return NewFile(
        id=_chosen_id(sent.name) if sent.name else None,
        display_name=display_name,
        mime_type=_mime_type(sent.mime_type or _header(headers, "content-type")),
        declared_bytes=_declared_bytes(sent.size_bytes, headers),
        sha256=sha256 or digests.get("sha256"),
        md5=digests.get("md5"),
    )


def raw_file(headers: Mapping[str, str]) -> NewFile:
    """Return the File a raw upload sends: it has no name, and its type is in the headers."""
    mime_type = _header(headers, "content-type") or headers.get("content-type")
    digests = parse_digests(headers)
    return NewFile(
        None,
        "",
        _mime_type(mime_type),
        _declared_bytes(None, headers),
        sha256=digests.get("sha256"),
        md5=digests.get("md5"),
    )


def parse_two_parts(head: Head, headers: Mapping[str, str]) -> NewFile:
    """Return what the head of a multipart upload says: its document, then its content's headers."""
    of_content = {_HEADER + name: value for name, value in head.headers.items()}
    return parse_new_file(head.document, {**headers, **of_content})


_HEADER = "x-goog-upload-header-"
_OLDER_HEADER = "x-upload-"


def _header(headers: Mapping[str, str], name: str) -> str | None:
    """Return what is said ahead about a header of the content."""
    return headers.get(_HEADER + name) or headers.get(_OLDER_HEADER + name)


def _chosen_id(name: str) -> str:
    file_id = name.removeprefix("files/")
    wrong = _wrong_id(file_id)
    if wrong:
        raise _bad("name", wrong)
    return file_id


def check_id(file_id: str, *, message: str) -> None:
    """Raise `InvalidArgument` if no File can have this id; ``message`` is the name of the call's message."""
    wrong = _wrong_id(file_id)
    if wrong:
        raise InvalidArgument(f"* {message}.name: {wrong}.", (("name", wrong),))


def _wrong_id(file_id: str) -> str | None:
    if len(file_id) > FILE_ID_MAX:
        return f"File ID (name excluding 'files/') cannot be more than {FILE_ID_MAX} characters"
    if not _FILE_ID.fullmatch(file_id):
        return "File ID must be lowercase letters, digits and dashes, with no dash at either end"
    return None


_TOP_LEVEL_TYPES = "application|audio|font|image|message|model|multipart|text|video"
_MIME_TYPE = re.compile(rf"jsonl|({_TOP_LEVEL_TYPES})/[A-Za-z0-9!#$&^_.+-]+(\s*;.*)?", re.IGNORECASE)


def _mime_type(sent: str | None) -> str:
    """Return the type to keep, as it was sent. ``jsonl`` is what the batch guides use, and is no type."""
    mime_type = sent or "application/octet-stream"
    if not _MIME_TYPE.fullmatch(mime_type):
        raise InvalidArgument(f"Unsupported MIME type: {mime_type}")
    return mime_type


def _declared_bytes(size_bytes: int | None, headers: Mapping[str, str]) -> int | None:
    header = _header(headers, "content-length")
    if size_bytes is None and header:
        return _count(header, "X-Goog-Upload-Header-Content-Length")
    if size_bytes is not None and size_bytes < 0:
        raise _bad("size_bytes", "must not be negative")
    return size_bytes


def _bad(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"* CreateFileRequest.file.{field}: {what}.", ((f"file.{field}", what),))


# Steps of an upload -----------------------------------------------------------------------------------


class UploadCommand(StrEnum):
    """What a step of a resumable upload asks. A step may ask ``upload`` and ``finalize`` at once."""

    START = "start"
    UPLOAD = "upload"
    FINALIZE = "finalize"
    QUERY = "query"
    CANCEL = "cancel"


def parse_commands(header: str | None) -> frozenset[UploadCommand]:
    """Return the commands in an ``X-Goog-Upload-Command`` header, none if there is no such header."""
    words = {word.strip().lower() for word in (header or "").split(",")} - {""}
    try:
        return frozenset(UploadCommand(word) for word in words)
    except ValueError:
        raise InvalidArgument(
            f"X-Goog-Upload-Command is {header!r}; it may hold {', '.join(UploadCommand)}."
        ) from None


def parse_offset(header: str | None) -> int:
    """Return the byte offset in an ``X-Goog-Upload-Offset`` header. Raise if it is missing or no number."""
    if header is None:
        raise InvalidArgument("X-Goog-Upload-Offset is missing; a step that uploads needs a byte offset.")
    return _count(header, "X-Goog-Upload-Offset")


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Which bytes a step of the older resumable protocol brings: from ``offset`` on; None if it only asks.

    ``size_bytes`` is that of the whole, None if the client does not know it yet.
    """

    offset: int | None
    size_bytes: int | None


def parse_content_range(header: str | None) -> ContentRange | None:
    """Return what a ``Content-Range`` says, None without one: then a step brings everything."""
    if header is None:
        return None
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        raise InvalidArgument(
            f"Content-Range is {header[:80]!r}; it must look like 'bytes 0-99/200', 'bytes 0-99/*' or "
            "'bytes */200'."
        )
    first, size = found[1], found[2]
    return ContentRange(None if first is None else int(first), None if size == "*" else int(size))


_CONTENT_RANGE = re.compile(r"bytes\s+(?:([0-9]{1,18})-[0-9]{1,18}|\*)/([0-9]{1,18}|\*)")


def _count(header: str, name: str) -> int:
    digits = header.strip()
    if not _COUNT.fullmatch(digits):
        raise InvalidArgument(f"{name} is {header[:40]!r}; it must be a number of bytes.")
    return int(digits)


_COUNT = re.compile(r"[0-9]{1,18}")


# Digests ----------------------------------------------------------------------------------------------

_DIGEST_BYTES = {"sha256": 32, "md5": 16}


def parse_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what an ``X-Goog-Hash`` header says that can be checked: names of digests, and hexadecimal.

    Raise `Unimplemented` if nothing of it can be checked, `InvalidArgument` if a digest is none.
    """
    header = headers.get("x-goog-hash")
    if not header:
        return {}
    said = dict(part.strip().partition("=")[::2] for part in header.split(","))
    digests = {name: _digest(name, said[name]) for name in _DIGEST_BYTES if name in said}
    if not digests:
        raise Unimplemented(
            f"X-Goog-Hash is {header[:80]!r}: only sha256 and md5 are checked. Send one of them."
        )
    return digests


def _digest(name: str, sent: str) -> str:
    """Return a digest in hexadecimal, sent as that, as base64 of the bytes, or as base64 of hexadecimal."""
    size_bytes = _DIGEST_BYTES[name]
    for text in (sent, _text_in_base64(sent)):
        if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size_bytes}}}", text):
            return text.lower()
    raw = _bytes_in_base64(sent)
    if len(raw) != size_bytes:
        raise InvalidArgument(f"The {name} {sent[:80]!r} is none: send it in base64 or in hexadecimal.")
    return raw.hex()


def _text_in_base64(sent: str) -> str:
    return _bytes_in_base64(sent).decode("latin-1")


def _bytes_in_base64(sent: str) -> bytes:
    standard = sent.strip().replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


# Files as resources -----------------------------------------------------------------------------------


def parse_file_name(name: str) -> str:
    """Return the id in ``files/ID``, or in the URI of a File. Raise `InvalidArgument` for other names."""
    _, found, file_id = name.rpartition("files/")
    if not found or not _FILE_ID.fullmatch(file_id):
        raise InvalidArgument(f"{name!r} is not the name of a file: it must look like 'files/abc-123'.")
    return file_id


def file_resource(file: File, *, base_url: str) -> dict[str, Any]:
    """Return a File as clients see it. ``base_url`` ends in the version: ``http://host/v1beta``."""
    shown = {
        "name": f"files/{file.id}",
        "displayName": file.display_name,
        "mimeType": file.mime_type,
        "sizeBytes": str(file.size_bytes) if file.size_bytes else None,
        "createTime": timestamp(file.created_at),
        "updateTime": timestamp(file.created_at),
        "expirationTime": None if file.growing else timestamp(file.expires_at),
        "sha256Hash": base64.b64encode(file.sha256.encode()).decode(),
        "uri": f"{base_url}/files/{file.id}",
        "downloadUri": _download_uri(file, base_url),
        "state": "PROCESSING" if file.growing else "ACTIVE",
        "source": file.source.value,
    }
    return {name: value for name, value in shown.items() if value}


def file_body(file: File, *, base_url: str) -> bytes:
    """Return the body that shows one File."""
    return msgspec.json.encode(file_resource(file, base_url=base_url))


def created_file_body(file: File, *, base_url: str) -> bytes:
    """Return the body that ends an upload."""
    return msgspec.json.encode({"file": file_resource(file, base_url=base_url)})


def _download_uri(file: File, base_url: str) -> str | None:
    """Only for what Jobs made: uploads can be downloaded by name all the same."""
    if file.source is FileSource.UPLOADED:
        return None
    return f"{base_url}/files/{file.id}:download?alt=media"
