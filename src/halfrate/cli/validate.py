"""`halfrate validate`: what is wrong with a file of requests, told without a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from halfrate.cli.console import say, write_json
from halfrate.cli.exits import Exit
from halfrate.cli.files import check_input
from halfrate.cli.options import Config, Json

if TYPE_CHECKING:
    from halfrate.config import Limits
    from halfrate.domain.line import Line, Rejection

WARNINGS_MAX = 1_000


@dataclass(slots=True)
class Findings:
    """What a file came to. ``errors`` and ``warnings`` are sentences, the first thousand of each."""

    requests: int = 0
    bad: int = 0
    errors: tuple[str, ...] = ()
    doomed: int = 0
    keyless: int = 0
    warnings: list[str] = field(default_factory=list)


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines: one request a line.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check FILE as a server would, on this machine: every bad line with its number, and warnings."""
    from halfrate.config import Config as Settings  # noqa: PLC0415 - msgspec and the dialect take 100 ms

    check_input(file)
    findings = check(file, Settings.load(config).limits)
    if as_json:
        write_json({"file": str(file), "valid": not findings.errors, **_document(findings)})
    else:
        _tell(file, findings)
    raise typer.Exit(Exit.FAILED if findings.errors else Exit.OK)


def check(file: Path, limits: Limits) -> Findings:
    """Read a whole file in bounded memory. Nothing is left on the disk."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from halfrate.ingest.index import Indexer  # noqa: PLC0415
    from halfrate.ingest.lines import LineScanner  # noqa: PLC0415
    from halfrate.wire.gemini.lines import parse_line  # noqa: PLC0415

    findings = Findings()
    parsed: deque[Line | Rejection] = deque()

    def parse(raw: bytes) -> Line | Rejection:
        line = parse_line(raw)
        parsed.append(line)
        return line

    # The Indexer knows what is wrong and not on which line it saw something merely odd: a second
    # scanner beside it numbers the same lines.
    scanner = LineScanner(limits.line_bytes)
    with (
        TemporaryDirectory(prefix="halfrate-validate-") as folder,
        Indexer(
            parse, spill=Path(folder), line_bytes_max=limits.line_bytes, lines_max=limits.file_lines
        ) as indexer,
    ):
        for chunk in _chunks(file):
            indexer.feed(chunk)
            for raw in scanner.feed(chunk):
                if raw.data is not None:
                    _note(findings, raw.number, parsed.popleft())
        summary = indexer.finish(_Discard())
        for raw in scanner.finish():
            if raw.data is not None:
                _note(findings, raw.number, parsed.popleft())
    findings.requests, findings.errors = summary.requests, summary.errors
    findings.bad = summary.bad + summary.bad_keys
    return findings


class _Discard:
    """Where the index of a file goes that nobody will run."""

    def write(self, data: bytes) -> None:
        pass

    def commit(self) -> int:
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def _note(findings: Findings, number: int, line: Line | Rejection) -> None:
    from halfrate.domain.line import Rejection  # noqa: PLC0415
    from halfrate.domain.outcome import Failed  # noqa: PLC0415

    if isinstance(line, Rejection):
        return
    if line.key is None:
        findings.keyless += 1
    if isinstance(line.request, Failed):
        findings.doomed += 1
        if len(findings.warnings) < WARNINGS_MAX:
            detail = line.request.detail
            findings.warnings.append(f"Warning on line {number}: it will get an error result: {detail}")


def _tell(file: Path, findings: Findings) -> None:
    for sentence in (*findings.errors, *findings.warnings):
        print(sentence)
    if findings.errors:
        more = findings.bad - len(findings.errors)
        if more > 0:
            print(f"and {more:,} more bad lines")
        say(f"{file}: {findings.bad:,} of {findings.requests:,} lines are bad.")
        return
    say(f"{file}: {findings.requests:,} requests, none of them bad.")
    if findings.doomed:
        say(f"{findings.doomed:,} of them ask for what cannot be done here, and will get error results.")
    if findings.keyless:
        say(f"{findings.keyless:,} have no key: their results can be told apart only by their order.")


def _document(findings: Findings) -> dict[str, object]:
    return {
        "requests": findings.requests,
        "bad": findings.bad,
        "errors": findings.errors,
        "willFail": findings.doomed,
        "withoutKey": findings.keyless,
        "warnings": findings.warnings,
    }


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            yield chunk
