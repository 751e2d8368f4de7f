"""Contents of Caches as blobs: a checksum and msgpack."""

from __future__ import annotations

import struct

import msgspec
from xxhash import xxh3_64_intdigest

from halfrate.domain.cache import Contents
from halfrate.domain.errors import CorruptData
from halfrate.store.blob.api import BlobStore, read_chunks

_CHECKSUM = struct.Struct("<Q")


def write_contents(blobs: BlobStore, blob: str, contents: Contents) -> None:
    """Make a blob of Contents, durable when this returns. Blocks."""
    packed = msgspec.msgpack.encode(contents)
    with blobs.writer(blob) as writer:
        writer.write(_CHECKSUM.pack(xxh3_64_intdigest(packed)))
        writer.write(packed)
        writer.commit()


def read_contents(blobs: BlobStore, blob: str) -> Contents:
    """Return the Contents in a blob. Blocks. Raise `FileNotFoundError`, or `CorruptData` if it is damaged."""
    with blobs.reader(blob) as reader:
        data = b"".join(read_chunks(reader))
    packed = data[_CHECKSUM.size :]
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack(data[: _CHECKSUM.size])[0] != xxh3_64_intdigest(packed):
        raise CorruptData(
            f"Blob {blob} is not the cached content it was. Delete the cache, and create it again."
        )
    return msgspec.msgpack.decode(packed, type=Contents)
