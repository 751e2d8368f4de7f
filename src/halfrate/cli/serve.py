"""`halfrate serve`: the server, until it is told to stop."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from halfrate.cli.console import say, write_json
from halfrate.cli.logs import show_logs
from halfrate.cli.loop import run_async
from halfrate.cli.options import Config, Data, Json
from halfrate.cli.settings import settings

if TYPE_CHECKING:
    from halfrate.config import Config as Settings


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8080,
    data: Data = None,
    config: Config = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The only model: file, folder, hub name or URL.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the API until Ctrl-C, going on with the jobs of the data directory."""
    from halfrate.serve import serve as serve_until_stopped  # noqa: PLC0415 - the whole server

    loaded = settings(config=config, data=data, model=model)
    show_logs(logging.WARNING)

    def on_started(url: str) -> None:
        _tell(loaded, url, as_json=as_json)

    with suppress(KeyboardInterrupt):  # the way to stop it
        run_async(serve_until_stopped(loaded, host=host, port=port, on_started=on_started))
    say("Stopped. Jobs go on when halfrate serve is started again.")


def _tell(loaded: Settings, url: str, *, as_json: bool) -> None:
    if as_json:
        write_json({"url": url, "data": str(loaded.data_path), "models": list(loaded.models)})
        return
    say(f"halfrate listens at {url}, with its data in {loaded.data_path}")
    for name, entry in loaded.models.items():
        also = f" (also as {', '.join(entry.aliases)})" if entry.aliases else ""
        say(f"  {name}{also}: {entry.description or entry.where}")
    say("Submit a batch with: halfrate submit FILE --watch. Ctrl-C stops.")
