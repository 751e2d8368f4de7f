"""`halfrate validate`: what is wrong with a file of requests, told without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halfrate.cli.console import say, write_json
from halfrate.cli.exits import Exit
from halfrate.cli.files import check_input
from halfrate.cli.options import Config, Json

if TYPE_CHECKING:
    from halfrate.config import Limits
    from halfrate.domain.sharing import Sharing
    from halfrate.ingest.index import IndexSummary


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines: one request a line.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check FILE as a server would, on this machine: every bad line with its number, and warnings."""
    from halfrate.config import Config as Settings  # noqa: PLC0415 - msgspec and the dialect take 100 ms

    check_input(file)
    summary = asyncio.run(check(file, Settings.load(config).limits))
    errors = _errors(summary)
    if as_json:
        write_json({"file": str(file), "valid": not errors, **_document(summary)})
    else:
        _tell(file, summary)
    raise typer.Exit(Exit.FAILED if errors else Exit.OK)


async def check(file: Path, limits: Limits) -> IndexSummary:
    """Read a whole file as an upload of it would be read, in bounded memory. Nothing is left on the disk."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415

    from halfrate.ingest.indexing import Indexing  # noqa: PLC0415
    from halfrate.ingest.workers import ProcessWorkers  # noqa: PLC0415

    with TemporaryDirectory(prefix="halfrate-validate-") as name:
        folder = Path(name)
        (folder / "input").symlink_to(file.absolute())
        async with ProcessWorkers(folder) as workers:
            indexing = Indexing("input", workers, folder=folder / "spill", limits=limits)
            for chunk in _chunks(file):
                indexing.arrived(chunk)
                await asyncio.sleep(0)
            return await indexing.finish("input")


def _errors(summary: IndexSummary) -> tuple[str, ...]:
    return (summary.refusal,) if summary.refusal is not None else summary.errors


def _tell(file: Path, summary: IndexSummary) -> None:
    from halfrate.planner.longest import BLOCK_BYTES  # noqa: PLC0415 - as above

    errors, bad = _errors(summary), summary.bad + summary.bad_keys
    for sentence in (*errors, *summary.warnings):
        print(sentence)
    if errors:
        more = bad - len(errors)
        if more > 0:
            print(f"and {more:,} more bad lines")
        say(f"{file}: {bad:,} of {summary.requests:,} lines are bad.")
        return
    say(f"{file}: {summary.requests:,} requests, none of them bad.")
    if summary.sharing.shared_bytes >= BLOCK_BYTES * summary.requests:
        say(_shared(summary.sharing))
    if summary.doomed:
        say(f"{summary.doomed:,} of them ask for what cannot be done here, and will get error results.")
    if summary.keyless:
        say(f"{summary.keyless:,} have no key: their results can be told apart only by their order.")


def _shared(sharing: Sharing) -> str:
    return (
        f"{sharing.part:.0%} of their text is alike at the beginning of another, in {sharing.groups:,} "
        f"groups: run in order, up to {sharing.times_less:.1f} times less to compute."
    )


def _document(summary: IndexSummary) -> dict[str, object]:
    return {
        "requests": summary.requests,
        "bad": summary.bad + summary.bad_keys,
        "errors": _errors(summary),
        "willFail": summary.doomed,
        "withoutKey": summary.keyless,
        "warnings": summary.warnings,
        "promptBytes": summary.sharing.prompt_bytes,
        "sharedBytes": summary.sharing.shared_bytes,
        "groups": summary.sharing.groups,
    }


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            yield chunk
