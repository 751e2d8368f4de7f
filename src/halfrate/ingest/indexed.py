"""An input's lines, read back by its index."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halfrate.domain.line import Line, Rejection
from halfrate.ingest.index import IndexReader, IndexRecord, too_long
from halfrate.store.blob.api import CHUNK_BYTES, BlobReader


class IndexedLines:
    """The lines of an input, parsed again, with the verdicts they got when they were indexed.

    It holds 1 MiB of the input at most, or one line if that is longer, and never a line beyond
    ``line_bytes_max``, which is rejected unread.
    """

    def __init__(
        self,
        index: IndexReader,
        source: BlobReader,
        parse: Callable[[bytes], Line | Rejection],
        *,
        line_bytes_max: int,
    ) -> None:
        self._index = index
        self._source = source
        self._parse = parse
        self._line_bytes_max = line_bytes_max
        self._window = b""
        self._window_offset = 0

    def __iter__(self) -> Iterator[tuple[IndexRecord, Line | Rejection]]:
        """Yield every line in order, with a few large reads."""
        for record in self._index.records():
            yield record, self._line(record, ahead_bytes=CHUNK_BYTES)

    def line(self, ordinal: int) -> tuple[IndexRecord, Line | Rejection]:
        """Return one line. Raise `IndexError` if there are not so many."""
        record = self._index.record(ordinal)
        return record, self._line(record, ahead_bytes=record.length)

    def _line(self, record: IndexRecord, *, ahead_bytes: int) -> Line | Rejection:
        if record.length > self._line_bytes_max:
            return too_long(record.length, line_bytes_max=self._line_bytes_max)
        start = record.offset - self._window_offset
        if start < 0 or start + record.length > len(self._window):
            self._window = self._source.read(record.offset, max(record.length, ahead_bytes))
            self._window_offset, start = record.offset, 0
        return self._parse(self._window[start : start + record.length])
