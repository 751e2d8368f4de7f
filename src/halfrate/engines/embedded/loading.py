"""From what the user calls a model to a pipeline in memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.domain.kind import Kind
from halfrate.engines.embedded import calibration, footprint, gguf, native
from halfrate.engines.embedded.calibration import Tuning
from halfrate.engines.embedded.kept import Kept, kept_folder
from halfrate.engines.embedded.prefix import BLOCK_TOKENS
from halfrate.engines.embedded.settings import EmbeddedSettings

if TYPE_CHECKING:
    from openvino_genai import ContinuousBatchingPipeline, SchedulerConfig, Tokenizer

ARCHITECTURES = ("llama", "qwen2", "qwen3")  # of GGUF files that the pipeline can read
ENCODERS = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert", "roberta", "xlm-roberta")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONTEXT_TOKENS_UNKNOWN = 4096
_KERNELS_KEPT = 1000
_BLOCKS_MIN, _BLOCKS_MAX = 4, 4096
_VALUE_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "u8": 1}


class Unloadable(Exception):
    """The model cannot be loaded; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model on disk. ``context_tokens`` is what it was made for.

    ``kv_values`` is how many numbers its cache holds per token; None if the files do not say. ``weights`` is
    the file that most of it is in.
    """

    path: Path
    name: str
    context_tokens: int
    kv_values: int | None
    weights: Path

    @property
    def weights_bytes(self) -> int:
        """The size of that file; 0 if there is none."""
        return self.weights.stat().st_size if self.weights.exists() else 0


@dataclass(frozen=True, slots=True)
class Model:
    """A model in memory. ``blocks_total`` is the size of its KV cache, in blocks of `BLOCK_TOKENS`."""

    pipeline: ContinuousBatchingPipeline
    tokenizer: Tokenizer
    name: str
    context_tokens: int
    default_temperature: float
    blocks_total: int


def find(model: str) -> Source:
    """Find a GGUF file, a folder with a model in OpenVINO's format, or the id of one on the hub.

    Touches the network only for a hub id. Raise `Unloadable`.
    """
    path = locate(model)
    if path.is_dir():
        local = Path(model).expanduser().exists()
        return _folder(path, name=path.resolve().name if local else model)
    return _gguf_file(path)


def locate(model: str) -> Path:
    """Return the file or folder a model is in, fetched first if ``model`` is a hub id. Raise `Unloadable`."""
    path = Path(model).expanduser()
    if path.exists():
        return path
    if path.suffix != ".gguf" and _HUB_ID.fullmatch(model):
        return _download(model)
    raise Unloadable(f"There is no model at {path}: no such file or folder. Check the path.")


def kind_of(model: str) -> Kind:
    """Return what a model does, as far as its files tell at a glance; what is not there is said to write."""
    path = Path(model).expanduser()
    try:
        if path.is_dir():
            described = json.loads((path / "config.json").read_bytes())
            encodes = described.get("model_type") in ENCODERS and not (path / "openvino_model.xml").exists()
        else:
            encodes = gguf.architecture(path) in ENCODERS
    except (OSError, ValueError, AttributeError, gguf.NotGguf):
        return Kind.GENERATION
    return Kind.EMBEDDING if encodes else Kind.GENERATION


def load(source: Source, settings: EmbeddedSettings) -> Model:
    """Bring it into memory and answer one token, so the first Request finds it warm. Raise `Unloadable`."""
    _refuse_what_does_not_fit(source, settings)
    pipeline = _pipeline(source, settings)
    blocks_total = _warm_up(pipeline)
    defaults = pipeline.get_config()
    return Model(
        pipeline=pipeline,
        tokenizer=pipeline.get_tokenizer(),
        name=source.name,
        context_tokens=_context_tokens(source, settings, blocks_total),
        default_temperature=float(defaults.temperature) if defaults.do_sample else 0.0,
        blocks_total=blocks_total,
    )


def prepare(source: Source, settings: EmbeddedSettings) -> tuple[Source, EmbeddedSettings]:
    """Where to load it from, and with which settings: what is kept of an earlier time, or found and kept now.

    A tiny model, and one for which nothing may be kept, stays as it is. Raise `Unloadable`.
    """
    if settings.keep_in is None:
        return source, settings
    kept = Kept(Path(settings.keep_in), source.weights)
    large = source.weights_bytes >= calibration.WEIGHTS_BYTES_MIN
    if large and source.path.suffix == ".gguf":
        source = _with_graph(source, settings, kept)
    if large if settings.calibrate is None else settings.calibrate:
        settings = calibration.tuned(
            settings, kept, lambda tried: _pipeline(source, tried), again=bool(settings.calibrate)
        )
    return source, settings


def _with_graph(source: Source, settings: EmbeddedSettings, kept: Kept) -> Source:
    """The same model, loaded from what is kept of it. Raise `Unloadable` for one that does not fit."""
    _refuse_what_does_not_fit(source, settings)
    try:
        graph = kept.graph(lambda link: _save_graph(replace(source, path=link), settings))
    except Unloadable:
        return source  # what is wrong with it is told when it is loaded
    return source if graph is None else replace(source, path=graph)


def known_tuning(model: str) -> Tuning | None:
    """How a local model was found to run best on this machine; None if nobody measured it."""
    path = Path(model).expanduser()
    weights = path / "openvino_model.bin" if path.is_dir() else path
    return calibration.known_tuning(Kept(kept_folder(), weights)) if weights.is_file() else None


def _save_graph(source: Source, settings: EmbeddedSettings) -> None:
    """Write a GGUF file's graph beside it: from there it loads faster, and takes less memory."""
    _pipeline(source, settings, {"enable_save_ov_model": True})


