"""Where to cut the order of a Job's Requests into Shards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

Block = tuple[Sequence[int], Sequence[bool]]
"""Lines in the order to run them: how long each is, and whether it asks what the one before asks."""


def cut(blocks: Iterable[Block], *, requests_max: int, bytes_max: int) -> Iterator[int]:
    """Yield how many Requests each Shard has: about ``requests_max`` at most, of ``bytes_max`` bytes.

    Twins are kept in one Shard, where they can share an answer, unless it gets twice as large as it should
    be. A line that exceeds ``bytes_max`` by itself is a Shard by itself.
    """
    requests = size_bytes = 0
    for lengths, twins in blocks:
        ends = list(accumulate(lengths, initial=0))
        position = 0
        while position < len(lengths):
            # All that fits goes in at once: ten million lines are not looked at one by one.
            fitting = bisect_right(ends, ends[position] + bytes_max - size_bytes, position) - 1
            stop = min(fitting, position + requests_max - requests, len(lengths))
            if stop <= position:
                overfull = requests >= 2 * requests_max or size_bytes + lengths[position] > 2 * bytes_max
                if requests and (overfull or not twins[position]):
                    yield requests
                    requests = size_bytes = 0
                    continue
                stop = position + 1
            requests += stop - position
            size_bytes += ends[stop] - ends[position]
            position = stop
    if requests:
        yield requests


def cut_sections(
    blocks: Iterable[Block], sections: Sequence[int], *, requests_max: int, bytes_max: int
) -> Iterator[list[int]]:
    """Yield what `cut` yields for each of these sections, which have so many Requests: no Shard is of two."""
    left = iter(blocks)
    lengths: Sequence[int] = ()
    twins: Sequence[bool] = ()

    def take(requests: int) -> Iterator[Block]:
        nonlocal lengths, twins
        while requests:
            if not lengths:
                lengths, twins = next(left)
            taken = min(requests, len(lengths))
            yield lengths[:taken], twins[:taken]
            lengths, twins = lengths[taken:], twins[taken:]
            requests -= taken

    for requests in sections:
        yield list(cut(take(requests), requests_max=requests_max, bytes_max=bytes_max))
