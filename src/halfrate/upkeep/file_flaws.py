"""What is wrong with bulk bytes that were given: of Files with their index, inline Requests, Caches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from halfrate.domain.cache import Cache
from halfrate.domain.errors import CorruptData
from halfrate.domain.file import File, FileSource
from halfrate.ingest.index import IndexReader
from halfrate.lookup.contents import read_contents
from halfrate.store.blob.api import BlobReader, BlobStore, read_chunks
from halfrate.store.blob.names import index_blob
from halfrate.upkeep.flaws import Flaw, Tour, unreadable

_REMEDIES = {
    FileSource.UPLOADED: "Delete the file and upload it again, or restore the blob from a backup.",
    FileSource.GENERATED: "Restore the blob from a backup, or submit the batch again.",
}


def flaws_of_file(file: File, blobs: BlobStore, tour: Tour) -> Iterator[Flaw]:
    """Look at a File's bytes, and at the index of an uploaded one."""
    where = f"File files/{file.id}"
    if wrong := _wrong_with_bytes(file, blobs, tour):
        yield Flaw(True, where, f"{wrong} {_REMEDIES[file.source]}")
    if file.source is FileSource.UPLOADED:
        yield from flaws_of_index(where, file.blob, blobs, tour)


def flaws_of_index(where: str, blob: str, blobs: BlobStore, tour: Tour) -> Iterator[Flaw]:
    """Look at the index of an input. One that is not there is no flaw: it is made when it is needed."""
    try:
        with blobs.reader(index_blob(blob)) as reader:
            if not tour.quick:
                IndexReader(reader).check()
                tour.count(read_bytes=reader.size_bytes)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Flaw(True, where, f"{unreadable(index_blob(blob), error)} Upload the input file again.")
    except CorruptData as error:
        yield Flaw(True, where, str(error))


def flaws_of_inline(where: str, blob: str, blobs: BlobStore, tour: Tour) -> Iterator[Flaw]:
    """Look whether an input that is no File still has the bytes that were indexed."""
    if tour.quick:
        return
    try:
        with blobs.reader(index_blob(blob)) as index, blobs.reader(blob) as source:
            expected = IndexReader(index).summary.sha256
            if expected is not None and _sha256(source, tour) != expected:
                what = f"Blob {blob} does not match its SHA-256: something has changed it."
                yield Flaw(True, where, f"{what} Restore it from a backup, or submit the batch again.")
    except (OSError, CorruptData):
        return  # told of the input, or of its index


def flaws_of_cache(cache: Cache, blobs: BlobStore, tour: Tour) -> Iterator[Flaw]:
    """Look whether the Contents of a Cache are as they were written."""
    where = f"Cached content cachedContents/{cache.id}"
    try:
        with blobs.reader(cache.blob) as reader:
            size_bytes = reader.size_bytes
        if not tour.quick:
            read_contents(blobs, cache.blob)
            tour.count(read_bytes=size_bytes)
    except OSError as error:
        yield Flaw(True, where, f"{unreadable(cache.blob, error)} Delete it, and create it again.")
    except CorruptData as error:
        yield Flaw(True, where, str(error))


def _wrong_with_bytes(file: File, blobs: BlobStore, tour: Tour) -> str | None:
    try:
        with blobs.reader(file.blob) as reader:
            if reader.size_bytes != file.size_bytes:
                return f"Blob {file.blob} has {reader.size_bytes} bytes, and {file.size_bytes} were stored."
            if not tour.quick and _sha256(reader, tour) != file.sha256:
                return f"Blob {file.blob} does not match its SHA-256: something has changed it."
            return None
    except OSError as error:
        return unreadable(file.blob, error)


def _sha256(reader: BlobReader, tour: Tour) -> str:
    digest = hashlib.sha256()
    for chunk in read_chunks(reader):
        digest.update(chunk)
        tour.count(read_bytes=len(chunk))
    return digest.hexdigest()
