"""Files, and the upload protocols that bring them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Raw

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import File, FileSource
from halfrate.wire.gemini.lenient import ABSENT, Message, Reader
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
    sha256_hash: Raw = ABSENT
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
    """What a client says about the File it is about to send. ``id`` is None where ours to choose."""

    id: str | None
    display_name: str
    mime_type: str
    declared_bytes: int | None


DISPLAY_NAME_MAX = 512
FILE_ID_MAX = 40
_CREATE = Reader(CreateFileRequest)
_FILE_ID = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def parse_new_file(body: bytes, headers: Mapping[str, str]) -> NewFile:
    """Return what the start of an upload says. ``headers`` have lower-case names.

    Raise `InvalidArgument` if it cannot be read, or names a File no upload can have.
    """
    sent = _CREATE.read_body(body).file or FileFields()
    display_name = sent.display_name or ""
    if len(display_name) > DISPLAY_NAME_MAX:
        raise _bad("display_name", f"is longer than {DISPLAY_NAME_MAX} characters")
    return NewFile(
        id=_chosen_id(sent.name) if sent.name else None,
        display_name=display_name,
        mime_type=_mime_type(sent.mime_type or headers.get("x-goog-upload-header-content-type")),
        declared_bytes=_declared_bytes(sent.size_bytes, headers),
    )


def raw_file(headers: Mapping[str, str]) -> NewFile:
    """Return the File a raw upload sends: it has no name, and its type is in the headers."""
    mime_type = headers.get("x-goog-upload-header-content-type") or headers.get("content-type")
    return NewFile(None, "", _mime_type(mime_type), _declared_bytes(None, headers))


def _chosen_id(name: str) -> str:
    file_id = name.removeprefix("files/")
    if len(file_id) > FILE_ID_MAX:
        raise _bad("name", f"File ID (name excluding 'files/') cannot be more than {FILE_ID_MAX} characters")
    if not _FILE_ID.fullmatch(file_id):
        raise _bad(
            "name",
            "File ID must be lowercase letters, digits and dashes, with no dash at either end",
        )
    return file_id


_TOP_LEVEL_TYPES = "application|audio|font|image|message|model|multipart|text|video"
_MIME_TYPE = re.compile(rf"jsonl|({_TOP_LEVEL_TYPES})/[A-Za-z0-9!#$&^_.+-]+(\s*;.*)?")


def _mime_type(sent: str | None) -> str:
    """Return the type to keep, as it was sent. ``jsonl`` is what the batch guides use, and is no type."""
    mime_type = sent or "application/octet-stream"
    if not _MIME_TYPE.fullmatch(mime_type):
        raise InvalidArgument(f"Unsupported MIME type: {mime_type}")
    return mime_type


def _declared_bytes(size_bytes: int | None, headers: Mapping[str, str]) -> int | None:
    header = headers.get("x-goog-upload-header-content-length")
    if size_bytes is None and header:
        if not header.isdecimal():
            raise InvalidArgument(f"X-Goog-Upload-Header-Content-Length is {header!r}; it must be a number.")
        return int(header)
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
    if header is None or not header.strip().isdecimal():
        raise InvalidArgument(f"X-Goog-Upload-Offset is {header!r}; a step that uploads needs a byte offset.")
    return int(header)


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
