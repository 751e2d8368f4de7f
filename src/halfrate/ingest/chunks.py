"""One piece of a file, whole lines of it: validated, and sorted into runs."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import sub
from pathlib import Path

from xxhash import xxh3_128_digest

from halfrate.crashpoints import CrashPoint, reach
from halfrate.domain.kind import Kind
from halfrate.domain.line import Line, Plain, Rejection, Texts
from halfrate.domain.outcome import Cause, Failed
from halfrate.domain.request import Request
from halfrate.ingest.hints import EXAMPLE, LOOKED_AT_BYTES, hint
from halfrate.ingest.index import BAD, CACHES_MAX, ERRORS_MAX, MODELS_MAX, STRANGERS_MAX, NamedModel
from halfrate.ingest.lines import CARRIAGE_RETURN, LineBatch, LineScanner, Stretch
from halfrate.ingest.runs import Rows, write_run
from halfrate.planner.prefix import prompt_key, section_key, sort_key, text_keys
from halfrate.store.blob.api import BlobReader, read_chunks

ReadLines = Callable[[Sequence[bytes]], list[Plain | Line | Rejection]]
"""Reads lines for an index, where a plain one need not be made a Line."""

ReadTexts = Callable[[bytes, Sequence[int], Sequence[int]], Texts | None]
"""Reads whole lines that start and stop at these places. None unless each of them is one user's text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a dialect's lines are read: any lines, and in less time those that most files are made of."""

    lines: ReadLines
    texts: ReadTexts = lambda text, starts, stops: None


CHUNK_BYTES_MIN = 8 << 20
"""A chunk is cut after this much; it is longer only to end with a line."""

CHUNK_LINES_MIN = 1 << 15
"""A chunk is cut after this many lines, too: what is held in memory for each is bounded thereby."""

KEY_BYTES_MAX = 64 << 10
"""How much of a prompt takes part in the order. Of what is longer, equals still come together."""

WARNINGS_MAX = ERRORS_MAX
MESSAGE_CHARS_MAX = 500

_LENGTH_MAX = (1 << 32) - 1  # a line this long is bad anyway; its error says how long it really is
_PARSED_AT_ONCE = 4_096

UNASKED_KEY = sort_key(Failed(Cause.INVALID, ""))
"""What all lines sort by that ask nothing of an Engine. They are no twins."""


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """What a chunk came to. Line numbers count from 1 within it.

    ``caches`` are those that lines name, with the model which these name, and the first such line.

    ``prompts`` and ``keys`` are how many rows its two runs have: one by prompt, of all lines, and one by
    key hash, of lines with a key.
    """

    lines: int
    requests: int
    keys: int
    bad: int
    doomed: int
    errors: list[tuple[int, str]]
    warnings: list[tuple[int, str]]
    embeddings: int = 0
    first_embeddings: list[int] = field(default_factory=list)
    first_generations: list[int] = field(default_factory=list)
    caches: list[tuple[str, str | None, int]] = field(default_factory=list)
    models: list[NamedModel] = field(default_factory=list)
    reads_files: bool = False


def index_chunk(
    source: BlobReader,
    start: int,
    stop: int,
    *,
    last: bool,
    read: Reading,
    line_bytes_max: int,
    prompts_run: Path,
    keys_run: Path,
) -> ChunkReport:
    """Validate the lines between two offsets, and write the runs. ``last``: the file ends at ``stop``."""
    chunk = _Chunk(source, read, line_bytes_max, first=start == 0)
    scanner = LineScanner(line_bytes_max, offset=start)
    for data in read_chunks(source, start, stop):
        batch, stretch = scanner.cut(data)
        chunk.take(batch)
        if stretch is not None and not chunk.take_texts(stretch):
            rest = LineBatch()
            scanner.split(stretch, rest)
            chunk.take(rest)
    chunk.take(scanner.finish(), cut_off=last)
    for path, keys, rows in (
        (prompts_run, chunk.prompts, chunk.prompt_rows),
        (keys_run, chunk.keys, chunk.key_rows),
    ):
        write_run(path, keys, rows)
        reach(CrashPoint.RUN_WRITE_AFTER)
    return ChunkReport(
        lines=scanner.lines,
        requests=len(chunk.prompts),
        keys=len(chunk.keys),
        bad=chunk.bad,
        doomed=chunk.doomed,
        errors=chunk.errors,
        warnings=chunk.warnings,
        embeddings=chunk.embeddings,
        first_embeddings=chunk.first[Kind.EMBEDDING],
        first_generations=chunk.first[Kind.GENERATION],
        caches=[(cache, model, number) for (cache, model), number in chunk.caches.items()],
        models=[
            NamedModel(model, requests, chunk.model_lines[model])
            for model, requests in chunk.model_requests.items()
        ],
        reads_files=chunk.reads_files,
    )


def too_long(length: int, *, line_bytes_max: int) -> Rejection:
    """Reject a line for its length."""
    return Rejection(
        f"the line has {length:,} bytes, and at most {line_bytes_max:,} are allowed: "
        "shorten the prompt, or split it over several lines"
    )


def shortened(text: str, chars_max: int) -> str:
    """Return a text, cut if it is longer."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


