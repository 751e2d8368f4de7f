"""Where to cut the order of a Job's Requests into Shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def cut(lines: Iterable[tuple[int, bool]], *, requests_max: int, bytes_max: int) -> Iterator[int]:
    """Yield how many Requests each Shard has: about ``requests_max`` at most, of ``bytes_max`` bytes.

    ``lines`` are given in the order to run them: how long each is, and whether it asks what the one before
    asks. Such twins are kept in one Shard, where they can share an answer, unless it gets twice as large as
    it should be. A line that exceeds ``bytes_max`` by itself is a Shard by itself.
    """
    requests = size_bytes = 0
    for length, twin in lines:
        full = requests >= requests_max or size_bytes + length > bytes_max
        overfull = requests >= 2 * requests_max or size_bytes + length > 2 * bytes_max
        if requests and (overfull if twin else full):
            yield requests
            requests = size_bytes = 0
        requests += 1
        size_bytes += length
    if requests:
        yield requests
