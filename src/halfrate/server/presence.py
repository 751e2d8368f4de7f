"""Work for a client, as long as the client is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.requests import Request as Call

T = TypeVar("T")


async def while_present(call: Call, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` as long as the client is there. Raise `ClientDisconnect`, with it cancelled, if not.

    The body of the call must have been read.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(call))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass
