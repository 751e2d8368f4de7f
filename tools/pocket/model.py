"""The decoder behind `pocket-1`: a Qwen3-shaped transformer, small enough to train on a CPU."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What fixes the architecture; `width` is `heads * head_size` so that every reader agrees."""

    vocabulary_size: int = 2048
    width: int = 256
    layers: int = 4
    heads: int = 4
    head_size: int = 64
    hidden_width: int = 768
    positions_max: int = 1024
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-6


class Attention(nn.Module):
    """Causal self-attention with normalised queries and keys and rotary positions."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.heads, self.head_size = shape.heads, shape.head_size
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, shape.width, bias=False)
        self.value = nn.Linear(shape.width, shape.width, bias=False)
        self.output = nn.Linear(shape.width, shape.width, bias=False)
        self.query_norm = nn.RMSNorm(shape.head_size, eps=shape.norm_epsilon)
        self.key_norm = nn.RMSNorm(shape.head_size, eps=shape.norm_epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Mix each position with those before it."""
        batch, length, width = x.shape
        by_head = (batch, length, self.heads, self.head_size)
        query = self.query_norm(self.query(x).view(by_head).float()).transpose(1, 2)
        key = self.key_norm(self.key(x).view(by_head).float()).transpose(1, 2)
        value = self.value(x).view(by_head).transpose(1, 2)
        precision = value.dtype
        cos, sin = cos.to(precision), sin.to(precision)
        mixed = attend(rotate(query.to(precision), cos, sin), rotate(key.to(precision), cos, sin), value)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return output


class FeedForward(nn.Module):
    """The gated (SwiGLU) half of a layer."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden_width, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden_width, bias=False)
        self.down = nn.Linear(shape.hidden_width, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each position by itself."""
        output: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return output


class Layer(nn.Module):
    """One pre-normalised transformer layer."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attention = Attention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.feed_forward = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend, then transform, each added to what came in."""
        x = x + self.attention(self.attention_norm(x), cos, sin)
        output: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return output


class PocketModel(nn.Module):
    """Token ids in, logits out; the output layer is the embedding, transposed."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary_size, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        cos, sin = rotary_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the next token at every position: (batch, length, vocabulary)."""
        return functional.linear(self.hidden(ids), self.embedding.weight)

    def hidden(self, ids: Tensor) -> Tensor:
        """The normalised last layer, before the vocabulary: (batch, length, width)."""
        length = ids.shape[1]
        cos, sin = self.get_buffer("cos")[:length], self.get_buffer("sin")[:length]
        x: Tensor = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, cos, sin)
        output: Tensor = self.norm(x)
        return output

    def _initialise(self) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, weight in self.named_parameters():
            if weight.ndim == 2 and not name.startswith("embedding"):
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            # A layer begins as the identity, so that the first steps do not fight each other.
            if name.endswith(("attention.output.weight", "down.weight")):
                nn.init.zeros_(weight)


def rotary_tables(shape: ModelShape) -> tuple[Tensor, Tensor]:
    """Cosines and sines per position and head dimension, in the half-split (NEOX) order."""
    steps = torch.arange(0, shape.head_size, 2) / shape.head_size
    frequency = 1.0 / shape.rope_base**steps
    angle = torch.outer(torch.arange(shape.positions_max).float(), frequency)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of the head by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention."""
    length, head_size = query.shape[-2:]
    if length > 256:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    # Written out, because PyTorch's kernel takes three to five times as long on a CPU for short
    # sequences in bf16 (forward and backward), and nearly all of training is short sequences.
    scores = query @ key.transpose(-1, -2) * head_size**-0.5
    future = torch.full((length, length), float("-inf"), dtype=scores.dtype).triu(1)
    mixed: Tensor = (scores + future).softmax(-1).to(value.dtype) @ value
    return mixed


@torch.no_grad()
def greedy(model: PocketModel, prompt_ids: list[int], *, end_id: int, new_tokens_max: int) -> list[int]:
    """The most probable continuation, without a cache: for checks, not for speed."""
    ids = list(prompt_ids)
    for _ in range(new_tokens_max):
        following = int(model(torch.tensor([ids]))[0, -1].argmax())
        if following == end_id:
            break
        ids.append(following)
    return ids[len(prompt_ids) :]