def _pipeline(
    source: Source, settings: EmbeddedSettings, more: Mapping[str, bool] | None = None
) -> ContinuousBatchingPipeline:
    """The model in memory. Raise `Unloadable`."""
    properties = {**_properties(settings), **(more or {})}
    try:
        return native.genai().ContinuousBatchingPipeline(
            str(source.path), _scheduler(source, settings), "CPU", properties, more or {}
        )
    except native.ERRORS as error:
        raise Unloadable(f"The model at {source.path} cannot be loaded: {reason(error)}") from error
    except ImportError as error:
        raise Unloadable(
            f"OpenVINO cannot be imported: {error}. Its three packages must be of one release: "
            "pip install --upgrade openvino openvino-tokenizers openvino-genai"
        ) from error


def _refuse_what_does_not_fit(source: Source, settings: EmbeddedSettings) -> None:
    taken = footprint.Footprint(source.weights_bytes, _cache_bytes(source, settings))
    shortage = taken.shortage(native.available_bytes())
    if shortage is not None:
        raise Unloadable(
            f"The model at {source.path} does not fit: {shortage}. Lower models.NAME.kv_cache_gigabytes, use "
            "a model with fewer or smaller weights, or end what else takes memory."
        )


def reason(error: Exception) -> str:
    """What a native exception says, without the places in foreign source files it happened at."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))] or lines
    text = re.sub(r"^.*?\.(?:cc|cpp|hpp|h):\d+:\s*", "", said[-1] if said else type(error).__name__)
    return text[:500]


def _folder(path: Path, *, name: str) -> Source:
    if not (path / "openvino_model.xml").is_file():
        raise Unloadable(
            f"The folder {path} holds no openvino_model.xml. Name a folder with a model in OpenVINO's "
            "format, or a GGUF file."
        )
    if not (path / "openvino_tokenizer.xml").is_file():
        raise Unloadable(f"The folder {path} holds no openvino_tokenizer.xml: convert the tokenizer too.")
    config = _config_of(path)
    heads = config.get("num_attention_heads", 0)
    head = config.get("head_dim") or config.get("hidden_size", 0) // max(1, heads)
    values = 2 * config.get("num_hidden_layers", 0) * config.get("num_key_value_heads", heads) * head
    return Source(
        path=path,
        name=name,
        context_tokens=config.get("max_position_embeddings", _CONTEXT_TOKENS_UNKNOWN),
        kv_values=values or None,
        weights=path / "openvino_model.bin",
    )


def _config_of(path: Path) -> dict[str, int]:
    """The whole numbers in a folder's ``config.json``, of the language part if the model has several."""
    try:
        config = json.loads((path / "config.json").read_bytes())
        config = config.get("text_config") or config
        return {key: value for key, value in config.items() if type(value) is int}
    except (OSError, ValueError, AttributeError):
        return {}


