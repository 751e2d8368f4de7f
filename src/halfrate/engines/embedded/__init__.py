"""The embedded engine: OpenVINO GenAI in a supervised child process."""

from halfrate.engines.embedded.engine import EmbeddedEngine
from halfrate.engines.embedded.settings import EmbeddedSettings

__all__ = ["EmbeddedEngine", "EmbeddedSettings"]
