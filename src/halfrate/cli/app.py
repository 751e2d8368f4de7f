"""The commands, put together in the order `--help` shows them."""

from __future__ import annotations

import typer

from halfrate.cli import (
    cancel,
    delete,
    doctor,
    jobs,
    models,
    results,
    retry,
    run,
    serve,
    submit,
    validate,
    watch,
)

app = typer.Typer(
    name="halfrate",
    help="Batch Mode for the models you run.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: rich would cost half of the start-up time.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (
    run.run,
    serve.serve,
    submit.submit,
    jobs.jobs,
    watch.watch,
    results.results,
    retry.retry,
    cancel.cancel,
    delete.delete,
    validate.validate,
    models.models,
    doctor.doctor,
):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that --help need not pay

        print(f"halfrate {version('halfrate')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say which."),
) -> None:
    pass