class _Chunk:
    """What is gathered of a chunk: keys to sort by, and the rows that go with them."""

    def __init__(self, source: BlobReader, read: Reading, line_bytes_max: int, *, first: bool) -> None:
        self._source = source
        self._read_lines = read.lines
        self._read_texts = read.texts
        self._line_bytes_max = line_bytes_max
        self._first = first
        self.prompts: list[bytes] = []
        self.prompt_rows = Rows()
        self.keys: list[bytes] = []
        self.key_rows = Rows()
        self.bad = 0
        self.doomed = 0
        self.errors: list[tuple[int, str]] = []
        self.warnings: list[tuple[int, str]] = []
        self.embeddings = 0
        self.first: dict[Kind, list[int]] = {kind: [] for kind in Kind}
        self.caches: dict[tuple[str, str | None], int] = {}  # with a model: the number of the first line
        self.model_requests: dict[str, int] = {}
        self.model_lines: dict[str, int] = {}  # the number of the first line that names each
        self.reads_files = False

    def take_texts(self, stretch: Stretch) -> bool:
        """Take whole lines if every one of them is one user's text, else leave them and return False."""
        if stretch.newlines is None:
            return False
        starts, stops = _borders(stretch.text, stretch.newlines)
        lengths = list(map(sub, stops, starts))
        if max(lengths) > self._line_bytes_max:
            return False
        texts = self._read_texts(stretch.text, starts, stops)
        if texts is None:
            return False
        ordinal, count = len(self.prompt_rows), len(lengths)
        rows = Rows(
            array("Q", [stretch.offset + start for start in starts]),
            array("I", range(ordinal, ordinal + count)),
            array("I", range(stretch.number, stretch.number + count)),
            array("I", lengths),
            array("B", bytes(count)),
        )
        self.prompts += _bounded_keys(text_keys(texts.texts, texts.samplings))
        self.prompt_rows.extend(rows)
        self._take_keys(texts.keys, rows)
        first = self.first[Kind.GENERATION]
        first.extend(islice(range(stretch.number, stretch.number + count), STRANGERS_MAX - len(first)))
        return True

    def take(self, batch: LineBatch, *, cut_off: bool = False) -> None:
        """Take lines, some thousand at a time: so many are held as objects."""
        for start in range(0, len(batch), _PARSED_AT_ONCE):
            part = batch.part(start, start + _PARSED_AT_ONCE)
            self._take(part, self._read(part), cut_off=cut_off)

    def _read(self, batch: LineBatch) -> list[Plain | Line | Rejection]:
        known = [data for data in batch.data if data is not None]
        read = self._read_lines(known)
        if len(read) == len(batch):
            return read
        following = iter(read)
        return [
            too_long(length, line_bytes_max=self._line_bytes_max) if data is None else next(following)
            for data, length in zip(batch.data, batch.lengths, strict=True)
        ]

    def _take(self, batch: LineBatch, lines: list[Plain | Line | Rejection], *, cut_off: bool) -> None:
        flags = array("B", bytes(len(lines)))
        first = len(self.prompt_rows)
        kinds = set(map(type, lines))
        if kinds != {Plain} or not self.first[Kind.GENERATION]:
            self._take_kinds(lines, batch.numbers)
        if kinds != {Plain}:
            for position, line in enumerate(lines):
                if isinstance(line, Rejection):
                    flags[position] = BAD
                    self._reject(first + position, batch, position, line.message, cut_off=cut_off)
                elif isinstance(line, Line):
                    self._note(batch.numbers[position], line)
        rows = Rows(
            array("Q", batch.offsets),
            array("I", range(first, first + len(lines))),
            array("I", batch.numbers),
            array("I", _bounded(batch.lengths)),
            flags,
        )
        self.prompts += _prompts(lines)
        self.prompt_rows.extend(rows)
        self._take_keys([None if isinstance(line, Rejection) else line.key for line in lines], rows)

    def _take_kinds(self, lines: list[Plain | Line | Rejection], numbers: list[int]) -> None:
        """Count those that ask for an embedding, and note where the first of each kind are."""
        self.embeddings += sum(isinstance(line, Line) and line.kind is Kind.EMBEDDING for line in lines)
        for kind, first in self.first.items():
            alike = (
                number
                for line, number in zip(lines, numbers, strict=True)
                if not isinstance(line, Rejection) and _kind(line) is kind
            )
            first.extend(islice(alike, STRANGERS_MAX - len(first)))

    def _take_keys(self, keys: list[str | None], rows: Rows) -> None:
        """Note the hashes of keys.

        Equal hashes are taken for equal keys. At 128 bits, ten million different keys collide by chance with
        a probability of 10^-25. xxh3 does not resist an attacker, and need not: whoever crafts a collision
        has a line of their own file refused as a repetition.
        """
        known = [key for key in keys if key is not None]
        if len(known) < len(keys):
            rows = rows.taken([position for position, key in enumerate(keys) if key is not None])
        try:
            self.keys += map(xxh3_128_digest, map(str.encode, known))
        except UnicodeEncodeError:
            self.keys += [xxh3_128_digest(key.encode("utf-8", "surrogatepass")) for key in known]
        self.key_rows.extend(rows)

    def _reject(self, ordinal: int, batch: LineBatch, position: int, message: str, *, cut_off: bool) -> None:
        self.bad += 1
        if len(self.errors) >= ERRORS_MAX:
            return
        message = shortened(message, MESSAGE_CHARS_MAX)
        data = batch.data[position]
        if self._first and ordinal == 0 and (sentence := hint(data or self._ends(batch, position))):
            message += f". {sentence}. Every line must be one JSON object, for example {EXAMPLE}"
        elif cut_off and data is not None:
            message += (
                ". No newline ends this last line, so the file may have been cut off: "
                "check that it is complete and upload it again"
            )
        self.errors.append((batch.numbers[position], message))

    def _ends(self, batch: LineBatch, position: int) -> bytes:
        """Return how a line begins and how it ends that is too long to be held."""
        offset, length = batch.offsets[position], batch.lengths[position]
        looked_at_bytes = min(length, LOOKED_AT_BYTES)
        ending = self._source.read(offset + length - looked_at_bytes, looked_at_bytes)
        return self._source.read(offset, looked_at_bytes) + ending

    def _note(self, number: int, line: Line) -> None:
        request = line.request
        if isinstance(request, Failed):
            self._doom(number, request)
            return
        if line.model is not None:
            self._note_model(number, line.model)
        if isinstance(request, Request):
            self._note_named(number, request, line.model)

    def _note_model(self, number: int, model: str) -> None:
        known = self.model_requests.get(model)
        if known is not None:
            self.model_requests[model] = known + 1
        elif len(self.model_requests) <= MODELS_MAX:
            self.model_requests[model] = 1
            self.model_lines[model] = number

    def _note_named(self, number: int, request: Request, model: str | None) -> None:
        if request.cache is not None and len(self.caches) <= CACHES_MAX:
            self.caches.setdefault((request.cache, model), number)
        self.reads_files |= any(each.uri is not None for m in request.messages for each in m.attachments)

    def _doom(self, number: int, failed: Failed) -> None:
        self.doomed += 1
        if len(self.warnings) < WARNINGS_MAX:
            message = f"it will get an error result: {failed.detail}"
            self.warnings.append((number, shortened(message, MESSAGE_CHARS_MAX)))