def _gguf_file(path: Path) -> Source:
    try:
        header = gguf.read_header(path)
    except gguf.NotGguf as error:
        detail = f"The file {path} is no GGUF model ({error}). Name a GGUF file or an OpenVINO folder."
        raise Unloadable(detail) from error
    except OSError as error:
        raise Unloadable(f"The file {path} cannot be read: {error.strerror}.") from error
    architecture = str(header.get("general.architecture", "unknown"))
    if architecture not in ARCHITECTURES:
        raise Unloadable(
            f"The model {path} is of the architecture {architecture!r}; GGUF files of "
            f"{', '.join(ARCHITECTURES)} can be loaded. Convert it to OpenVINO's format, or serve it with "
            "llama-server and name that as the upstream."
        )

    def number(key: str, default: int) -> int:
        return int(header.get(f"{architecture}.{key}", default))

    heads = number("attention.head_count", 1)
    head = number("attention.key_length", number("embedding_length", 0) // heads)
    values = 2 * number("block_count", 0) * number("attention.head_count_kv", heads) * head
    return Source(
        path=path,
        name=path.stem,
        context_tokens=number("context_length", _CONTEXT_TOKENS_UNKNOWN),
        kv_values=values or None,
        weights=path,
    )


def _download(model: str) -> Path:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415
    except ImportError:
        raise Unloadable(
            f"There is no file or folder {model}, and to fetch a model of that name the package "
            "huggingface_hub is needed: pip install huggingface_hub. Or name a local GGUF file or folder."
        ) from None
    try:
        return Path(snapshot_download(model))
    except Exception as error:  # the package raises many kinds; each means the same to us
        detail = f"The model {model} is no local path and cannot be fetched: {reason(error)}"
        raise Unloadable(detail) from error


def _scheduler(source: Source, settings: EmbeddedSettings) -> SchedulerConfig:
    scheduler = native.genai().SchedulerConfig()
    if source.kv_values is None and settings.kv_blocks is None:
        scheduler.cache_size = max(1, _cache_bytes(source, settings) >> 30)
    else:
        scheduler.num_kv_blocks = _blocks(source, settings)
    scheduler.max_num_batched_tokens = settings.batched_tokens_max
    scheduler.max_num_seqs = settings.sequences_max
    scheduler.enable_prefix_caching = settings.prefix_caching
    # Prompts are computed in pieces beside the answers under way, so a long one does not stop them.
    scheduler.dynamic_split_fuse = True
    return scheduler


def _cache_bytes(source: Source, settings: EmbeddedSettings) -> int:
    """What the KV cache takes when it is full."""
    if source.kv_values is None:
        return _cache_bytes_max(source, settings)
    return _blocks(source, settings) * _block_bytes(source.kv_values, settings)


def _blocks(source: Source, settings: EmbeddedSettings) -> int:
    """How many blocks fit, and no more than `_BLOCKS_MAX` unless someone asks for them.

    Once the cache is full, the pipeline looks through all of its blocks for the oldest each time it needs
    one. For a small model, whose blocks are cheap to compute and fit by the hundred thousand, that would
    take all its time.
    """
    if settings.kv_blocks is not None:
        return settings.kv_blocks
    assert source.kv_values is not None
    fitting = _cache_bytes_max(source, settings) // _block_bytes(source.kv_values, settings)
    return max(_BLOCKS_MIN, min(_BLOCKS_MAX, fitting))


def _block_bytes(kv_values: int, settings: EmbeddedSettings) -> int:
    return BLOCK_TOKENS * kv_values * _VALUE_BYTES.get(_precision(settings)[1], 4)


def _cache_bytes_max(source: Source, settings: EmbeddedSettings) -> int:
    if settings.cache_gib is not None:
        return settings.cache_gib << 30
    return footprint.cache_bytes(
        source.weights_bytes,
        memory_bytes=native.memory_bytes(),
        available_bytes=native.available_bytes(),
    )


def _precision(settings: EmbeddedSettings) -> tuple[str, str]:
    """Of the computation, and of the cache."""
    precision = settings.precision or ("bf16" if native.computes_in_bf16() else "f32")
    return precision, settings.kv_precision or precision


def _properties(settings: EmbeddedSettings) -> dict[str, str | int]:
    precision, kv_precision = _precision(settings)
    threads = settings.threads or native.physical_cores()
    return {
        # Without these a model's own hints decide, and a GGUF file hints at 16-bit floats that few CPUs
        # compute in.
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": kv_precision,
        "INFERENCE_NUM_THREADS": threads,
        "sampler_num_threads": threads,
        # A kernel is compiled and kept for every size of step there was. The default keeps 5000, and the
        # process grows for hours; this many cover the sizes of decoding, which come again and again.
        "CPU_RUNTIME_CACHE_CAPACITY": _KERNELS_KEPT,
    }


def _warm_up(pipeline: ContinuousBatchingPipeline) -> int:
    """Answer one token, and learn from it how many blocks the cache has.

    The pipeline turns ``cache_size`` into blocks by itself and does not say how many. But the share of the
    cache in use, as a percentage, after a prompt of one token, is the share of one block.
    """
    config = pipeline.get_config()
    config.max_new_tokens = 1
    handle = pipeline.add_request(0, native.tensor([0]), config)
    while pipeline.has_non_finished_requests():
        pipeline.step()
    del handle  # not sooner: a request whose handle is gone is stopped
    usage = pipeline.get_metrics().max_cache_usage
    if usage <= 0:
        raise Unloadable("The pipeline has no KV cache: models without paged attention cannot be batched.")
    return round(100 / float(usage))


def _context_tokens(source: Source, settings: EmbeddedSettings, blocks_total: int) -> int:
    # One block is kept back because the pipeline takes the next block before the last is full.
    bounds = [source.context_tokens, (blocks_total - 1) * BLOCK_TOKENS]
    if settings.context_tokens is not None:
        bounds.append(settings.context_tokens)
    return max(1, min(bounds))
