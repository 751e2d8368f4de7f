"""The order that keeps prefixes warm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from halfrate.domain.outcome import Failed
from halfrate.domain.request import Request
from halfrate.domain.result import Asker, Assignment
from halfrate.planner.coalesce import ASKERS_MAX, coalesce
from halfrate.planner.prefix import sort_key


class Sorter(Protocol):
    """Sorts pairs by key, byte-wise. Pairs of equal keys keep the order they were added in."""

    def add(self, key: bytes, payload: bytes) -> None:
        """Take one more pair."""
        ...

    def sorted(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every pair in order, once."""
        ...


def plan(
    lines: Iterable[tuple[Asker, Request | Failed]],
    sort: Sorter,
    *,
    encode: Callable[[Assignment], bytes],
    decode: Callable[[bytes], Assignment],
    default_temperature: float,
    askers_max: int = ASKERS_MAX,
) -> Iterator[Assignment]:
    """Yield every line's Asker once: Failed ones first, then a depth-first walk of the prompt trie,
    with twins together.

    ``encode`` and ``decode`` turn an Assignment into what the sorter keeps and back. Memory is the
    sorter's and one Assignment.
    """
    for asker, request in lines:
        sort.add(sort_key(request), encode(Assignment(request, (asker,))))
    in_order = (decode(payload) for _, payload in sort.sorted())
    return coalesce(in_order, default_temperature=default_temperature, askers_max=askers_max)
