"""`halfrate models`: which models can be asked."""

from __future__ import annotations

from dataclasses import asdict

from halfrate.cli.connect import connect
from halfrate.cli.console import say, write_json, write_table
from halfrate.cli.options import DEFAULT_URL, Json, Url


def models(url: Url = DEFAULT_URL, as_json: Json = False) -> None:
    """List the models a server answers for, and what really answers under each name."""
    found = list(connect(url).models())
    if as_json:
        write_json({"models": [asdict(model) for model in found]})
    elif found:
        rows = ((model.name, model.version, model.description) for model in found)
        write_table(("MODEL", "ANSWERED BY", "DESCRIPTION"), rows)
    else:
        say(f"The server at {url} has no models. See its configuration.")
