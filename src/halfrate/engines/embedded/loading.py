"""From what the user calls a model to a pipeline in memory."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from halfrate.domain.kind import Kind
from halfrate.engines.embedded import gguf, native
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

    ``kv_values`` is how many numbers its cache holds per token; None if the files do not say.
    """

    path: Path
    name: str
    context_tokens: int
    kv_values: int | None


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
    try:
        pipeline = native.genai().ContinuousBatchingPipeline(
            str(source.path), _scheduler(source, settings), "CPU", _properties(settings)
        )
    except native.ERRORS as error:
        raise Unloadable(f"The model at {source.path} cannot be loaded: {reason(error)}") from error
    except ImportError as error:
        raise Unloadable(
            f"OpenVINO cannot be imported: {error}. Its three packages must be of one release: "
            "pip install --upgrade openvino openvino-tokenizers openvino-genai"
        ) from error
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
    return Source(path, name, config.get("max_position_embeddings", _CONTEXT_TOKENS_UNKNOWN), values or None)


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
    return Source(path, path.stem, number("context_length", _CONTEXT_TOKENS_UNKNOWN), values or None)


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
    cache_gib = settings.cache_gib or max(1, native.memory_bytes() // 4 // 2**30)
    if settings.kv_blocks is not None:
        scheduler.num_kv_blocks = settings.kv_blocks
    elif source.kv_values is not None:
        scheduler.num_kv_blocks = _blocks(source.kv_values, _precision(settings)[1], cache_gib)
    else:
        scheduler.cache_size = cache_gib
    scheduler.max_num_batched_tokens = settings.batched_tokens_max
    scheduler.max_num_seqs = settings.sequences_max
    scheduler.enable_prefix_caching = settings.prefix_caching
    # Prompts are computed in pieces beside the answers under way, so a long one does not stop them.
    scheduler.dynamic_split_fuse = True
    return scheduler


def _blocks(kv_values: int, kv_precision: str, cache_gib: int) -> int:
    """How many blocks fit, and no more than `_BLOCKS_MAX`.

    Once the cache is full, the pipeline looks through all of its blocks for the oldest each time it needs
    one. For a small model, whose blocks are cheap to compute and fit by the hundred thousand, that would
    take all its time.
    """
    block_bytes = BLOCK_TOKENS * kv_values * _VALUE_BYTES.get(kv_precision, 4)
    return max(_BLOCKS_MIN, min(_BLOCKS_MAX, cache_gib * 2**30 // block_bytes))


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
