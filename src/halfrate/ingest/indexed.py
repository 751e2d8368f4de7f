"""An input's lines, read back by its index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from halfrate.domain.line import Line, Rejection
from halfrate.ingest.chunks import too_long
from halfrate.ingest.index import Entry, IndexReader
from halfrate.ingest.lines import LineScanner
from halfrate.store.blob.api import BlobReader, read_chunks

_GAP_BYTES_MAX = 16 << 10
"""Bytes between two lines that are read with them rather than passed over."""

_READ_BYTES_MAX = 1 << 20


ParseLines = Callable[[Sequence[bytes]], list[Line | Rejection]]


class IndexedLines:
    """The lines of an input, in the order to run them or in its own.

    A line beyond ``line_bytes_max`` is rejected unread.
    """

    def __init__(
        self, index: IndexReader, source: BlobReader, parse: ParseLines, *, line_bytes_max: int
    ) -> None:
        self._index = index
        self._source = source
        self._parse = parse
        self._line_bytes_max = line_bytes_max

    @property
    def order_version(self) -> int:
        """The version of what the order is made by."""
        return self._index.summary.order_version

    @property
    def parted_by_model(self) -> bool:
        """Whether lines that name a model come apart from the others, as in all but indexes of before."""
        return self._index.summary.models is not None

    def in_run_order(self, first: int, count: int) -> list[tuple[Entry, Line | Rejection]]:
        """Return ``count`` lines from position ``first`` of the order to run them. They are held at once."""
        entries = self._index.entries(first, count)
        texts = self._texts([entry for entry in entries if entry.length <= self._line_bytes_max])
        lengths = [entry.length for entry in entries]
        parsed = self._parsed([texts.get(entry.ordinal) for entry in entries], lengths)
        return list(zip(entries, parsed, strict=True))

    def in_input_order(self) -> Iterator[Line | Rejection]:
        """Yield every line that is not blank, by ordinal. A mebibyte of them is held."""
        scanner = LineScanner(self._line_bytes_max)
        for chunk in read_chunks(self._source):
            batch = scanner.feed(chunk)
            yield from self._parsed(batch.data, batch.lengths)
        batch = scanner.finish()
        yield from self._parsed(batch.data, batch.lengths)

    def _parsed(self, texts: Sequence[bytes | None], lengths: Sequence[int]) -> Iterator[Line | Rejection]:
        """Yield what each line says; one without a text is too long to be read."""
        parsed = iter(self._parse([text for text in texts if text is not None]))
        for text, length in zip(texts, lengths, strict=True):
            yield too_long(length, line_bytes_max=self._line_bytes_max) if text is None else next(parsed)

    def _texts(self, entries: Sequence[Entry]) -> dict[int, bytes]:
        """Return lines by ordinal, read in the order they lie in, neighbours together."""
        texts: dict[int, bytes] = {}
        for together in _neighbours(sorted(entries)):
            start = together[0].offset
            data = self._source.read(start, together[-1].offset + together[-1].length - start)
            for entry in together:
                texts[entry.ordinal] = data[entry.offset - start : entry.offset - start + entry.length]
        return texts


def _neighbours(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Group entries, sorted by offset, that are worth one read."""
    together: list[Entry] = []
    for entry in entries:
        stop = entry.offset + entry.length
        if together and (
            entry.offset - (together[-1].offset + together[-1].length) > _GAP_BYTES_MAX
            or stop - together[0].offset > _READ_BYTES_MAX
        ):
            yield together
            together = []
        together.append(entry)
    if together:
        yield together
