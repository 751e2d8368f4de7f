"""What a server says of its own load, in the metrics that Prometheus reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

SLACK_MIN = 2
SLACK_PART = 8
"""A queue of an eighth of what runs keeps a server busy; what waits beyond that only waits."""

CACHE_FULL = 0.98


@dataclass(frozen=True, slots=True)
class Load:
    """How many calls a server works on, and how many wait there; and the part of its cache in use."""

    running: int
    waiting: int
    cache: float = 0.0

    def most(self, in_flight: int) -> int | None:
        """Return how many calls the server has use for, if it has ``in_flight`` of ours. None: any."""
        slack = max(SLACK_MIN, self.running // SLACK_PART)
        if self.waiting:
            return in_flight + slack - self.waiting
        return in_flight if self.cache >= CACHE_FULL else None


def load_of(text: str) -> Load | None:
    """Return what vLLM, SGLang, llama-server or TGI says of itself, None if none of them says this."""
    found: dict[str, float] = {}
    for name, value in _SAMPLE.findall(text):
        # One process may serve several models: their calls share it.
        found[_MEANS[name]] = found.get(_MEANS[name], 0.0) + float(value)
    if "running" not in found:
        return None
    return Load(int(found["running"]), int(found.get("waiting", 0)), found.get("cache", 0.0))


_MEANS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "cache",
    "vllm:gpu_cache_usage_perc": "cache",
    "sglang:num_running_reqs": "running",
    "sglang:num_queue_reqs": "waiting",
    "sglang:token_usage": "cache",
    "llamacpp:requests_processing": "running",
    "llamacpp:requests_deferred": "waiting",
    "tgi_batch_current_size": "running",
    "tgi_queue_size": "waiting",
}
_SAMPLE = re.compile(
    rf"^({'|'.join(map(re.escape, _MEANS))})(?:\{{[^}}]*\}})?\s+(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)",
    re.MULTILINE,
)
