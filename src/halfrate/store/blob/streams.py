"""Blocking iterators, read from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

from halfrate.store.blob.api import CHUNK_BYTES

_END: Final = b""


async def in_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield non-empty ``chunks``, each made in a thread."""
    while (chunk := await asyncio.to_thread(next, chunks, _END)) != _END:
        yield chunk


async def begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the same chunks with the first one already read: what it needs is open, or this raises."""
    first = await anext(chunks, _END)

    async def all_of_them() -> AsyncIterator[bytes]:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()


def joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Join ``lines`` to pieces of about a mebibyte, so that a thread is not woken for each one."""
    pieces: list[bytes] = []
    size_bytes = 0
    for line in lines:
        pieces.append(line)
        size_bytes += len(line)
        if size_bytes >= CHUNK_BYTES:
            yield b"".join(pieces)
            pieces, size_bytes = [], 0
    if pieces:
        yield b"".join(pieces)
