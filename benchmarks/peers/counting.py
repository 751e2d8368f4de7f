"""A model of random weights that counts: after each token it says the one that comes next in its vocabulary.

It has the shape and the cost of a real Qwen3 of its size. Its layers say something at random; its output
layer is its embedding, one row on, and outweighs what they say. So the right answer to every prompt is known
beforehand, to every engine, whatever precision it computes in: `expected`.

Every word is one token, so a prompt has as many tokens as it has words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxyz", "aeiou"
END = "<end>"
SPACE = "Ġ"  # how byte-level BPE spells a space
ECHO = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
SPREAD = 0.1
"""What a layer adds beside the token's own part: too little to change what comes next."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the model is. The default has 0.12 billion weights in its layers and its output."""

    width: int = 768
    layers: int = 14
    heads: int = 12
    kv_heads: int = 4
    head_size: int = 64
    hidden: int = 2304
    context: int = 2048
    rope_base: float = 1_000_000.0
    epsilon: float = 1e-6

    @property
    def matrix_weights(self) -> int:
        """Weights that are multiplied for every token, those of the output layer not among them."""
        attention = self.width * self.head_size * 2 * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.width * self.hidden)

    @property
    def output_weights(self) -> int:
        """Weights that are multiplied for every token that is written."""
        return self.width * len(VOCABULARY)


def _byte_characters() -> list[str]:
    """The characters that byte-level BPE writes the 256 bytes as."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


SYLLABLES = [first + second for first, second in product(CONSONANTS, VOWELS)]
WORDS = [first + second for first, second in product(SYLLABLES, SYLLABLES)]
_FIRST = [END, *_byte_characters(), *SYLLABLES, *WORDS]
VOCABULARY = [*_FIRST, *(SPACE + word for word in WORDS)]
MERGES = [
    *(" ".join(syllable) for syllable in SYLLABLES),
    *(f"{word[:2]} {word[2:]}" for word in WORDS),
    *(f"{SPACE} {word}" for word in WORDS),
]


def text_of(numbers: Sequence[int]) -> str:
    """These words, each of which is a token but the first, which has no space before it and is one too."""
    return " ".join(WORDS[number % len(WORDS)] for number in numbers)


def tokens_of(numbers: Sequence[int]) -> list[int]:
    """The tokens of `text_of`."""
    first, *rest = (number % len(WORDS) for number in numbers)
    return [len(_FIRST) - len(WORDS) + first, *(len(_FIRST) + number for number in rest)]


def expected(numbers: Sequence[int], output_tokens: int) -> str:
    """The answer to `text_of`. The last words of the vocabulary must not be among the last of a prompt."""
    assert numbers[-1] + output_tokens < len(WORDS)
    return "".join(" " + WORDS[numbers[-1] + step] for step in range(1, output_tokens + 1))


def weights(shape: Shape, seed: int = 1) -> Iterator[tuple[str, str, Array]]:
    """Every tensor by its name in GGUF and in Hugging Face's files, row by row as both have it."""
    chance = np.random.default_rng(seed)

    def random(rows: int, columns: int, scale: float) -> Array:
        made: Array = chance.standard_normal((rows, columns), dtype=np.float32)
        made *= np.float32(scale / columns**0.5)
        return made

    def ones(count: int) -> Array:
        return np.ones(count, np.float32)

    embedding = random(len(VOCABULARY), shape.width, shape.width**0.5)
    yield "token_embd.weight", "model.embed_tokens.weight", embedding
    yield "output_norm.weight", "model.norm.weight", ones(shape.width)
    output = np.roll(embedding, 1, axis=0) * np.float32(shape.width**-0.5)
    output[0] = 0  # the end is never said
    yield "output.weight", "lm_head.weight", output
    inner, outer = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for n in range(shape.layers):
        ours, theirs = f"blk.{n}", f"model.layers.{n}"
        yield f"{ours}.attn_norm.weight", f"{theirs}.input_layernorm.weight", ones(shape.width)
        yield f"{ours}.ffn_norm.weight", f"{theirs}.post_attention_layernorm.weight", ones(shape.width)
        for letter, long, rows in (("q", "q_proj", inner), ("k", "k_proj", outer), ("v", "v_proj", outer)):
            yield (
                f"{ours}.attn_{letter}.weight",
                f"{theirs}.self_attn.{long}.weight",
                random(rows, shape.width, 1),
            )
        for letter in ("q", "k"):
            yield (
                f"{ours}.attn_{letter}_norm.weight",
                f"{theirs}.self_attn.{letter}_norm.weight",
                ones(shape.head_size),
            )
        yield (
            f"{ours}.attn_output.weight",
            f"{theirs}.self_attn.o_proj.weight",
            random(shape.width, inner, SPREAD),
        )
        for name in ("gate", "up"):
            yield (
                f"{ours}.ffn_{name}.weight",
                f"{theirs}.mlp.{name}_proj.weight",
                random(shape.hidden, shape.width, 1),
            )
        yield (
            f"{ours}.ffn_down.weight",
            f"{theirs}.mlp.down_proj.weight",
            random(shape.width, shape.hidden, SPREAD),
        )


def write_gguf(path: Path, shape: Shape, kind: str) -> None:
    """Write the model for OpenVINO and llama.cpp. ``kind`` names how matrices are kept, such as Q8_0."""
    import gguf  # noqa: PLC0415 - heavy, and not needed to be asked what the model answers

    matrix = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(str(path), "qwen3")
    writer.add_name("counting")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{kind}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([gguf.TokenType.CONTROL, *[gguf.TokenType.NORMAL] * (len(VOCABULARY) - 1)])
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(ECHO)
    for name, _, array in weights(shape):
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, gguf.quants.quantize(array, matrix), raw_dtype=matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_folder(path: Path, shape: Shape) -> None:
    """Write the model in Hugging Face's format, for vLLM: bf16, without a tokenizer."""
    path.mkdir(exist_ok=True)
    _write_safetensors(path / "model.safetensors", {name: array for _, name, array in weights(shape)})
    known = asdict(shape)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": known["width"],
        "num_hidden_layers": known["layers"],
        "num_attention_heads": known["heads"],
        "num_key_value_heads": known["kv_heads"],
        "head_dim": known["head_size"],
        "intermediate_size": known["hidden"],
        "max_position_embeddings": known["context"],
        "rope_theta": known["rope_base"],
        "rms_norm_eps": known["epsilon"],
        "vocab_size": len(VOCABULARY),
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    (path / "config.json").write_text(json.dumps(config))


def _write_safetensors(path: Path, tensors: dict[str, Array]) -> None:
    """The format is a length, JSON, and the numbers: too little to install a package for."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + 2 * array.size
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [begin, end]}
    described = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(described).to_bytes(8, "little") + described)
        for array in tensors.values():
            file.write(_bf16(array))


def _bf16(array: Array) -> bytes:
    """The upper half of each number, rounded."""
    bits = array.view(np.uint32)
    return ((bits + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16).tobytes()
