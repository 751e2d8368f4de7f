"""Where to cut the order into Shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from halfrate.domain.result import Assignment
from halfrate.planner.prefix import prompt_bytes


def cut(assignments: Iterable[Assignment], *, askers_max: int, bytes_max: int) -> Iterator[list[Assignment]]:
    """Yield contiguous pieces of at most ``askers_max`` Askers and ``bytes_max`` bytes of prompt text.

    An Assignment is never split: one that exceeds a bound by itself is a Shard by itself.
    """
    shard: list[Assignment] = []
    askers = size_bytes = 0
    for assignment in assignments:
        more_askers, more_bytes = len(assignment.askers), prompt_bytes(assignment.request)
        if shard and (askers + more_askers > askers_max or size_bytes + more_bytes > bytes_max):
            yield shard
            shard, askers, size_bytes = [], 0, 0
        shard.append(assignment)
        askers += more_askers
        size_bytes += more_bytes
    if shard:
        yield shard
