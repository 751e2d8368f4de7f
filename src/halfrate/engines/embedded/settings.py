"""Every knob of the embedded engine, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """How to run one model in one child process. The defaults suit a machine without a GPU.

    ``None`` means: find out from the machine or the model.
    """

    threads: int | None = None  # physical cores this process may use
    precision: str | None = None  # "bf16" where the hardware computes in it, else "f32"
    kv_precision: str | None = None  # as ``precision``; "u8" halves the cache and rounds it
    cache_gib: int | None = None  # bound on the KV cache: a quarter of the memory, taken as it is first used
    kv_blocks: int | None = None  # bound the KV cache by blocks instead of ``cache_gib``
    context_tokens: int | None = None  # at most what the model was made for, and what the cache can hold
    sequences_max: int = 64  # Requests decoded together
    batched_tokens_max: int = 1024  # prompt and answer tokens computed in one step
    prefix_caching: bool = True
    keep_in: str | None = (
        None  # folder for what is worked out of a model once; None keeps and measures nothing
    )
    calibrate: bool | None = None  # measure the best settings at the first load; None: unless it is tiny
    output_tokens_default: int = 1024  # for a Request that names no bound of its own
    # Given to the chat template. Reasoning models that know the switch answer without thinking aloud.
    template_options: dict[str, bool | str] = field(default_factory=lambda: {"enable_thinking": False})
    load_seconds_max: float = 900.0  # a load that takes longer counts as a death
    load_attempts_max: int = 3  # deaths in a row while loading before the Engine is BROKEN
    hang_seconds: float = 300.0  # without progress, a child that holds work is killed
    backoff_seconds: float = 0.5  # before the first restart; doubles up to ``backoff_seconds_max``
    backoff_seconds_max: float = 30.0
    healthy_seconds: float = 60.0  # up this long, a child's earlier deaths are forgotten
    stop_seconds: float = 5.0  # from asking a child to end to killing it
