"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halfrate.cli.deadline import deadline
from halfrate.client.transport import DEFAULT_URL

Url = Annotated[str, typer.Option("--url", envvar="HALFRATE_URL", help="The server's address.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]
JobName = Annotated[str, typer.Argument(metavar="JOB", help="The job's name: batches/ID, or just ID.")]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="The model to ask; `halfrate models` lists them.")
]
Config = Annotated[Path | None, typer.Option("--config", help="A configuration file (halfrate.toml).")]
Data = Annotated[Path | None, typer.Option("--data", help="The data directory; default: .halfrate.")]
Deadline = Annotated[
    str | None,
    typer.Option(
        "--deadline",
        callback=lambda text: None if text is None else deadline(text),
        help="What is not answered by then gets an error result: 90m, 2h, 1d, or a time.",
    ),
]

__all__ = ["DEFAULT_URL", "Config", "Data", "Deadline", "JobName", "Json", "Model", "Url"]
