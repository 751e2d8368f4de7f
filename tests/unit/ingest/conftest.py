"""Small files, indexed as large ones are: in chunks, of a few lines each."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from halfrate.config import Limits
from halfrate.domain.line import Line, Rejection
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Message, Request, Role
from halfrate.ingest.chunks import Reading
from halfrate.ingest.index import IndexReader, IndexSummary
from halfrate.ingest.indexed import IndexedLines
from halfrate.ingest.indexing import Indexing
from halfrate.ingest.workers import ThreadWorkers
from halfrate.store.blob.local import LocalBlobStore
from halfrate.store.blob.names import index_blob


def parse(data: bytes) -> Line | Rejection:
    """Read ``{"key": ..., "text": ..., "model": ..., "cache": ..., "fails": ...}``."""
    try:
        fields = json.loads(data.decode())
    except ValueError as error:
        return Rejection(f"invalid JSON, near column {getattr(error, 'colno', 1)}")
    if not isinstance(fields, dict):
        return Rejection("expected an object")
    request = Request((Message(Role.USER, fields.get("text", "Hello")),), cache=fields.get("cache"))
    asked = Failed(Cause.INVALID, "it fails") if "fails" in fields else request
    return Line(fields.get("key"), None, fields.get("model"), asked)


def parse_lines(raws):
    return [parse(raw) for raw in raws]


class Indexed:
    """An input with its index."""

    def __init__(self, store: LocalBlobStore, summary: IndexSummary, lines: IndexedLines) -> None:
        self.store = store
        self.summary = summary
        self.lines = lines

    def entries(self) -> list[Any]:
        with self.store.reader(index_blob("inputs/x")) as reader:
            return IndexReader(reader).entries(0, self.summary.requests)


@pytest.fixture
def index(tmp_path: Path) -> Any:
    """Return a function that indexes bytes."""
    store = LocalBlobStore(tmp_path / "blobs")
    with ExitStack() as stack:

        async def index(
            data: bytes, *, piece_bytes: int = 7, chunk_bytes_min: int = 20, **limits: int
        ) -> Indexed:
            with store.writer("inputs/x") as writer:
                writer.write(data)
                writer.commit()
            indexing = Indexing(
                "inputs/x",
                ThreadWorkers(store, Reading(parse_lines)),
                folder=tmp_path / "spill" / "x",
                limits=Limits(**limits),
                chunk_bytes_min=chunk_bytes_min,
            )
            for start in range(0, len(data), piece_bytes):
                indexing.arrived(data[start : start + piece_bytes])
            summary = await indexing.finish("inputs/x")
            reader = IndexReader(stack.enter_context(store.reader(index_blob("inputs/x"))))
            assert reader.summary == summary
            lines = IndexedLines(
                reader,
                stack.enter_context(store.reader("inputs/x")),
                parse_lines,
                line_bytes_max=Limits(**limits).line_bytes,
            )
            return Indexed(store, summary, lines)

        yield index


Index = Callable[..., Any]
