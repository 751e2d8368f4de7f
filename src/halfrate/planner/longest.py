"""Long answers first, so that the end of a Job does not wait for one that was begun last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from halfrate.domain.request import Request
from halfrate.domain.result import Assignment
from halfrate.planner.prefix import common_bytes, sort_key

BLOCK_BYTES = 64
"""About sixteen tokens, the smallest block that Engines keep of a prompt: what shares less shares nothing."""


def longest_first(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Return sorted Assignments with those in front whose answers may get long, as far as prefixes let them.

    Prompts that begin alike stay together, at every depth, so neighbours have as many whole blocks in common
    as before; only which of several groups comes first is chosen, by its longest answer. The very first stays
    where it is: it may go on where the Shard before ended. Those that may get equally long stay in order.
    """
    lengths = [_tokens_max(each) for each in assignments]
    if len(set(lengths)) < 2:
        return list(assignments)
    keys = [sort_key(each.request) for each in assignments]
    shared = [0, *(common_bytes(one, other) // BLOCK_BYTES for one, other in pairwise(keys))]
    return [assignments[position] for position in by_length(lengths, shared)]


def by_length(lengths: Sequence[float], shared: Sequence[int]) -> list[int]:
    """Return positions in the order to run them; ``shared`` is what each has in common with the one before.

    Where one group of neighbours shares more than that group does with others, it stays together.
    """
    order: list[int] = []
    waiting = [(0, len(lengths))]
    while waiting:  # no recursion: tries may be as deep as they have leaves
        start, stop = waiting.pop()
        if stop - start < 2:
            order += range(start, stop)
            continue
        least = min(shared[start + 1 : stop])
        borders = [start, *(n for n in range(start + 1, stop) if shared[n] == least), stop]
        groups = list(pairwise(borders))
        kept = 1 if start == 0 else 0
        groups[kept:] = sorted(groups[kept:], key=lambda group: -max(lengths[group[0] : group[1]]))
        waiting += reversed(groups)
    return order


def _tokens_max(assignment: Assignment) -> float:
    """Return how many tokens an answer may have. Without a bound it may be longer than any with one."""
    request = assignment.request
    if not isinstance(request, Request):
        return 0
    bound = request.sampling.max_output_tokens
    return math.inf if bound is None else bound
