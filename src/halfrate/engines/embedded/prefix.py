"""Which prompt prefixes the pipeline surely still holds in its KV cache. Pure.

The pipeline keeps computed blocks until it needs their memory, then overwrites the least recently used
first, and tells nobody. This mirror keeps count of what was allocated since a block was last used, and
calls the block cached only while the blocks allocated since cannot have reached it. So it may say too
little, never too much.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_TOKENS = 32  # the pipeline's block size on a CPU


def chain(tokens: Sequence[int], block_tokens: int = BLOCK_TOKENS) -> tuple[int, ...]:
    """One key per whole block; equal keys mean equal tokens from the prompt's start to that block's end."""
    keys: list[int] = []
    key = 0
    for start in range(0, len(tokens) - block_tokens + 1, block_tokens):
        key = hash((key, tuple(tokens[start : start + block_tokens])))
        keys.append(key)
    return tuple(keys)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a block was last used: blocks allocated until then, and blocks in use at that moment."""

    allocated: int
    in_use: int


class PrefixMirror:
    """The blocks that are surely in the cache. Memory: one entry per block of the cache."""

    def __init__(self, blocks_total: int) -> None:
        self._blocks_total = blocks_total
        self._allocated = 0
        self._stamps: OrderedDict[int, Stamp] = OrderedDict()

    def holds(self, key: int) -> bool:
        """Whether this block is surely cached."""
        stamp = self._stamps.get(key)
        return stamp is not None and not self._overwritten(stamp)

    def stamp(self, in_use: int) -> Stamp:
        """The present moment, to be given to `use` later."""
        return Stamp(self._allocated, in_use)

    def allocate(self, blocks: int) -> None:
        """Count blocks that the pipeline takes, or takes back into use, from now on."""
        self._allocated += blocks

    def use(self, keys: Sequence[int], stamp: Stamp) -> None:
        """Note that these blocks are computed and were last used at ``stamp``."""
        for key in keys:
            known = self._stamps.get(key)
            if known is None or known.allocated <= stamp.allocated:
                self._stamps[key] = stamp
                self._stamps.move_to_end(key)
        self._forget_overwritten()

    def _overwritten(self, stamp: Stamp) -> bool:
        return self._allocated - stamp.allocated + stamp.in_use >= self._blocks_total

    def _forget_overwritten(self) -> None:
        while self._stamps:
            key, stamp = next(iter(self._stamps.items()))
            if not self._overwritten(stamp) and len(self._stamps) <= self._blocks_total:
                return
            del self._stamps[key]