def _borders(text: bytes, newlines: list[int]) -> tuple[list[int], list[int]]:
    """Return where each line starts and where it stops."""
    starts = [0, *[newline + 1 for newline in newlines[:-1]]]
    if b"\r" in text:
        return starts, [stop - (text[stop - 1] == CARRIAGE_RETURN) for stop in newlines]
    return starts, newlines


def _bounded(lengths: list[int]) -> list[int]:
    if not lengths or max(lengths) <= _LENGTH_MAX:
        return lengths
    return [min(length, _LENGTH_MAX) for length in lengths]


def _prompts(lines: list[Plain | Line | Rejection]) -> list[bytes]:
    """Return what each line sorts by."""
    return _bounded_keys(
        [
            prompt_key(line.turns, line.sampling) if isinstance(line, Plain) else _prompt(line)
            for line in lines
        ]
    )


def _bounded_keys(keys: list[bytes]) -> list[bytes]:
    """Return keys, those that are too long shortened to their beginning and a digest."""
    if keys and len(max(keys, key=len)) > KEY_BYTES_MAX:
        return [key if len(key) <= KEY_BYTES_MAX else _digested(key) for key in keys]
    return keys


def _kind(line: Plain | Line) -> Kind:
    return line.kind if isinstance(line, Line) else Kind.GENERATION


def _prompt(line: Line | Rejection) -> bytes:
    if isinstance(line, Rejection):
        return UNASKED_KEY
    key = sort_key(line.request)
    # What has no answer anyway is for no model.
    return key if line.model is None or key == UNASKED_KEY else section_key(line.model) + key


def _digested(key: bytes) -> bytes:
    return key[:KEY_BYTES_MAX] + xxh3_128_digest(key)
