"""How much of an order neighbours share."""

from __future__ import annotations

from collections.abc import Sequence

from halfrate.domain.sharing import Sharing
from halfrate.planner.prefix import common_bytes, prompt_length


def sharing(keys: Sequence[bytes], before: bytes, *, every: int = 1) -> Sharing:
    """Return what sorted keys share, ``before`` being the key before them, by every so manieth of them.

    The keys are those of `halfrate.planner.prefix.sort_key`.
    """
    prompt_bytes = shared_bytes = groups = 0
    for position in range(0, len(keys), every):
        key = keys[position]
        length = prompt_length(key)
        shared = min(length, common_bytes(keys[position - 1] if position else before, key))
        prompt_bytes += length
        shared_bytes += shared
        groups += length > 0 and 2 * shared < length
    return Sharing(prompt_bytes, shared_bytes, groups)
