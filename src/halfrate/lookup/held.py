"""A few values kept in memory, those that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Held(Generic[K, T]):
    """At most ``count_max`` values, which never change under their keys."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._values: OrderedDict[K, T] = OrderedDict()

    def get(self, key: K) -> T | None:
        """Return a value that is held, None if it is not."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: K, value: T) -> None:
        """Hold a value, and let go of the one that was not used for longest if there are too many."""
        self._values[key] = value
        if len(self._values) > self._count_max:
            self._values.popitem(last=False)
