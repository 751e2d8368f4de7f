"""A File: what a client uploaded, or what a Job made, as the Files API shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileSource(StrEnum):
    """Where a File came from."""

    UPLOADED = "UPLOADED"
    GENERATED = "GENERATED"


@dataclass(frozen=True, slots=True)
class File:
    """Stored bytes with a name. Times are seconds since the Unix epoch.

    ``id`` is the part after ``files/``. ``blob`` names the bytes in the blob store, ``sha256`` is the
    hexadecimal digest. Of a ``growing`` one, the output of a Job that runs, both are empty, and size and
    expiry mean nothing yet.
    """

    id: str
    display_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    blob: str
    source: FileSource
    created_at: float
    expires_at: float
    growing: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A resumable upload under way. ``id`` is unguessable: it is all that a chunk is trusted by.

    ``declared_bytes`` is the length the client announced, None if it did not; ``sha256`` and ``md5`` are the
    hexadecimal digests it announced. ``blob`` is what its bytes are called once all of them are there: known
    from the beginning, so that they are found again if the process dies before they are a File's. A finished
    upload is remembered for a while, for a client that did not hear that it had finished.
    """

    id: str
    file_id: str
    display_name: str
    mime_type: str
    declared_bytes: int | None
    created_at: float
    blob: str
    finished: bool = False
    sha256: str | None = None
    md5: str | None = None


def output_file_id(job_id: str) -> str:
    """Return the id of the File that holds a Job's Results."""
    return f"batch-{job_id}"


def unknown_file_sentence(file_id: str) -> str:
    """Return what whoever asks for a File is told that is not there, or somebody else's."""
    return f"You do not have permission to access the File {file_id} or it may not exist."
