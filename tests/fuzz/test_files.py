"""Whole files of mutated lines, in chunks of any size, against models a reader can check by eye."""

from __future__ import annotations

import random
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfrate.cli.validate import check
from halfrate.config import Limits
from halfrate.domain.line import Line, Rejection
from halfrate.ingest.hints import EXAMPLE, hint
from halfrate.ingest.lines import LineScanner, RawLine
from halfrate.wire.gemini.lines import parse_line
from tests.fuzz.budget import LINES, SEED, property_settings
from tests.fuzz.mutation import Lines

BOM = b"\xef\xbb\xbf"
LINE_BYTES_MAX = 2_000


# Bytes into lines ---------------------------------------------------------------------------------------


def naive_lines(data: bytes, line_bytes_max: int) -> list[RawLine]:
    """What a scanner of a whole file in memory would give."""
    offset = len(BOM) if data.startswith(BOM) else 0
    lines = []
    for number, whole in enumerate(data[offset:].split(b"\n"), 1):
        line = whole.removesuffix(b"\r")
        if line.strip(b" \t\r\n\x0b\x0c") or len(line) > line_bytes_max:
            lines.append(RawLine(number, offset, len(line), line if len(line) <= line_bytes_max else None))
        offset += len(whole) + 1
    return lines


def scanned(data: bytes, borders: list[int], line_bytes_max: int) -> list[RawLine]:
    scanner = LineScanner(line_bytes_max)
    lines: list[RawLine] = []
    places = [0, *sorted(border % (len(data) + 1) for border in borders), len(data)]
    for start, stop in pairwise(places):
        lines += scanner.feed(data[start:stop])
    return [*lines, *scanner.finish()]


TOKENS = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        BOM,
        BOM[:1],
        BOM[1:],
        b" ",
        b"\t",
        b"\0",
        b"x",
        b"xxxx",
        b"\x0b\x0c",
        b"\xc2\x85",
    ]
)


@property_settings()
@given(
    st.lists(TOKENS, max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=20), st.integers(0, 8)
)
def test_lines_are_the_same_wherever_the_chunks_end(data: bytes, borders: list[int], line_bytes_max: int):
    expected = naive_lines(data, line_bytes_max)
    assert scanned(data, [], line_bytes_max) == expected
    assert scanned(data, borders, line_bytes_max) == expected
    assert scanned(data, list(range(len(data))), line_bytes_max) == expected


# A file and what it comes to ----------------------------------------------------------------------------


def naive_errors(data: bytes) -> tuple[int, list[str]]:
    """Count the lines that are not blank, and say what is wrong with each, all in memory."""
    errors: dict[int, str] = {}
    first_use: dict[str, int] = {}
    lines = naive_lines(data, LINE_BYTES_MAX)
    for place, raw in enumerate(lines):
        line = parse_line(raw.data) if raw.data is not None else Rejection(_too_long(raw.length))
        if isinstance(line, Line):
            if line.key is not None and first_use.setdefault(line.key, raw.number) != raw.number:
                shown = line.key if len(line.key) <= 60 else line.key[:59] + "…"
                errors[raw.number] = (
                    f"duplicate key {shown!r}, first used on line {first_use[line.key]}; "
                    "give every line a key of its own, so that results can be told apart"
                )
            continue
        message = line.message if len(line.message) <= 500 else line.message[:499] + "…"
        cut_off = b"\n" not in data[raw.offset :]
        if place == 0 and raw.data is not None and (guess := hint(raw.data)):
            message += f". {guess}. Every line must be one JSON object, for example {EXAMPLE}"
        elif cut_off and raw.data is not None:
            message += (
                ". No newline ends this last line, so the file may have been cut off: "
                "check that it is complete and upload it again"
            )
        errors[raw.number] = message
    told = [f"Error on line {number}: {message}" for number, message in sorted(errors.items())]
    if not lines:
        return 0, [
            "The file has no requests: it is empty or has only blank lines. "
            f"Every line must be one JSON object, for example {EXAMPLE}"
        ]
    return len(lines), told


def _too_long(length: int) -> str:
    return (
        f"the line has {length:,} bytes, and at most {LINE_BYTES_MAX:,} are allowed: "
        "shorten the prompt, or split it over several lines"
    )


def mutated_file(seed: int) -> bytes:
    chance = random.Random(seed)
    supply = iter(Lines(seed))
    lines = list(islice(supply, chance.choice((0, 1, 2, 20, 100))))
    lines += chance.choices(lines, k=len(lines) // 4) if lines else []
    ends = (b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b"\n \t\r\n", b"\r")
    data = b"".join(line + chance.choice(ends) for line in lines)
    data = BOM * chance.choice((0, 0, 0, 1, 2)) + data
    return data[: chance.randrange(len(data) + 1)] if data and chance.random() < 0.3 else data


@pytest.mark.parametrize("seed", range(SEED, SEED + max(20, LINES // 200)))
def test_a_file_comes_to_what_its_lines_do(seed: int, tmp_path: Path):
    path = tmp_path / "requests.jsonl"
    data = mutated_file(seed)
    path.write_bytes(data)
    requests, errors = naive_errors(data)
    found = check(path, Limits(line_bytes=LINE_BYTES_MAX))
    assert found.requests == requests
    assert list(found.errors) == errors
    assert found.bad == (len(errors) if requests else 0)
