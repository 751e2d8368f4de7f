"""What callers may pass as files, names and requests, turned into what the SDK takes."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from google.genai import types


class HasName(Protocol):
    """A file or a batch: anything with the resource's name."""

    @property
    def name(self) -> str | None:
        """The resource's name, such as ``files/abc``."""
        ...


Named = str | HasName
Requests = Named | Sequence[str | Mapping[str, Any] | types.InlinedRequest]
Config = types.CreateBatchJobConfigOrDict


def name_of(resource: Named) -> str:
    """Return a resource's name, given it or the resource."""
    name = resource if isinstance(resource, str) else resource.name
    if not name:
        raise ValueError(f"{resource!r} has no name: pass a name such as 'files/abc'.")
    return name


def batch_source(requests: Requests) -> Any:
    """Return what the SDK takes as the source of a batch. A plain string in a list is a prompt."""
    if isinstance(requests, Sequence) and not isinstance(requests, str):
        return [{"contents": item} if isinstance(item, str) else item for item in requests]
    return name_of(requests)


def upload_config(path: Path, display_name: str | None, mime_type: str | None) -> types.UploadFileConfig:
    """Describe an upload. Many installations do not know ``.jsonl``, so it is not left to them."""
    if mime_type is None:
        mime_type = _guess(path)
    return types.UploadFileConfig(display_name=display_name or path.name, mime_type=mime_type)


def _guess(path: Path) -> str:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return "jsonl"
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
