"""Files as resources, and lists of anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from halfrate.domain.file import File, FileSource
from halfrate.wire.openai.form import Form
from halfrate.wire.openai.reading import at

PURPOSES = ("batch", "user_data")


def file_resource(file: File, form: Form, *, id: str | None = None) -> dict[str, Any]:
    """Return a File as clients see it, under another id if one is given."""
    return {
        "id": form.file_name(id or file.id),
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at),
        "expires_at": None if file.growing else int(file.expires_at),
        "filename": file.display_name or file.id,
        "purpose": purpose_of(file),
        "status": "uploaded" if file.growing else "processed",
        "status_details": None,
    }


def file_body(file: File, form: Form, *, id: str | None = None) -> bytes:
    """Return the body that shows one File."""
    return msgspec.json.encode(file_resource(file, form, id=id))


def purpose_of(file: File) -> str:
    """Return what a File is for: it is not remembered, and follows from what it is."""
    if file.source is FileSource.GENERATED:
        return "batch_output"
    return "batch" if "json" in file.mime_type else "user_data"


def mime_type_of(purpose: str, content_type: str) -> str:
    """Return the type of an upload. Raise `InvalidArgument` if it cannot be for that."""
    if purpose not in PURPOSES:
        raise at("purpose", f"purpose is {purpose[:80]!r}; it must be one of {', '.join(PURPOSES)}.")
    return "jsonl" if purpose == "batch" else content_type or "application/octet-stream"


def deleted_body(name: str) -> bytes:
    """Return the body that says that a File is deleted."""
    return msgspec.json.encode({"id": name, "object": "file", "deleted": True})


def list_body(entries: Sequence[Mapping[str, Any]], *, more: bool) -> bytes:
    """Return a page of a list."""
    return msgspec.json.encode(
        {
            "object": "list",
            "data": entries,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
            "has_more": more,
        }
    )


def parse_limit(text: str | None, *, default: int, most: int) -> int:
    """Return how many entries a page may have. Raise `InvalidArgument` for what is no number from 1 on."""
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or not int(text[:9]):
        raise at("limit", f"limit is {text[:40]!r}; it must be a whole number, 1 to {most}.")
    return min(int(text[:9]), most)


def check_order(text: str | None) -> None:
    """Raise `InvalidArgument` for a list in another order than this server's."""
    if text not in {None, "", "desc"}:
        raise at("order", "order can only be 'desc' here: lists are newest first.")
