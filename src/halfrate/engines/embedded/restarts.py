"""When to start a dead child again, and when to give up. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from halfrate.engines.embedded.settings import EmbeddedSettings


@dataclass(frozen=True, slots=True)
class Record:
    """How the last children fared: deaths in a row, and how many in a row died before they were ready."""

    deaths: int = 0
    loads_failed: int = 0

    def after(self, settings: EmbeddedSettings, *, was_ready: bool, up_seconds: float) -> Record:
        """The record with one more death, of a child that lived this long."""
        healthy = was_ready and up_seconds >= settings.healthy_seconds
        return Record(
            deaths=1 if healthy else self.deaths + 1,
            loads_failed=0 if was_ready else self.loads_failed + 1,
        )

    def hopeless(self, settings: EmbeddedSettings) -> bool:
        """Whether to stop trying: nothing suggests that the model will ever load."""
        return self.loads_failed >= settings.load_attempts_max

    def delay_seconds(self, settings: EmbeddedSettings, *, chance: float) -> float:
        """How long to wait: doubling, bounded, and cut by up to a half by ``chance`` in [0, 1)."""
        doubled = settings.backoff_seconds * 2.0 ** min(self.deaths - 1, 30)
        return min(doubled, settings.backoff_seconds_max) * (1 - chance / 2)
