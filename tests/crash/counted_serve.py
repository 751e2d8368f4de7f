"""`halfrate serve` with its real engine, which also takes down in ``HALFRATE_ASKS`` what it is asked.

The file gets one byte for each Attempt that is begun. It is appended to without a buffer, so that a killed
process has written what it did.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from halfrate import app, cli
from halfrate.config import ModelConfig
from halfrate.domain.outcome import Outcome
from halfrate.domain.request import Request
from halfrate.engines.api import Engine
from halfrate.engines.embedded.engine import EmbeddedEngine
from halfrate.engines.embedded.settings import EmbeddedSettings


class CountedEngine(EmbeddedEngine):
    """The embedded engine, counted from the outside."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asks = os.open(os.environ["HALFRATE_ASKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def answer(self, request: Request, *, interactive: bool = False) -> Outcome:
        os.write(self._asks, b".")
        return await super().answer(request, interactive=interactive)

    async def answer_many(self, requests: Sequence[Request], took: Callable[[int, Outcome], None]) -> None:
        os.write(self._asks, b"." * len(requests))
        await super().answer_many(requests, took)  # type: ignore[misc]


def counted_engine(entry: ModelConfig) -> Engine:
    """Return the embedded engine for a configured model, computing in 32 bits.

    With 16 bits an answer may depend on what else is in the batch, which is another after every kill.
    """
    settings = EmbeddedSettings(threads=entry.threads, cache_gib=entry.kv_cache_gigabytes, precision="f32")
    return CountedEngine(entry.path, settings=settings)


if __name__ == "__main__":
    app.embedded_engine = counted_engine  # before the command imports what takes it
    cli.main()
