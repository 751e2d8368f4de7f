"""Threads without threads: work given to one runs in a later turn of the event loop, come what may."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

SLOW_TURNS_MAX = 120
"""How long some work takes: the disk is slow now and then."""

P = ParamSpec("P")
T = TypeVar("T")


def in_later_turns(chance: random.Random) -> Callable[..., Awaitable[object]]:
    """Return a stand-in for `asyncio.to_thread`. As with that, a caller that is cancelled stops nothing."""

    async def to_thread(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def turn(turns_left: int) -> None:
            if turns_left:
                loop.call_soon(turn, turns_left - 1)
                return
            try:
                result = work(*arguments, **named)
            except BaseException as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        loop.call_soon(
            turn, chance.randrange(3) if chance.random() < 0.9 else chance.randrange(SLOW_TURNS_MAX)
        )
        return await done

    return to_thread
