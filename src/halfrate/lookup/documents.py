"""Files and documents beside the text of prompts: texts and PDFs become text, images stay attached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from halfrate.domain.errors import InvalidArgument
from halfrate.domain.file import File, unknown_file_sentence
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Attachment, Message
from halfrate.lookup.held import Held
from halfrate.lookup.pdf import PdfReader
from halfrate.store.blob.api import BlobStore, read_chunks
from halfrate.store.meta.api import MetaStore
from halfrate.wire.gemini.files import parse_file_name
from halfrate.wire.gemini.media import IMAGES, PDF, bare_type, is_text

_TEXTS_HELD = 4
"""Texts of Files kept in memory: the lines of a Job often ask about one, one after the other."""


class Documents:
    """Reads what stands beside the text of Messages.

    At most ``bytes_max`` are taken of a File or a document, and of the text a PDF comes to.
    """

    def __init__(self, *, store: MetaStore, blobs: BlobStore, pdf: PdfReader, bytes_max: int) -> None:
        self._store = store
        self._blobs = blobs
        self._pdf = pdf
        self._bytes_max = bytes_max
        self._texts: Held[tuple[str, str], str] = Held(_TEXTS_HELD)

    async def read(self, messages: Sequence[Message], *, at: float) -> tuple[Message, ...] | Failed:
        """Return Messages with nothing beside their text but images, whose bytes are there.

        ``at`` is when Files must not have expired yet.
        """
        whole = []
        for message in messages:
            found: list[str | Attachment] = []
            for attachment in message.attachments:
                each = await self._read(attachment, at)
                if isinstance(each, Failed):
                    return each
                found.append(each)
            whole.append(with_texts(message, found) if found else message)
        return tuple(whole)

    async def _read(self, attachment: Attachment, at: float) -> str | Attachment | Failed:
        if attachment.uri is not None:
            return await self._read_file(attachment, attachment.uri, at)
        if attachment.mime_type == PDF:
            return await self._pdf.text(attachment.data, name="The PDF in the request")
        return attachment

    async def _read_file(self, attachment: Attachment, uri: str, at: float) -> str | Attachment | Failed:
        try:
            file_id = parse_file_name(uri)
        except InvalidArgument as error:
            return Failed(Cause.INVALID, f"file_data.file_uri: {error}")
        file = await self._store.get_file_at(file_id, at)
        if file is None:
            return Failed(Cause.FORBIDDEN, unknown_file_sentence(file_id))
        kind = attachment.mime_type or bare_type(file.mime_type)
        if kind not in IMAGES:
            return await self._text_of(file, kind)
        data = await self._bytes_of(file)
        if isinstance(data, Failed):
            return data
        return replace(attachment, mime_type=kind, data=data, uri=None)

    async def _text_of(self, file: File, kind: str) -> str | Failed:
        held = self._texts.get((file.blob, kind))
        if held is not None:
            return held
        if not (is_text(kind) or kind == PDF):
            return _not_read(file, kind)
        data = await self._bytes_of(file)
        if isinstance(data, Failed):
            return data
        text = await self._pdf.text(data, name=_named(file)) if kind == PDF else _decoded(file, kind, data)
        if isinstance(text, str):
            self._texts.put((file.blob, kind), text)
        return text

    async def _bytes_of(self, file: File) -> bytes | Failed:
        if file.size_bytes > self._bytes_max:
            return _too_large(file, self._bytes_max)
        try:
            return await asyncio.to_thread(self._read_blob, file.blob)
        except FileNotFoundError:  # it was deleted just now
            return Failed(Cause.FORBIDDEN, unknown_file_sentence(file.id))

    def _read_blob(self, blob: str) -> bytes:
        with self._blobs.reader(blob) as reader:
            return b"".join(read_chunks(reader))


def with_texts(message: Message, found: Sequence[str | Attachment]) -> Message:
    """Return a Message in which each Attachment has become what was found for it.

    Text stands where the Attachment stood, as a part of its own would.
    """
    texts: list[str] = []
    kept: list[Attachment] = []
    start = 0
    for attachment, each in zip(message.attachments, found, strict=True):
        if attachment.at > start:
            texts.append(_between(message.text, start, attachment.at))
            start = attachment.at
        if isinstance(each, str):
            texts.append(each)
        else:
            kept.append(replace(each, at=len("\n".join(texts))))
    if start < len(message.text):
        texts.append(_between(message.text, start, len(message.text)))
    return replace(message, text="\n".join(texts), attachments=tuple(kept))


def _between(text: str, start: int, stop: int) -> str:
    """Return what parts say from one place to another. The newline that ends a part is none of it."""
    return text[start:stop].removeprefix("\n") if start else text[start:stop]


def _decoded(file: File, kind: str, data: bytes) -> str | Failed:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Failed(
            Cause.INVALID, f"{_named(file)} is of type {kind} and not UTF-8: byte {error.start}. Convert it."
        )


def _not_read(file: File, kind: str) -> Failed:
    return Failed(
        Cause.UNSUPPORTED,
        f"{_named(file)} is of type {kind}, which cannot be understood here. Text, PDF and images can: give "
        "its mime_type with it if it is one of these.",
    )


def _too_large(file: File, bytes_max: int) -> Failed:
    return Failed(
        Cause.INVALID,
        f"{_named(file)} has {file.size_bytes:,} bytes, and at most {bytes_max:,} are read into a prompt "
        "(limits.prompt_file_bytes). Use a smaller one.",
    )


def _named(file: File) -> str:
    return f"files/{file.id}" + (f" ({file.display_name})" if file.display_name else "")
