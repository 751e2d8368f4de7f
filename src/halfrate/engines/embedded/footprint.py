"""How much memory a model takes, and whether there is as much. Pure."""

from __future__ import annotations

from dataclasses import dataclass

WORKING_BYTES = 512 << 20
"""Kernels, buffers and the interpreter: what a child levels off at, beside its weights and its cache."""

WEIGHT_COPIES = 2
"""Weights are held as they are in the file, and once more in the order in which they are multiplied."""

CACHE_BYTES_MIN = 256 << 20
"""A cache of no given size is not made smaller than this, to fit."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a model takes: ``file_bytes`` of weights on disk, and its cache when it is full."""

    file_bytes: int
    cache_bytes: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.file_bytes * WEIGHT_COPIES + self.cache_bytes + WORKING_BYTES

    def shortage(self, available_bytes: int) -> str | None:
        """Why it does not fit, as a sum; None if it does."""
        if self.bytes <= available_bytes:
            return None
        return (
            f"weights {_gib(self.file_bytes * WEIGHT_COPIES)} + cache {_gib(self.cache_bytes)} + computing "
            f"{_gib(WORKING_BYTES)} = {_gib(self.bytes)} GiB, and {_gib(available_bytes)} GiB of memory are "
            "available"
        )


def cache_bytes(file_bytes: int, *, memory_bytes: int, available_bytes: int) -> int:
    """The size of a cache that nobody has set: a quarter of the memory, or what the weights leave of it."""
    room = available_bytes - file_bytes * WEIGHT_COPIES - WORKING_BYTES
    return max(CACHE_BYTES_MIN, min(memory_bytes // 4, room))


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f}"
