"""The settings a command runs with, from its options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.domain.errors import ConfigError
from halfrate.domain.kind import Kind

if TYPE_CHECKING:
    from halfrate.config import Config

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def settings(*, config: Path | None, data: Path | None, model: str | None) -> Config:
    """Return the settings of ``config``, with what the command line says in place of what it says.

    Raise `ConfigError` for a setting that is wrong, or a model that is not there.
    """
    from halfrate.config import Config, is_url, model_at  # noqa: PLC0415 - msgspec takes 30 ms

    loaded = Config.load(config, data_dir=None if data is None else str(data))
    if model is None or model in loaded.models:
        return loaded if model is None else loaded.serving_only(loaded.models[model], name=model)
    if not is_url(model):
        check_model(model)
    name, entry = model_at(model)
    return loaded.serving_only(entry, name=name)


def only_model(loaded: Config) -> str:
    """Return the name of the one model there is, but for those configured to make embeddings.

    Raise `ConfigError` if there are several.
    """
    writing = [name for name, entry in loaded.models.items() if entry.kind is not Kind.EMBEDDING]
    names = writing or list(loaded.models)
    if len(names) > 1:
        raise ConfigError(f"Say which model answers, with -m: {', '.join(sorted(loaded.models))}.")
    return names[0]


def check_model(model: str) -> None:
    """Raise `ConfigError` unless ``model`` is there, or may be the name of one in a hub."""
    looks_like_hub = _HUB_ID.fullmatch(model) and not model.endswith(".gguf")
    if not Path(model).expanduser().exists() and not looks_like_hub:
        raise ConfigError(
            f"There is no model {model}. Give a GGUF file, a folder in OpenVINO format, a hub name "
            "such as owner/name, or the URL of a server that has it."
        )
